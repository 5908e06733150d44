import type { Transaction } from 'kysely';
import type { Database } from './schema.ts';

declare const write: unique symbol;

/**
 * The transaction of a request that writes with several statements; only platform/http/write.ts hands one out. Statements that change
 * rows ask for it, so that no other path can call them: such a write could be doubled by a retry, and would leave stale answers in the cache.
 */
export type WriteTransaction = Transaction<Database> & { readonly [write]: true };
