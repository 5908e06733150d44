import { cleanUp } from './servers.ts';

export default cleanUp;
