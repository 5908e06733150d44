import { randomUUID } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import { classifyDatabaseError } from '../database/errors.ts';
import type { Database } from '../database/schema.ts';
import { HttpError } from '../http/errors.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { RedisClient } from './redis.ts';
import { withScripts } from './scripts.ts';

/** HIT: from Redis. MISS: from the database, and stored. BYPASS: from the database, and not stored. */
export type CacheOutcome = 'HIT' | 'MISS' | 'BYPASS';

/**
 * The tags of a collection: one a row (its answer, also "there is none"), and one for all lists. `written` is what a
 * write of a row changes, also one that makes or removes it.
 */
export const collectionTags = (collection: string) => {
  const one = (id: number | string) => `${collection}:${id}`;
  return { lists: collection, one, written: (id: number | string) => [one(id), collection] };
};

/** The field of a list: all of its query, in one order, so that no parameter can be forgotten. */
export const fieldOf = (query: object) => JSON.stringify(Object.entries(query).sort());

/** What a client is told about where its answer came from. */
export const sourceOf = (outcome: CacheOutcome) => (outcome === 'HIT' ? 'cache' : 'database');

export interface Cache {
  /**
   * The cached answer, or what `load` reads from the database. `load` must return plain JSON (null included: "there is
   * none" is an answer too) and must read from the database, never from another cache.
   * @param tag what a write invalidates: "tasks:7", or "tasks" for the lists; the part before a colon is the label in the metrics
   * @param field tells the answers of one tag apart: the query of a list
   */
  read<T>(tag: string, load: () => Promise<T>, field?: string): Promise<{ value: T; outcome: CacheOutcome }>;
  /**
   * Runs `work` in a transaction and commits it. `work` names the tags whose cached answers it changes; nobody can read
   * an old answer from the cache once this has returned.
   * @throws HttpError 503 when Redis does not confirm: the transaction was rolled back, nothing was written.
   */
  write<T>(db: Kysely<Database>, work: (trx: Transaction<Database>) => Promise<Written<T>>): Promise<T>;
  /**
   * Drops every cached answer and whatever is being loaded now; what other programs keep in the same Redis stays.
   * @throws HttpError 503 when Redis does not answer; some answers may have been dropped
   */
  clear(): Promise<void>;
}

export interface Written<T> {
  readonly result: T;
  /** Tags. Empty: the transaction changed nothing. */
  readonly changed: readonly string[];
}

/** A lease outlives every load: the database gives up a statement after 4 s. */
const LEASE_MS = 5_000;
/** Far longer than a transaction may live, so that a marker ends by its own writer, not by its expiry. */
const MARKER_MS = 60_000;
const ENTRY_MS = 300_000;
/** Of one tag, which then begins anew: a client that asks for ever new pages must neither fill Redis nor keep others out. */
const MAX_FIELDS = 1_000;
/** The field of a tag that has one answer only. */
const ITEM = '.';
/** Keys that one step of a clearing looks at: Redis serves nobody else meanwhile. */
const SCAN_COUNT = 1_000;

const keysOf = (tag: string) => [`c:v:${tag}`, `c:l:${tag}`, `c:w:${tag}`] as const;
const labelOf = (tag: string) => tag.split(':', 1)[0] as string;

/**
 * Cache-aside with leases and write markers. Plain cache-aside (SET after a miss, DEL after COMMIT) lets a reader store
 * a value that it selected before the write, after the writer's DEL: stale until it expires, without any failure. Here
 * the writer announces itself between its last statement and COMMIT (cacheBegin), which removes the entry and every
 * lease; until it is over, readers go to the database and store nothing.
 *
 * Order that must not change: statements, cacheBegin answered, COMMIT, answer to the client.
 */
export function createCache(client: RedisClient, metrics: Metrics): Cache {
  const redis = withScripts(client);
  const failed = (operation: string) => () => void metrics.cacheErrors.inc({ operation });

  async function lookUp(tag: string, field: string, token: string) {
    try {
      return await redis.cacheRead(...keysOf(tag), field, token, LEASE_MS);
    } catch {
      failed('read')();
      return ['BYPASS'] as const;
    }
  }

  /** Not awaited by anyone: a fill or an end that is lost costs speed, never truth. */
  function fill(tag: string, field: string, token: string, payload: string): void {
    const [v, l] = keysOf(tag);
    const count = (stored: 0 | 1) => {
      metrics.cacheFills.inc({ cache: labelOf(tag), outcome: stored ? 'stored' : 'refused' });
    };
    redis.cacheFill(v, l, field, token, payload, ENTRY_MS, MAX_FIELDS).then(count).catch(failed('fill'));
  }
  function end(tags: readonly string[], token: string): void {
    for (const tag of tags) redis.srem(keysOf(tag)[2], token).catch(failed('end'));
  }

  async function begin(tags: readonly string[], token: string): Promise<void> {
    if (tags.length === 0) return;
    const keys = tags.flatMap(keysOf);
    try {
      await redis.cacheBegin(keys.length, ...keys, token, MARKER_MS);
    } catch {
      failed('begin')();
      throw new HttpError(503, 'the cache did not confirm the write; nothing was written');
    }
  }

  async function drop(pattern: string): Promise<void> {
    let cursor = '0';
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
      if (keys.length > 0) await redis.unlink(...keys);
      cursor = next;
    } while (cursor !== '0');
  }

  return {
    async read<T>(tag: string, load: () => Promise<T>, field = ITEM) {
      const token = randomUUID();
      const [found, payload] = await lookUp(tag, field, token);
      const outcome = found === 'LEASE' ? 'MISS' : found;
      metrics.cacheReads.inc({ cache: labelOf(tag), outcome: outcome.toLowerCase() });
      if (found === 'HIT') return { value: JSON.parse(payload) as T, outcome };
      const value = await load();
      if (found === 'LEASE') fill(tag, field, token, JSON.stringify(value));
      return { value, outcome };
    },

    async write(db, work) {
      const token = randomUUID();
      let tags: readonly string[] = [];
      try {
        const result = await db.transaction().execute(async (trx) => {
          const written = await work(trx);
          tags = written.changed;
          await begin(tags, token);
          return written.result;
        });
        end(tags, token);
        return result;
      } catch (error) {
        // A COMMIT whose answer was lost may still happen: then the marker must stay until it expires.
        if (classifyDatabaseError(error) !== 'unknown-outcome') end(tags, token);
        throw error;
      }
    },

    // Leases first: a value that was selected before the clearing and filled behind it would survive it. Never the
    // markers: a write that is under way rests on its own.
    async clear() {
      try {
        await drop('c:l:*');
        await drop('c:v:*');
      } catch {
        failed('clear')();
        throw new HttpError(503, 'the cache did not answer: not everything was dropped');
      }
    },
  };
}

export const noRedis = () => new HttpError(503, 'this replica runs without Redis');

/** For a replica without Redis (`npm run dev`): every read goes to the database. */
export const noCache: Cache = {
  async read(_key, load) {
    return { value: await load(), outcome: 'BYPASS' };
  },
  async write(db, work) {
    return db.transaction().execute(async (trx) => (await work(trx)).result);
  },
  async clear() {
    throw noRedis();
  },
};
