/** A small world for schedules: replicas in this process, on a PostgreSQL and a Redis of their own, stopped wherever it matters. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { type KyselyPlugin, sql } from 'kysely';
import { pino } from 'pino';
import type * as CacheModule from '../../src/platform/cache/coherent-cache.ts';
import type * as GateModule from '../../src/platform/cache/gate.ts';
import type * as RedisModule from '../../src/platform/cache/redis.ts';
import type * as DatabaseModule from '../../src/platform/database/client.ts';
import type * as OutcomesModule from '../../src/platform/database/write-outcomes.ts';
import type * as WriteModule from '../../src/platform/http/write.ts';
import type * as MetricsModule from '../../src/platform/metrics/metrics.ts';
import { connect } from '../support/api.ts';
import { startForwarder } from '../support/forwarder.ts';
import { freePort, startPostgres, startRedis, until } from '../support/servers.ts';
import { runMigrations } from '../support/stack.ts';
import { findViolation, type Operation, type Violation } from './checker.ts';

const logger = pino({ level: 'silent' });
const TAG = 'kv:x';
/** How long a reader leaves a marker alone here. */
const PATIENCE_MS = 250;

/** What a schedule does when a step of the protocol is reached. */
type Step = () => Promise<unknown>;

/** Steps of one write. */
export interface WriteSteps {
  readonly beforeBegin?: Step;
  /** Announced; the statement comes next. */
  readonly afterBegin?: Step;
  /** Let through by the gate; the statement comes next. */
  readonly afterPass?: Step;
  /** A row of another key with the same tag, which is not part of the history. */
  readonly elsewhere?: boolean;
  /** Absent: one of its own. */
  readonly name?: string;
  /** Another attempt of a write that is in the history already. */
  readonly again?: boolean;
}

export type World = Awaited<ReturnType<typeof createWorld>>;
export type Replica = Awaited<ReturnType<World['replica']>>;

/** @param source the folder of the code that is tested: the project's, or a variant's */
export async function createWorld(source: string) {
  const load = <M>(file: string) => import(pathToFileURL(`${source}/platform/${file}`).href) as Promise<M>;
  const { createCache } = await load<typeof CacheModule>('cache/coherent-cache.ts');
  const { createGate } = await load<typeof GateModule>('cache/gate.ts');
  const { createRedis } = await load<typeof RedisModule>('cache/redis.ts');
  const { createDatabase } = await load<typeof DatabaseModule>('database/client.ts');
  const { preparedWrite } = await load<typeof OutcomesModule>('database/write-outcomes.ts');
  const { createWrite } = await load<typeof WriteModule>('http/write.ts');
  const { createMetrics } = await load<typeof MetricsModule>('metrics/metrics.ts');

  const update = preparedWrite((db, { key, value }: { key: string; value: string }) =>
    db.updateTable('kv').set({ value }).where('key', '=', key).returning('key'),
  );

  const [postgres, server] = await Promise.all([startPostgres(), startRedis()]);
  runMigrations(postgres);
  const url = `${postgres.adminUrl}/postgres`;
  const admin = connect(url, 4, false);
  let redisServer = server;
  let redisAdmin = new Redis(server.url);
  const closedPort = await freePort();

  let history: Operation[] = [];
  /** Added to the replicas' clocks: a schedule does not wait for seconds to pass. */
  let skipped = 0;
  let stops: (() => Promise<void>)[] = [];
  const now = () => performance.now();

  /** @param reaches whether this replica's Redis connection leads anywhere */
  async function replica(name: string, reaches = true) {
    const steps: { write?: WriteSteps; control?: Step | undefined; open?: Step | undefined } = {};
    const slow: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        await steps.control?.();
        return result;
      },
    };
    const metrics = createMetrics(name);
    const redis = createRedis(reaches ? redisServer.url : `redis://127.0.0.1:${closedPort}`, name, logger, 2_000);
    if (reaches) await new Promise((resolve) => redis.once('ready', resolve));
    const way = await startForwarder(postgres.port);
    const through = new URL(url);
    through.port = `${way.port}`;
    const db = createDatabase({ url: through.href, poolMax: 10, applicationName: name, logger });
    const connections = createDatabase({ url, poolMax: 4, applicationName: name, logger });
    const control = connections.withPlugin(slow);
    const real = createGate({ redis, control, instance: name, metrics, logger, now: () => now() + skipped });
    const cache = createCache({ redis, control, gate: real, metrics, patience: PATIENCE_MS });
    const send = createWrite({ db, control, cache, redis, metrics, logger, instance: name });
    // The code calls its scripts on the client, so a schedule can come between.
    type Command = (...args: unknown[]) => Promise<unknown>;
    const scripts = redis as unknown as Record<'cacheBegin' | 'cacheOpen', Command | undefined>;
    const [begin, open] = [scripts.cacheBegin?.bind(redis), scripts.cacheOpen?.bind(redis)];
    scripts.cacheBegin = async (...args) => {
      const { write } = steps;
      await write?.beforeBegin?.();
      const reply = await begin?.(...args);
      await write?.afterBegin?.();
      return reply;
    };
    scripts.cacheOpen = async (...args) => {
      await steps.open?.();
      return open?.(...args);
    };
    stops.push(async () => {
      real.stop();
      redis.disconnect();
      await Promise.all([db.destroy(), connections.destroy()]);
      await way.stop();
    });

    /** Reads the register, and stays between its SELECT and its answer for as long as `loaded` takes. */
    async function read(loaded?: Step) {
      const invoke = now();
      const { value, outcome } = await cache.read(TAG, async () => {
        const row = await db.selectFrom('kv').select('value').where('key', '=', 'x').executeTakeFirstOrThrow();
        await loaded?.();
        return row.value;
      });
      history.push({ kind: 'read', value, invoke, return: now(), by: `${name} ${outcome}` });
      return { value, outcome };
    }

    /** Writes the register; how it ended is in the history. */
    async function write(value: string, plan: WriteSteps = {}): Promise<void> {
      const invoke = now();
      const entry = { kind: 'write', value, invoke, by: name } as const;
      const put = (end: Partial<Operation>) => {
        if (!plan.elsewhere && !plan.again) history.push({ ...entry, return: Number.POSITIVE_INFINITY, ...end });
      };
      steps.write = plan;
      try {
        const statement = update({ value, key: plan.elsewhere ? 'y' : 'x' });
        await send(
          { attempt: plan.name ?? `attempt:${randomUUID()}` },
          {
            changed: [TAG],
            async statement(on, keeping, check) {
              if (keeping.open === false) await plan.afterPass?.();
              return statement(on, keeping, check);
            },
            answer: () => ({ status: 200 }),
          },
        );
        put({ return: now() });
      } catch (error) {
        const refused = (error as { status?: number }).status === 503;
        put(refused ? { return: now(), refused: true } : {});
      } finally {
        steps.write = {};
      }
    }

    /** What this replica had to tell Redis has been answered; the ends of markers wait a moment for a command to go with. */
    const settled = async () => {
      await sleep(10);
      await redis.ping().catch(() => {});
    };
    /** Its statements go on in PostgreSQL, and nobody hears of them. */
    const loseConnections = () => way.drop();
    return { steps, cache, gate: real, redis, read, write, settled, loseConnections };
  }

  return {
    admin,
    replica,
    flush: () => redisAdmin.flushall(),
    /** Moves the clocks of all replicas. */
    skip(ms: number) {
      skipped += ms;
    },
    /** Until `work` is over, time passes twenty times as fast. */
    async whileTimePasses<T>(work: Promise<T>): Promise<T> {
      let over = false;
      const ticking = (async () => {
        while (!over) {
          await sleep(20);
          skipped += 400;
        }
      })();
      try {
        return await work;
      } finally {
        over = true;
        await ticking;
      }
    },
    /** Nobody has reached Redis lately, as far as the others know. */
    forgetPeers: () => sql`delete from gate_peer`.execute(admin),
    async restartRedis(dump: string) {
      redisAdmin.disconnect();
      redisServer.signal('SIGKILL');
      await redisServer.exited;
      redisServer = await redisServer.restart(dump);
      redisAdmin = new Redis(redisServer.url);
    },
    async save() {
      await redisAdmin.save();
      return redisServer.dump;
    },
    /** Waits until readers of this replica get the value from the cache. */
    warm: (of: { read(): Promise<{ outcome: string }> }) =>
      until('a hit', async () => (await of.read()).outcome === 'HIT'),

    /** Runs one schedule on an empty cache, and judges what its clients saw. */
    async judge(schedule: () => Promise<unknown>): Promise<Violation | undefined> {
      await redisAdmin.flushall();
      await sql`truncate kv, gate_peer`.execute(admin);
      await sql`update write_gate set open = true, epoch = gen_random_uuid()`.execute(admin);
      await admin
        .insertInto('kv')
        .values([
          { key: 'x', value: 'first' },
          { key: 'y', value: 'first' },
        ])
        .execute();
      history = [{ kind: 'write', value: 'first', invoke: -1, return: -1 }];
      skipped = 0;
      try {
        await schedule();
      } finally {
        await Promise.all(stops.map((stop) => stop()));
        stops = [];
      }
      return findViolation(history);
    },

    async stop() {
      redisAdmin.disconnect();
      await admin.destroy();
      await Promise.all([postgres.stop(), redisServer.stop()]);
    },
  };
}
