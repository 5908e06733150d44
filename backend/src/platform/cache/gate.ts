import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Logger } from 'pino';
import type { Database } from '../database/schema.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Gate } from './coherent-cache.ts';
import type { RedisClient } from './redis.ts';

/** How long a replica may use the cache after it has asked whether it may. */
const PERMIT_MS = 3_000;
/** For clocks that differ in rate, by up to 10 %. */
const MARGIN_MS = 500;
const HEARTBEAT_MS = 1_000;
/** While another replica has reached Redis within this time, a write that cannot is that one's to take. */
const PEER_SECONDS = 2;
const POLL_MS = 50;
const ALIVE_MS = 10_000;

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

interface State {
  readonly epoch: string;
  readonly open: boolean;
}

/**
 * Lets writes go on when Redis is gone for all replicas. A row in PostgreSQL says whether the cache may be used. Each replica
 * asks every second, and uses the cache for 3 s from before it asked. A write that nobody can announce closes the row; once it has
 * been closed for 3.5 s no replica reads from the cache any more, and writes need no announcement. Whoever reaches Redis again
 * opens it under a new epoch, so with a new, empty namespace, which waits (open.ts) for every write that passed meanwhile.
 *
 * Clocks are compared with themselves only. A replica that is paused finds its permit lapsed when it wakes.
 */
export function createGate({ redis, control, instance, metrics, logger, now = () => performance.now() }: GateDeps) {
  let permit = { epoch: '', until: Number.NEGATIVE_INFINITY };
  let closed = { epoch: '', since: Number.POSITIVE_INFINITY };
  let stopped = false;
  metrics.watchGate(() => (now() < permit.until ? 1 : 0));

  /** @param asked when the question was sent, not when the answer came: it may have been under way for long */
  function learn({ epoch, open }: State, asked: number): void {
    if (open) {
      if (permit.epoch !== epoch) logger.info({ epoch }, 'the cache may be used');
      permit = { epoch, until: asked + PERMIT_MS };
    } else if (closed.epoch !== epoch) {
      logger.warn({ epoch }, 'the cache may not be used: writes go on without Redis');
      closed = { epoch, since: now() };
      permit = { epoch: '', until: Number.NEGATIVE_INFINITY };
    }
  }
  /** Whether every permit of this epoch has lapsed, wherever it is. */
  const isOver = (epoch: string) => closed.epoch === epoch && now() - closed.since >= PERMIT_MS + MARGIN_MS;

  async function read(db: Kysely<Database>): Promise<State> {
    return db.selectFrom('cache_gate').select(['epoch', 'open']).executeTakeFirstOrThrow();
  }

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

  async function ask(reached: boolean): Promise<State> {
    const { rows } = await sql<State>`
      with seen as (
        insert into cache_peer (instance, seen_at) select ${instance}, clock_timestamp() where ${reached}::boolean
        on conflict (instance) do update set seen_at = excluded.seen_at
      )
      select epoch, open from cache_gate`.execute(control);
    return rows[0] as State;
  }

  /** Only the epoch that this replica has seen closed for long enough: a later one has permits of its own. */
  async function reopen(epoch: string): Promise<void> {
    const asked = now();
    const opened = await control
      .updateTable('cache_gate')
      .set({ open: true, epoch: sql`gen_random_uuid()` })
      .where('epoch', '=', epoch)
      .where('open', '=', false)
      .returning(['epoch', 'open'])
      .executeTakeFirst();
    if (opened) learn(opened, asked);
  }

  /** Asks once. Never throws: without an answer the permit lapses. */
  async function beat(): Promise<void> {
    try {
      const reached = await reachesRedis();
      const asked = now();
      const state = await ask(reached);
      learn(state, asked);
      if (!state.open && reached && isOver(state.epoch)) await reopen(state.epoch);
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
      update cache_gate set open = false
      where open and not exists (
        select from cache_peer
        where instance <> ${instance} and seen_at > clock_timestamp() - make_interval(secs => ${PEER_SECONDS})
      )`.execute(control);
    const state = await read(control);
    learn(state, asked);
    return state;
  }

  return {
    epoch: () => (now() < permit.until ? permit.epoch : undefined),

    // The transaction has its xid. If the row is opened again after this look at it, whoever opens the new, empty memory waits
    // for that xid.
    async mayPass(trx: Transaction<Database>) {
      const { epoch, open } = await read(trx);
      return !open && isOver(epoch);
    },

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
  } satisfies Gate & Record<string, unknown>;
}
