/** Three replicas behind Nginx, and what is done to them while clients read and write. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Kysely, sql } from 'kysely';
import type { Database } from '../../src/platform/database/schema.ts';
import { connect } from '../support/api.ts';
import { type Forwarder, startForwarder } from '../support/forwarder.ts';
import { sample } from '../support/sample.ts';
import {
  type Nginx,
  type Postgres,
  type RedisServer,
  startNginx,
  startPostgres,
  startRedis,
  until,
} from '../support/servers.ts';
import { type Replica, runMigrations, startReplica } from '../support/stack.ts';

const PAUSE = path.join(import.meta.dirname, 'pause.ts');
const NAMES = ['backend-1', 'backend-2', 'backend-3'];

export interface Stack {
  readonly folder: string;
  readonly pauses: string;
  postgres: Postgres;
  redis: RedisServer;
  replicas: Replica[];
  nginx: Nginx;
  /** The third replica's way to Redis. */
  way: Forwarder;
}

export interface Fault {
  readonly what: string;
  /** For replicas that now and then stop by themselves (pause.ts). */
  readonly pauses?: string;
  /** Reads may not fail either, because no replica and no database does. */
  readonly readsNeverFail?: true;
  /** The share of writes; the usual one if absent. So for clients. */
  readonly writes?: number;
  readonly clients?: number;
  /** Once; it leaves everything running. `rest` waits, and is false when it is time to end. */
  run(stack: Stack, random: () => number, rest: (ms: number) => Promise<boolean>): Promise<void>;
}

function startOne(stack: Stack, name: string, port?: number): Promise<Replica> {
  const redis = name === NAMES[2] ? { ...stack.redis, url: `redis://127.0.0.1:${stack.way.port}` } : stack.redis;
  const program = { folder: stack.folder, ...(stack.pauses && { preload: PAUSE }) };
  const settings = { CACHE_TEST_PAUSE: stack.pauses, LOG_LEVEL: 'warn' };
  return startReplica(name, stack.postgres, redis, port, settings, program);
}

/** @param folder has the source of the replicas in src/ */
export async function startStack(folder: string, pauses: string): Promise<Stack> {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  runMigrations(postgres);
  const way = await startForwarder(redis.port);
  const stack = { folder, pauses, postgres, redis, way } as Stack;
  stack.replicas = await Promise.all(NAMES.map((name) => startOne(stack, name)));
  stack.nginx = await startNginx(stack.replicas.map(({ port }) => port));
  return stack;
}

export async function stopStack({ nginx, replicas, redis, postgres, way }: Stack): Promise<void> {
  await nginx.stop();
  await Promise.all(replicas.map((replica) => replica.stop()));
  await Promise.all([redis.stop(), postgres.stop(), way.stop()]);
}

/** What the replicas that live have stored in the cache since they started. */
export async function countFills({ replicas }: Stack): Promise<number> {
  const pages = await Promise.all(replicas.map(async ({ debugUrl }) => (await fetch(`${debugUrl}/metrics`)).text()));
  return pages.reduce((sum, page) => sum + (sample(page, 'cache_fills_total', { outcome: 'stored' }) ?? 0), 0);
}

async function withAdmin(stack: Stack, work: (db: Kysely<Database>) => Promise<unknown>): Promise<void> {
  const db = connect(`${stack.postgres.adminUrl}/postgres`, 1, false);
  await work(db).finally(() => db.destroy());
}

async function withRedis(stack: Stack, work: (redis: Redis) => Promise<unknown>): Promise<void> {
  const redis = new Redis(stack.redis.url, { maxRetriesPerRequest: 1 });
  redis.on('error', () => {});
  await work(redis).finally(() => redis.disconnect());
}

async function killRedis(stack: Stack): Promise<void> {
  stack.redis.signal('SIGKILL');
  await stack.redis.exited;
}

/** As a machine that loses power does it: nobody is told. Its children end when they notice that it is gone. */
async function killPostgres(stack: Stack): Promise<void> {
  const { pid } = stack.postgres;
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', `${pid}`], { encoding: 'utf8' })
    .trim()
    .split(/\s+/);
  stack.postgres.signal('SIGKILL');
  await stack.postgres.exited;
  const alive = (child: string) => {
    try {
      process.kill(Number(child), 0);
      return true;
    } catch {
      return false;
    }
  };
  await until('the end of its children', () => !children.some(alive));
  stack.postgres = await stack.postgres.restart();
}

async function flushEvery(stack: Stack, ms: number, rest: (ms: number) => Promise<boolean>): Promise<void> {
  await withRedis(stack, async (redis) => {
    while (await rest(ms)) await redis.flushall();
  });
}

export const faults: Readonly<Record<string, Fault>> = {
  a: { what: 'nothing', readsNeverFail: true, async run() {} },
  b: {
    what: 'kill -9 of a replica every 2 s',
    async run(stack, random, rest) {
      while (await rest(2_000)) {
        const n = Math.floor(random() * NAMES.length);
        const victim = stack.replicas[n] as Replica;
        await victim.stop();
        stack.replicas[n] = await startOne(stack, victim.name, victim.port);
      }
    },
  },
  c: {
    what: 'Redis killed and started empty, or with an old dump, or flushed again and again',
    readsNeverFail: true,
    async run(stack, _random, rest) {
      for (let n = 0; await rest(1_000); n++) {
        if (n % 3 === 0) {
          await withRedis(stack, async (redis) => {
            for (let times = 0; times < 10; times++) {
              await redis.flushall();
              await sleep(100);
            }
          });
        } else {
          if (n % 3 === 2) await withRedis(stack, (redis) => redis.save());
          await rest(1_000);
          await killRedis(stack);
          stack.redis = await stack.redis.restart(n % 3 === 2 ? stack.redis.dump : undefined);
        }
      }
    },
  },
  d: {
    what: 'Redis paused for 5 s',
    readsNeverFail: true,
    async run(stack, _random, rest) {
      while (await rest(3_000)) {
        stack.redis.signal('SIGSTOP');
        await sleep(5_000);
        stack.redis.signal('SIGCONT');
      }
    },
  },
  e: {
    what: 'a replica paused for 5 s, and pauses of up to 3 s between announcement and statement',
    pauses: 'begin:3000:0.005',
    async run(stack, random, rest) {
      while (await rest(1_000)) {
        const victim = stack.replicas[Math.floor(random() * NAMES.length)] as Replica;
        victim.signal('SIGSTOP');
        await sleep(5_000);
        victim.signal('SIGCONT');
      }
    },
  },
  f: {
    what: 'tables locked for 2 s, and pauses of up to 500 ms between a load and its fill',
    pauses: 'load:500:0.3',
    async run(stack, _random, rest) {
      while (await rest(2_000)) {
        await withAdmin(stack, (db) =>
          db.transaction().execute(async (trx) => {
            await sql`lock table kv, tasks, products in access exclusive mode`.execute(trx);
            await sleep(2_000);
          }),
        );
      }
    },
  },
  g: {
    what: "one replica's way to Redis cut for 4 s",
    readsNeverFail: true,
    async run(stack, _random, rest) {
      while (await rest(3_000)) {
        stack.way.cut();
        await sleep(4_000);
        stack.way.heal();
      }
    },
  },
  h: {
    what: 'connections of writers ended by PostgreSQL, and PostgreSQL killed with -9',
    async run(stack, _random, rest) {
      for (let n = 1; await rest(300); n++) {
        if (n % 20 === 0) await killPostgres(stack);
        else {
          await withAdmin(stack, (db) =>
            sql`select pg_terminate_backend(pid) from pg_stat_activity
                where application_name like 'backend-%' and backend_xid is not null`.execute(db),
          );
        }
      }
    },
  },
  i: {
    what: 'Redis gone for most of the time',
    readsNeverFail: true,
    async run(stack, _random, rest) {
      while (await rest(3_000)) {
        await killRedis(stack);
        await rest(30_000);
        stack.redis = await stack.redis.restart();
      }
    },
  },
  j: {
    what: 'Redis full (maxmemory, noeviction) for most of the time',
    readsNeverFail: true,
    async run(stack, _random, rest) {
      while (await rest(3_000)) {
        await withRedis(stack, (redis) => redis.config('SET', 'maxmemory', '1'));
        await rest(10_000);
        await withRedis(stack, (redis) => redis.config('SET', 'maxmemory', '0'));
      }
    },
  },
  k: {
    what: 'PostgreSQL killed with -9 between COMMIT and its answer',
    async run(stack, _random, rest) {
      while (await rest(2_000)) {
        await withAdmin(stack, async (db) => {
          // COMMIT is on disk, and its answer waits for a standby that never comes.
          await sql`alter system set synchronous_standby_names = 'nobody'`.execute(db);
          await sql`select pg_reload_conf()`.execute(db);
          await sleep(200);
          await sql`alter system reset synchronous_standby_names`.execute(db);
        });
        await killPostgres(stack);
      }
    },
  },
  l: {
    what: 'pauses of up to 12 s between announcement and statement: longer than a marker is left alone',
    pauses: 'begin:12000:0.003',
    readsNeverFail: true,
    async run() {},
  },
  m: {
    what: 'Redis flushed every 300 ms, and pauses of up to 400 ms between announcement and statement',
    pauses: 'begin:400:0.3',
    readsNeverFail: true,
    run: (stack, _random, rest) => flushEvery(stack, 300, rest),
  },
  n: {
    what: 'Redis flushed every 2 s, and an opener paused for up to 5 s after each of its steps',
    pauses: 'take:5000:0.4,look:5000:0.3,open:5000:0.4',
    readsNeverFail: true,
    run: (stack, _random, rest) => flushEvery(stack, 2_000, rest),
  },
  o: {
    what: 'a new epoch every 100 ms, under 16 clients that mostly write',
    writes: 0.8,
    clients: 16,
    readsNeverFail: true,
    run: (stack, _random, rest) => flushEvery(stack, 100, rest),
  },
};
