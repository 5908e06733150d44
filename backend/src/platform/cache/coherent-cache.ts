import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { Database } from '../database/schema.ts';
import { isOutdated, UNCACHED } from '../database/write-outcomes.ts';
import { HttpError } from '../http/errors.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { createBreaker } from './breaker.ts';
import { type Announce, type Cache, type Guard, NotAnnounced, Unsettled } from './cache.ts';
import { createCoalescer } from './coalesce.ts';
import type { Gate } from './gate.ts';
import { createResolver } from './markers.ts';
import type { RedisClient } from './redis.ts';
import { keysOf, openKey, type ReadReply, withScripts } from './scripts.ts';
import { labelOf } from './tags.ts';

/** Of the leases of a tag, together. A load that takes longer is not stored; a reader that died keeps others out for so long. */
const LEASE_MS = 5_000;
const ENTRY_MS = 300_000;
/** Of an entry's life, more or less: what was stored together must not be loaded anew together. */
const JITTER = 0.1;
/** Larger answers are not stored: each takes Redis, which serves everybody, that much longer. */
const MAX_PAYLOAD_BYTES = 256 * 1024;
/** Of one tag, which then begins anew: a client that asks for ever new pages must neither fill Redis nor keep others out. */
const MAX_FIELDS = 1_000;
const START_MS = 1_000;
/** Longer than the breaker is open. */
const SECOND_TRY_MS = 600;
/** Of a write, while the gate moves on under it. */
const MAX_TRIES = 5;
/** The field of a tag that has one answer only. */
const ITEM = '.';
const END_MS = 5;
/** Keys that one step of a clearing looks at: Redis serves nobody else meanwhile. */
const SCAN_COUNT = 1_000;

export interface CacheDeps {
  readonly redis: RedisClient;
  /** Connections of the cache's own: its questions must not wait behind the requests'. */
  readonly control: Kysely<Database>;
  readonly gate: Gate;
  readonly metrics: Metrics;
  /** For tests: how long a marker is left alone, in milliseconds. */
  readonly patience?: number | undefined;
}

/** A write's announcement, as it stands in Redis. */
interface Marker {
  readonly ns: string;
  readonly tags: readonly string[];
  readonly name: string;
}

/**
 * A cache that no client can tell from its absence, other than by speed (docs/cache.md: promises, assumptions, why).
 *
 * Plain cache-aside (SET after a miss, DEL after COMMIT) lets a reader store a value that it selected before a write, after
 * the writer's DEL: stale until it expires, without any failure. Here a writer announces itself first: that removes the
 * entry and every lease, and leaves a marker with the write's name; until PostgreSQL has an outcome under that name, readers load
 * and store nothing.
 *
 * Order that must never change: namespace taken, announcement answered, statement (or COMMIT) sent, answer to the client; the marker
 * ends only when the name is settled.
 */
export function createCache({ redis: client, control, gate, metrics, patience }: CacheDeps): Cache {
  const redis = withScripts(client);
  const namespace = () => gate.permit()?.ns;
  const metMarkers = createResolver({ redis, control, metrics, isCurrent: (ns) => namespace() === ns, patience });
  const share = createCoalescer();
  const breaker = createBreaker();
  /** Never used twice, not even by another process: what is stored or removed by token is the token's own. */
  const origin = randomBytes(9).toString('base64url');
  let count = 0;
  let ended: Marker[] = [];
  let ending: NodeJS.Timeout | undefined;
  const unique = () => `${origin}${++count}`;

  /** Sends a command; counts and times it. @throws what Redis or the connection says */
  async function call<T>(operation: 'read' | 'fill' | 'begin' | 'end' | 'clear', send: () => Promise<T>): Promise<T> {
    const began = performance.now();
    if (operation !== 'end') sendEnds();
    try {
      const reply = await send();
      breaker.succeeded();
      return reply;
    } catch (error) {
      metrics.cacheErrors.inc({ operation });
      breaker.failed(error);
      throw error;
    } finally {
      metrics.cacheCommands.observe({ operation }, (performance.now() - began) / 1000);
    }
  }

  /** Asks Redis, or says why not. */
  async function lookUp(ns: string | undefined, tag: string, field: string, token: string) {
    if (ns === undefined) return [gate.reachesRedis() ? 'GATE' : 'DISCONNECTED'] as const;
    if (breaker.isOpen()) return ['BREAKER'] as const;
    const ask = () => redis.cacheRead(...keysOf(ns, tag), openKey(ns), field, token, LEASE_MS);
    return call('read', ask).catch(() => ['ERROR'] as const) as Promise<ReadReply | ['ERROR']>;
  }

  /** Not awaited by anyone: a fill or an end that is lost costs speed, never truth. */
  function fill(ns: string, tag: string, field: string, token: string, payload: string): void {
    const counted = (outcome: string) => metrics.cacheFills.inc({ cache: labelOf(tag), outcome });
    if (Buffer.byteLength(payload) > MAX_PAYLOAD_BYTES) {
      counted('too_large');
      return;
    }
    const [v, l] = keysOf(ns, tag);
    const life = Math.round(ENTRY_MS * (1 - JITTER + 2 * JITTER * Math.random()));
    // Another process may be at the other end by now: its keys have another name, and this one it refuses.
    call('fill', () => redis.cacheFill(v, l, field, token, payload, life, MAX_FIELDS)).then(
      (stored) => counted(stored ? 'stored' : 'refused'),
      () => counted('failed'),
    );
  }

  /** Goes out with the next command, or after END_MS: a packet of its own would wake Redis, and then us, just for this. */
  function end(marker: Marker): void {
    if (ended.length === 0) ending = setTimeout(sendEnds, END_MS);
    ended.push(marker);
  }

  function sendEnds(): void {
    if (ended.length === 0) return;
    clearTimeout(ending);
    const markers = ended;
    ended = [];
    const keys = (marker: Marker) => marker.tags.map((tag) => [keysOf(marker.ns, tag)[2], marker.name] as const);
    const send = () => Promise.all(markers.flatMap(keys).map(([key, name]) => redis.srem(key, name)));
    call('end', send).catch(() => {});
  }

  /** Only a reply counts: after an error or a timeout nobody knows whether Redis has the marker. @throws NotAnnounced */
  async function announce(name: string, tags: readonly string[], markers: Marker[]): Promise<Guard> {
    const permit = breaker.isOpen() ? undefined : gate.permit();
    if (permit) {
      const { ns, epoch } = permit;
      markers.push({ ns, tags, name });
      const keys = tags.flatMap((tag) => keysOf(ns, tag));
      const reply = await call('begin', () => redis.cacheBegin(keys.length, ...keys, name)).catch(() => undefined);
      if (reply !== undefined) return { epoch, open: true };
    }
    const epoch = gate.passable();
    if (epoch === undefined) throw new NotAnnounced();
    return { epoch, open: false };
  }

  async function drop(kind: 'l' | 'v'): Promise<void> {
    const ns = namespace();
    if (!ns) throw new Error('no Redis');
    let cursor = '0';
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', `${ns}${kind}:*`, 'COUNT', SCAN_COUNT);
      if (keys.length > 0) await redis.unlink(...keys);
      if (namespace() !== ns) throw new Error('another Redis answers now');
      cursor = next;
    } while (cursor !== '0');
  }

  return {
    async start() {
      const deadline = performance.now() + START_MS;
      while (namespace() === undefined && performance.now() < deadline) await sleep(20);
      const permit = gate.permit();
      if (permit && (await redis.exists(openKey(permit.ns)).catch(() => 1)) === 0) {
        await Promise.race([gate.open(permit.epoch), sleep(START_MS, undefined, { ref: false })]);
      }
    },

    async read(tag, load, field = ITEM) {
      const token = unique();
      const permit = gate.permit();
      const ns = permit?.ns;
      const [found, ...rest] = await lookUp(ns, tag, field, token);
      const outcome = found === 'HIT' ? 'HIT' : found === 'LEASE' ? 'MISS' : 'BYPASS';
      const cache = labelOf(tag);
      metrics.cacheReads.inc({ cache, outcome: outcome.toLowerCase() });
      if (found === 'HIT') return { value: JSON.parse(rest[0] as string), outcome };
      if (found === 'LEASE') {
        const value = await load();
        if (value !== undefined) fill(ns as string, tag, field, token, JSON.stringify(value));
        return { value, outcome };
      }
      if (found === 'CLOSED') void gate.open(permit?.epoch as string);
      if (found === 'PENDING') metMarkers(ns as string, tag, rest);
      metrics.cacheBypasses.inc({ cache, reason: found.toLowerCase() });
      const { joined, value } = share(`${tag} ${field}`, load);
      if (joined) metrics.cacheCoalesced.inc({ cache });
      return { value: await value, outcome };
    },

    async write(name, attempt, settle) {
      const markers: Marker[] = [];
      let guard: Guard | undefined;
      const tell: Announce = async (tags) => {
        if (tags.length === 0) return { epoch: UNCACHED };
        guard = await announce(name, tags, markers);
        return guard;
      };
      const again = (error: unknown) => error instanceof NotAnnounced || isOutdated(error);

      async function untilDone() {
        let unannounced = 0;
        for (let tries = 1; ; tries++) {
          try {
            return await attempt(tell);
          } catch (error) {
            if (!again(error)) throw error;
            if (error instanceof NotAnnounced) unannounced++;
            if (unannounced === 2 || tries === MAX_TRIES) {
              metrics.cacheWrites.inc({ outcome: 'refused' });
              throw new HttpError(503, 'the cache did not confirm the write; nothing was written');
            }
            if (isOutdated(error)) await gate.beat();
            // Nothing is held while this waits, no row and no connection. If another replica reaches Redis, this one may have met a
            // hiccup, after which the breaker lets nobody through for a moment.
            if ((error instanceof NotAnnounced || !gate.permit()) && !(await gate.close())) await sleep(SECOND_TRY_MS);
          }
        }
      }

      let settled = true;
      try {
        const value = await untilDone().catch(settle);
        if (guard) metrics.cacheWrites.inc({ outcome: guard.open ? 'announced' : 'passed' });
        return value;
      } catch (error) {
        settled = !(error instanceof Unsettled);
        throw error;
      } finally {
        if (settled) for (const marker of markers) end(marker);
      }
    },

    // Leases first: a value that was selected before the clearing and filled behind it would survive it. Never the
    // markers: a write that is under way rests on its own.
    async clear() {
      try {
        await call('clear', async () => {
          await drop('l');
          await drop('v');
        });
      } catch {
        throw new HttpError(503, 'the cache did not answer: not everything was dropped');
      }
    },
  };
}
