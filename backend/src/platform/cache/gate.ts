import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Logger } from 'pino';
import type { Database } from '../database/schema.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { watchRunId } from './namespace.ts';
import { createOpener } from './open.ts';
import type { RedisClient } from './redis.ts';
import { withScripts } from './scripts.ts';

/** How long a replica may use the cache after it has asked whether it may. */
const PERMIT_MS = 3_000;
/** For clocks that differ in rate, by up to 10 %. */
const MARGIN_MS = 500;
const HEARTBEAT_MS = 1_000;
/** While another replica has reached Redis within this time, a write that cannot is that one's to take. */
const PEER_SECONDS = 2;
const POLL_MS = 50;
const ALIVE_MS = 10_000;

/** Not seen closed since it was last seen open. */
const NEVER = { epoch: '', since: Number.POSITIVE_INFINITY };

export interface GateDeps {
  readonly redis: RedisClient;
  readonly control: Kysely<Database>;
  /** Tells this replica from the others. */
  readonly instance: string;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Milliseconds of a monotonic clock; for tests. */
  readonly now?: () => number;
}

export interface State {
  readonly epoch: string;
  readonly open: boolean;
}
interface Heard extends State {
  /** A replica of an older release runs. */
  readonly old: boolean;
}

export const readGate = (db: Kysely<Database>): Promise<State> =>
  db.selectFrom('write_gate').select(['epoch', 'open']).executeTakeFirstOrThrow();

export type Gate = ReturnType<typeof createGate>;

/**
 * Lets writes go on when Redis is gone for all replicas. A row in PostgreSQL says whether the cache may be used. Each replica
 * asks every second, and uses the cache for 3 s from before it asked. A write that nobody can announce closes the row; once it has
 * been closed for 3.5 s no replica reads from the cache any more, and writes need no announcement. Whoever reaches Redis again
 * opens it under a new epoch, so with a new, empty namespace, after every write that passed meanwhile (open.ts). Another timeline of
 * PostgreSQL closes it too: what is cached may tell of commits that a failover has lost.
 *
 * Clocks are compared with themselves only. A replica that is paused finds its permit lapsed when it wakes.
 */
export function createGate({
  redis: client,
  control,
  instance,
  metrics,
  logger,
  now = () => performance.now(),
}: GateDeps) {
  const redis = withScripts(client);
  const runId = watchRunId(client);
  const namespaceOf = (epoch: string) => (runId() ? `c:${runId()}:${epoch}:` : undefined);
  let permit = { epoch: '', until: Number.NEGATIVE_INFINITY };
  let closed = NEVER;
  let stopped = false;
  metrics.watchGate(() => (now() < permit.until ? 1 : 0));

  /** @param asked when the question was sent, not when the answer came: it may have been under way for long */
  function learn({ epoch, open }: State, asked: number): void {
    if (open) {
      if (permit.epoch !== epoch) logger.info({ epoch }, 'the cache may be used');
      permit = { epoch, until: asked + PERMIT_MS };
      closed = NEVER;
    } else if (closed.epoch !== epoch) {
      logger.warn({ epoch }, 'the cache may not be used: writes go on without Redis');
      closed = { epoch, since: now() };
      permit = { epoch: '', until: Number.NEGATIVE_INFINITY };
    }
  }
  const open = createOpener({ redis, control, metrics, logger, namespaceOf, learn, now });

  /** Whether every permit of this epoch has lapsed, wherever it is. */
  const isOver = (epoch: string) => closed.epoch === epoch && now() - closed.since >= PERMIT_MS + MARGIN_MS;

  /** Whether Redis takes writes from this replica: one that is full or read-only is as good as none. */
  async function reachesRedis(): Promise<boolean> {
    return redis.set('c:alive', instance, 'PX', ALIVE_MS).then(
      () => true,
      () => {
        metrics.cacheErrors.inc({ operation: 'gate' });
        return false;
      },
    );
  }

  async function ask(reached: boolean): Promise<Heard> {
    const { rows } = await sql<Heard & { timeline: string; current: string }>`
      with seen as (
        insert into gate_peer (instance, asked_at, reached_at)
        values (${instance}, clock_timestamp(), case when ${reached}::boolean then clock_timestamp() end)
        on conflict (instance) do update
        set asked_at = excluded.asked_at, reached_at = coalesce(excluded.reached_at, gate_peer.reached_at)
      )
      select epoch, open, timeline, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as current,
        exists (select from cache_peer where seen_at > clock_timestamp() - make_interval(secs => 10)) as old
      from write_gate`.execute(control);
    const { timeline, current, ...heard } = rows[0] as (typeof rows)[0];
    if (timeline === current) return heard;
    logger.warn({ timeline, current }, 'PostgreSQL has failed over or was restored: the cache begins anew');
    await sql`
      update write_gate set open = false, timeline = ${current} where timeline = ${timeline}`.execute(control);
    closed = NEVER; // what was closed before may have been lost with the other timeline
    return { ...heard, ...(await readGate(control)) };
  }

  /** Asks once. Never throws: without an answer the permit lapses. */
  async function beat(): Promise<void> {
    try {
      const reached = await reachesRedis();
      const asked = now();
      const state = await ask(reached);
      learn(state, asked);
      if (!state.open && reached && !state.old && isOver(state.epoch)) void open(state);
    } catch (err) {
      logger.debug({ err }, 'PostgreSQL did not say whether the cache may be used');
    }
  }

  /** One at a time: a slow database must not pile them up. */
  async function beatEverySecond(): Promise<void> {
    while (!stopped) {
      await beat();
      await sleep(HEARTBEAT_MS, undefined, { ref: false });
    }
  }

  /** Closes the row, unless another replica reaches Redis. */
  async function shut(): Promise<State> {
    const asked = now();
    await sql`
      update write_gate set open = false
      where open and not exists (
        select from gate_peer
        where instance <> ${instance} and reached_at > clock_timestamp() - make_interval(secs => ${PEER_SECONDS})
      )`.execute(control);
    const state = await readGate(control);
    learn(state, asked);
    return state;
  }

  return {
    /** The epoch in which this replica may use the cache at this moment, and the prefix of its keys; undefined: it may not. */
    permit(): { epoch: string; ns: string } | undefined {
      const ns = now() < permit.until ? namespaceOf(permit.epoch) : undefined;
      return ns === undefined ? undefined : { epoch: permit.epoch, ns };
    },
    reachesRedis: () => runId() !== undefined,
    /** The epoch under which a write may go without an announcement; its guard finds out whether the gate was opened meanwhile. */
    passable: () => (isOver(closed.epoch) ? closed.epoch : undefined),
    /** Opens the memory of an epoch whose gate is open. */
    open: (epoch: string) => open({ epoch, open: true }),

    /** Prepares for a second attempt, which may take seconds. @returns whether the write may pass then; else it must be announced */
    async close() {
      const { epoch, open } = await shut();
      // Open: another replica reaches Redis, and this one may too by now; if not, the write is the other's.
      while (!open && !isOver(epoch)) {
        if (closed.epoch !== epoch || now() < permit.until) return false; // opened again meanwhile
        await sleep(POLL_MS);
      }
      return !open;
    },

    beat,
    /** Asks now, which is over when this returns, and every second from now on. */
    async start() {
      await beat();
      void beatEverySecond();
    },
    stop() {
      stopped = true;
    },
  };
}
