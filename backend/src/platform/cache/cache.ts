import { type Keeping, UNCACHED } from '../database/write-outcomes.ts';
import { HttpError } from '../http/errors.ts';

/** HIT: from Redis. MISS: from the database, and stored. BYPASS: from the database, and not stored. */
export type CacheOutcome = 'HIT' | 'MISS' | 'BYPASS';

/** What JSON can hold, and undefined: that is not stored. */
type Json = object | string | number | boolean | null | undefined;

/** What a client is told about where its answer came from. */
export const sourceOf = (outcome: CacheOutcome) => (outcome === 'HIT' ? 'cache' : 'database');

/** What a statement that writes must find in the gate's row, or nothing of it happens (database/write-outcomes.ts). */
export type Guard = Pick<Keeping, 'epoch' | 'open'>;

/**
 * Tells Redis of a write, before its only statement or before COMMIT.
 * @param tags of all answers that it changes; none: nobody need be told
 * @throws NotAnnounced
 */
export type Announce = (tags: readonly string[]) => Promise<Guard>;

/** The write could not be announced, and must not happen; thrown out of `attempt`, which may then be called again. */
export class NotAnnounced extends Error {}
/** Nobody knows whether the write has happened: its marker must stay. */
export class Unsettled extends HttpError {}

export interface Cache {
  /** Gets an empty Redis ready, so that the first reads find it so. Takes a second at most: without it, readers see to it. */
  start(): Promise<void>;
  /**
   * The cached answer, or what `load` reads from the database. `load` must be one statement (or one repeatable read
   * transaction) and return plain JSON. null is an answer too: "there is none", which only a create that knows
   * the row's name beforehand can announce to end; else it must be undefined. Several requests may get the same value.
   * @param tag what a write invalidates: "tasks:7", or "tasks" for the lists; the part before a colon is the label in the metrics
   * @param field tells the answers of one tag apart: the query of a list
   */
  read<T extends Json>(
    tag: string,
    load: () => Promise<T>,
    field?: string,
  ): Promise<{ value: T; outcome: CacheOutcome }>;
  /**
   * Attempts a write, and again if it could not be announced or the gate has moved on (isOutdated). Once it has
   * returned, nobody can read an old answer from the cache.
   * @param name under which the outcome of the write is kept
   * @param settle gets what the attempts threw. It must see to it that the write can happen no more, or throw Unsettled.
   */
  write<T>(
    name: string,
    attempt: (announce: Announce) => Promise<T>,
    settle: (error: unknown) => Promise<T>,
  ): Promise<T>;
  /**
   * Drops every cached answer and whatever is being loaded now; what other programs keep in the same Redis stays.
   * @throws HttpError 503 when Redis does not answer; some answers may have been dropped
   */
  clear(): Promise<void>;
}

export const noRedis = () => new HttpError(503, 'this replica runs without Redis');

/** For a replica without Redis (`npm run dev`): every read goes to the database. No other replica may have one then. */
export const noCache: Cache = {
  async start() {},
  async read(_tag, load) {
    return { value: await load(), outcome: 'BYPASS' };
  },
  write: (_name, attempt, settle) => attempt(async () => ({ epoch: UNCACHED })).catch(settle),
  async clear() {
    throw noRedis();
  },
};
