import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Logger } from 'pino';
import type { Database } from '../database/schema.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { infoLine } from './namespace.ts';
import { openingKey, openKey, type ScriptedRedis } from './scripts.ts';

/** How long the nonce of an attempt stays without being renewed. If whoever made it died, the next reader begins another. */
const NONCE_MS = 3_000;
const POLL_MS = 50;
/** Before this replica tries again after an attempt that did not open. */
const PAUSE_MS = 250;

export interface OpenerDeps {
  readonly redis: ScriptedRedis;
  readonly control: Kysely<Database>;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly namespace: () => string | undefined;
}

/**
 * Opens an empty memory for caching. A Redis that has lost its memory has lost the markers of the writes that were about to
 * commit; whoever stored a value then could store what such a write replaces a moment later. No waiting time would be
 * right, so PostgreSQL is asked: once every transaction that was running when the memory was new is over, it is safe.
 */
export function createOpener({ redis, control, metrics, logger, namespace }: OpenerDeps) {
  let running: Promise<void> | undefined;
  let complaint = '';

  /** Caching is safe only in a primary that evicts nothing without a TTL: a marker that vanishes is a stale answer. */
  async function unfit(): Promise<string> {
    const info = (await redis.info('memory')) + (await redis.info('replication'));
    const policy = infoLine(info, 'maxmemory_policy') ?? 'unknown';
    const role = infoLine(info, 'role') ?? 'unknown';
    if (policy !== 'noeviction' && !policy.startsWith('volatile-')) {
      return `maxmemory-policy is ${policy}: it must be noeviction or volatile-*`;
    }
    return role === 'master' ? '' : `Redis is a ${role}: it must be the primary`;
  }

  async function attempt(ns: string): Promise<boolean> {
    const reason = await unfit();
    if (reason && reason !== complaint) logger.error({ reason }, 'nothing is cached: this Redis is not fit for it');
    complaint = reason;
    if (reason || namespace() !== ns) return false;
    const nonce = randomUUID();
    if ((await redis.set(openingKey(ns), nonce, 'PX', NONCE_MS, 'NX')) !== 'OK') return false; // somebody else is at it
    // A transaction of its own: its number is above every one that was handed out before.
    const { rows } = await sql<{ xid: string }>`select pg_current_xact_id()::text as xid`.execute(control);
    const { xid } = rows[0] as { xid: string };
    while (!(await everyEarlierIsOver(xid))) {
      if (namespace() !== ns) return false;
      await redis.pexpire(openingKey(ns), NONCE_MS); // perhaps another's by now: then this attempt does not open
      await sleep(POLL_MS);
    }
    return namespace() === ns && (await redis.cacheOpen(openingKey(ns), openKey(ns), nonce)) === 1;
  }

  async function everyEarlierIsOver(xid: string): Promise<boolean> {
    const { rows } = await sql<{ over: boolean }>`
      select pg_snapshot_xmin(pg_current_snapshot()) >= ${xid}::xid8 as over`.execute(control);
    return rows[0]?.over ?? false;
  }

  async function run(ns: string): Promise<void> {
    try {
      if (await attempt(ns)) {
        metrics.cacheOpenings.inc();
        logger.info({ namespace: ns }, 'the cache is open');
        return;
      }
    } catch (err) {
      logger.info({ err }, 'the cache could not be opened');
    }
    await sleep(PAUSE_MS, undefined, { ref: false });
  }

  /** One attempt at a time; called by whoever finds the memory closed. Never throws. */
  return function open(ns: string): Promise<void> {
    running ??= run(ns).finally(() => {
      running = undefined;
    });
    return running;
  };
}
