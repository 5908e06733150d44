import type { Kysely } from 'kysely';
import type { AnnouncedTransaction, Xid } from '../database/announced.ts';
import type { Database } from '../database/schema.ts';
import { HttpError } from '../http/errors.ts';

/** HIT: from Redis. MISS: from the database, and stored. BYPASS: from the database, and not stored. */
export type CacheOutcome = 'HIT' | 'MISS' | 'BYPASS';

/** What JSON can hold: not undefined, which it would lose. */
type Json = object | string | number | boolean | null;

/** What a client is told about where its answer came from. */
export const sourceOf = (outcome: CacheOutcome) => (outcome === 'HIT' ? 'cache' : 'database');

/** What a write of cached data returns: a row, with the number of the transaction that wrote it. */
export interface Row {
  readonly xid: Xid;
}
/** The row as its caller gets it. */
export type Written<R> = R extends Row ? Omit<R, 'xid'> : R;

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
   * @param written the tags of all answers that a row of `work`'s result changes
   * @param work returns the row it wrote, with `xid`; undefined: it changed nothing
   * @throws HttpError 503 when the write could not be announced: it was rolled back, nothing was written
   */
  write<W, R extends (W & Row) | undefined>(
    db: Kysely<Database>,
    written: (row: W) => readonly string[],
    work: (trx: AnnouncedTransaction) => Promise<R>,
  ): Promise<Written<R>>;
  /**
   * Drops every cached answer and whatever is being loaded now; what other programs keep in the same Redis stays.
   * @throws HttpError 503 when Redis does not answer; some answers may have been dropped
   */
  clear(): Promise<void>;
}

export function withoutXid<R extends Row | undefined>(row: R): Written<R> {
  if (!row) return row as Written<R>;
  const { xid: _, ...rest } = row;
  return rest as Written<R>;
}

export const noRedis = () => new HttpError(503, 'this replica runs without Redis');

/** For a replica without Redis (`npm run dev`): every read goes to the database. No other replica may have one then. */
export const noCache: Cache = {
  async start() {},
  async read(_tag, load) {
    return { value: await load(), outcome: 'BYPASS' };
  },
  async write(db, _written, work) {
    return withoutXid(await db.transaction().execute((trx) => work(trx as AnnouncedTransaction)));
  },
  async clear() {
    throw noRedis();
  },
};
