import type { Kysely } from 'kysely';
import type { Database } from '../database/schema.ts';
import type { WriteTransaction } from '../database/write-transaction.ts';
import { HttpError } from '../http/errors.ts';

/** HIT: from Redis. MISS: from the database, and stored. BYPASS: from the database, and not stored. */
export type CacheOutcome = 'HIT' | 'MISS' | 'BYPASS';

/** What JSON can hold: not undefined, which it would lose. */
type Json = object | string | number | boolean | null;

/** What a client is told about where its answer came from. */
export const sourceOf = (outcome: CacheOutcome) => (outcome === 'HIT' ? 'cache' : 'database');

/** What a write did. */
export interface Change<T> {
  readonly value: T;
  /** The tags of all answers that it changes; none: it need not be announced. */
  readonly tags: readonly string[];
  /** The last statement of the transaction: it goes with COMMIT, in one packet. Should it fail, nothing is committed. */
  readonly last?: () => Promise<unknown>;
}

export interface Cache {
  /** Gets an empty Redis ready, so that the first reads find it so. Takes a second at most: without it, readers see to it. */
  start(): Promise<void>;
  /**
   * The cached answer, or what `load` reads from the database. `load` must be one statement (or one repeatable read
   * transaction) and return plain JSON (null included: "there is none" is an answer too). Several requests may get the same value.
   * @param tag what a write invalidates: "tasks:7", or "tasks" for the lists; the part before a colon is the label in the metrics
   * @param field tells the answers of one tag apart: the query of a list
   */
  read<T extends Json>(
    tag: string,
    load: () => Promise<T>,
    field?: string,
  ): Promise<{ value: T; outcome: CacheOutcome }>;
  /**
   * Runs `work` in a transaction and commits it; once this has returned, nobody can read an old answer from the cache. `work`
   * may run twice, the first time rolled back: it must do nothing that a rollback does not undo.
   * @throws HttpError 503 when the write could not be announced: it was rolled back, nothing was written
   */
  write<T>(db: Kysely<Database>, work: (trx: WriteTransaction) => Promise<Change<T>>): Promise<T>;
  /**
   * Drops every cached answer and whatever is being loaded now; what other programs keep in the same Redis stays.
   * @throws HttpError 503 when Redis does not answer; some answers may have been dropped
   */
  clear(): Promise<void>;
}

export const noRedis = () => new HttpError(503, 'this replica runs without Redis');

/** Runs `work` in a transaction and commits it. @throws what `work` or its last statement says, or COMMIT */
export async function commit<T>(
  db: Kysely<Database>,
  work: (trx: WriteTransaction) => Promise<Change<T>>,
): Promise<Change<T>> {
  let last: Promise<unknown> | undefined;
  // Read committed, whatever the server's default is: the gate's question must see what was committed a moment ago.
  const transaction = db.transaction().setIsolationLevel('read committed');
  try {
    return await transaction.execute(async (trx) => {
      const change = await work(trx as WriteTransaction);
      last = change.last?.();
      last?.catch(() => {}); // then COMMIT fails
      return change;
    });
  } catch (error) {
    await last; // throws why COMMIT failed, if that is why
    throw error;
  }
}

/** For a replica without Redis (`npm run dev`): every read goes to the database. No other replica may have one then. */
export const noCache: Cache = {
  async start() {},
  async read(_tag, load) {
    return { value: await load(), outcome: 'BYPASS' };
  },
  write: async (db, work) => (await commit(db, work)).value,
  async clear() {
    throw noRedis();
  },
};
