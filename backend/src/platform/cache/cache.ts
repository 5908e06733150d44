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

export interface Cache {
  /**
   * The cached answer of `key` ("kv:greeting"; the part before the colon is the label in the metrics), or what `load` reads from the database. `load` must return plain JSON (null included:
   * "there is none" is an answer too) and must read from the database, never from another cache.
   */
  read<T>(key: string, load: () => Promise<T>): Promise<{ value: T; outcome: CacheOutcome }>;
  /**
   * Runs `work` in a transaction and commits it. `work` names the keys whose cached answers it changes; nobody can read
   * an old answer from the cache once this has returned.
   * @throws HttpError 503 when Redis does not confirm: the transaction was rolled back, nothing was written.
   */
  write<T>(db: Kysely<Database>, work: (trx: Transaction<Database>) => Promise<Written<T>>): Promise<T>;
}

export interface Written<T> {
  readonly result: T;
  /** Empty: the transaction changed nothing. */
  readonly changed: readonly string[];
}

/** A lease outlives every load: the database gives up a statement after 4 s. */
const LEASE_MS = 5_000;
/** Far longer than a transaction may live, so that a marker ends by its own writer, not by its expiry. */
const MARKER_MS = 60_000;
const ENTRY_MS = 300_000;

const keysOf = (key: string) => [`c:v:${key}`, `c:l:${key}`, `c:w:${key}`] as const;

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

  async function lookUp(key: string, token: string) {
    try {
      return await redis.cacheRead(...keysOf(key), token, LEASE_MS);
    } catch {
      failed('read')();
      return ['BYPASS'] as const;
    }
  }

  /** Not awaited by anyone: a fill or an end that is lost costs speed, never truth. */
  function fill(key: string, token: string, payload: string): void {
    const [v, l] = keysOf(key);
    redis.cacheFill(v, l, token, payload, ENTRY_MS).catch(failed('fill'));
  }
  function end(keys: readonly string[], token: string): void {
    for (const key of keys) redis.srem(keysOf(key)[2], token).catch(failed('end'));
  }

  async function begin(keys: readonly string[], token: string): Promise<void> {
    try {
      await Promise.all(keys.map((key) => redis.cacheBegin(...keysOf(key), token, MARKER_MS)));
    } catch {
      failed('begin')();
      throw new HttpError(503, 'the cache did not confirm the write; nothing was written');
    }
  }

  return {
    async read<T>(key: string, load: () => Promise<T>) {
      const token = randomUUID();
      const [found, payload] = await lookUp(key, token);
      const outcome = found === 'LEASE' ? 'MISS' : found;
      metrics.cacheReads.inc({ cache: key.slice(0, key.indexOf(':')), outcome: outcome.toLowerCase() });
      if (found === 'HIT') return { value: JSON.parse(payload) as T, outcome };
      const value = await load();
      if (found === 'LEASE') fill(key, token, JSON.stringify(value));
      return { value, outcome };
    },

    async write(db, work) {
      const token = randomUUID();
      let keys: readonly string[] = [];
      try {
        const result = await db.transaction().execute(async (trx) => {
          const written = await work(trx);
          keys = written.changed;
          await begin(keys, token);
          return written.result;
        });
        end(keys, token);
        return result;
      } catch (error) {
        // A COMMIT whose answer was lost may still happen: then the marker must stay until it expires.
        if (classifyDatabaseError(error) !== 'unknown-outcome') end(keys, token);
        throw error;
      }
    },
  };
}

/** For a replica without Redis (`npm run dev`): every read goes to the database. */
export const noCache: Cache = {
  async read(_key, load) {
    return { value: await load(), outcome: 'BYPASS' };
  },
  async write(db, work) {
    return db.transaction().execute(async (trx) => (await work(trx)).result);
  },
};
