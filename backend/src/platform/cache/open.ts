import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Logger } from 'pino';
import type { Database } from '../database/schema.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { readGate, type State } from './gate.ts';
import { infoLine } from './namespace.ts';
import { openingKey, openKey, type ScriptedRedis } from './scripts.ts';

/** How long an opening may go without a sign of life. If whoever began it died, another begins then. */
const OPENING_MS = 3_000;
const POLL_MS = 50;
/** Before this replica tries again after an attempt that did not open. */
const PAUSE_MS = 250;

export interface OpenerDeps {
  readonly redis: ScriptedRedis;
  readonly control: Kysely<Database>;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Of an epoch, in the Redis that answers now. */
  readonly namespaceOf: (epoch: string) => string | undefined;
  /** Told of what the gate is now, and when that was asked. */
  readonly learn: (state: State, asked: number) => void;
  readonly now: () => number;
}

/**
 * Opens an empty memory for caching, or a closed gate, which is the same: under a new epoch. A Redis that has lost its memory has lost
 * the markers of the writes that were about to commit; whoever stored a value then could store what such a write replaces a
 * moment later. No waiting time would be right. But a write that begins after the new epoch is committed fails at its guard, unless it
 * was announced in the new memory; and those that began before are in pg_stat_activity until they are over.
 */
export function createOpener({ redis, control, metrics, logger, namespaceOf, learn, now }: OpenerDeps) {
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

  /** Only the epoch and state that were seen: a later one is somebody else's. */
  async function bump(seen: State, epoch: string): Promise<boolean> {
    const asked = now();
    const bumped = await control
      .updateTable('write_gate')
      .set({ open: true, epoch })
      .where('epoch', '=', seen.epoch)
      .where('open', '=', seen.open)
      .returning(['epoch', 'open'])
      .executeTakeFirst();
    learn(bumped ?? (await readGate(control)), asked);
    return bumped !== undefined;
  }

  /** The transactions of this API that run now. A statement's snapshot is younger than the xact_start that is shown. */
  async function runningNow(): Promise<Set<string>> {
    const { rows } = await sql<{ session: string; tracked: string }>`
      select a.pid || ' ' || a.xact_start as session, current_setting('track_activities') as tracked
      from (select) as always left join pg_stat_activity a
        on a.usename = current_user and a.xact_start is not null and a.pid <> pg_backend_pid()`.execute(control);
    if (rows[0]?.tracked !== 'on') throw new Error('PostgreSQL must run with track_activities = on');
    return new Set(rows.map((row) => row.session));
  }

  async function attempt(seen: State): Promise<boolean> {
    const reason = await unfit();
    if (reason && reason !== complaint) logger.error({ reason }, 'nothing is cached: this Redis is not fit for it');
    complaint = reason;
    const epoch = randomUUID();
    const [old, ns] = [namespaceOf(seen.epoch), namespaceOf(epoch)];
    if (reason || !old || !ns) return false;
    const state = seen.open ? 'open' : 'closed';
    if (!(await redis.cacheTake(openKey(old), openingKey(old), openingKey(ns), state, OPENING_MS))) return false;
    if (!(await bump(seen, epoch))) return false;
    let left = await runningNow();
    while (left.size > 0) {
      const still = await runningNow();
      left = left.intersection(still);
      left.delete(null as never); // nothing runs
      if (namespaceOf(epoch) !== ns) return false;
      await redis.pexpire(openingKey(ns), OPENING_MS); // does nothing if it is lost: then this attempt does not open
      if (left.size > 0) await sleep(POLL_MS);
    }
    return namespaceOf(epoch) === ns && (await redis.cacheOpen(openingKey(ns), openKey(ns))) === 1;
  }

  async function run(seen: State): Promise<void> {
    try {
      if (await attempt(seen)) {
        metrics.cacheOpenings.inc();
        logger.info('the cache is open');
        return;
      }
    } catch (err) {
      logger.info({ err }, 'the cache could not be opened');
    }
    await sleep(PAUSE_MS, undefined, { ref: false });
  }

  /** One attempt at a time; called by whoever finds the memory, or the gate, closed. Never throws. */
  return function open(seen: State): Promise<void> {
    running ??= run(seen).finally(() => {
      running = undefined;
    });
    return running;
  };
}
