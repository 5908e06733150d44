import { cleanUp } from './servers.ts';

// A test that fails half-way must not leave servers behind: they would also keep Jest from ending.
afterAll(cleanUp);
