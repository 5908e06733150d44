import { createRequire } from 'node:module';

/** The version of the product: package.json is its one place. Works from src/ and from dist/. */
export const VERSION: string = createRequire(import.meta.url)('../../package.json').version;
