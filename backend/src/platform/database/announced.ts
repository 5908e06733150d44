import { sql, type Transaction } from 'kysely';
import type { Database } from './schema.ts';

declare const announced: unique symbol;
declare const transactionId: unique symbol;

/**
 * A transaction whose changes are announced to the cache before they are committed; only Cache.write makes one. Statements
 * that change what is cached ask for it, so that no other path can call them: such a write would leave stale answers behind.
 */
export type AnnouncedTransaction = Transaction<Database> & { readonly [announced]: true };

/** The number of the transaction that made a row (xid8, as text). */
export type Xid = string & { readonly [transactionId]: true };

/**
 * For `returning` of a write whose answers are cached. It costs no round trip of its own, and a transaction that has it is
 * known to PostgreSQL as running: whoever finds its mark in the cache can ask how it ended.
 */
export const xid = sql<Xid>`pg_current_xact_id()::text`.as('xid');
