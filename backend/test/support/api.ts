import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { pino } from 'pino';
import supertest from 'supertest';
import { createApps } from '../../src/app.ts';
import type { Cache } from '../../src/platform/cache/cache.ts';
import { createCache } from '../../src/platform/cache/coherent-cache.ts';
import { createGate } from '../../src/platform/cache/gate.ts';
import { createRedis, type RedisClient } from '../../src/platform/cache/redis.ts';
import { createDatabase } from '../../src/platform/database/client.ts';
import type { Database } from '../../src/platform/database/schema.ts';
import type { Deps } from '../../src/platform/deps.ts';
import type { Lifecycle } from '../../src/platform/lifecycle.ts';
import { createMetrics } from '../../src/platform/metrics/metrics.ts';
import { PASSWORDS } from './global-setup.ts';

export const ADMIN_TOKEN = 'the-administrator';
/** For `.set()` of a request. */
export const asAdmin = { Authorization: `Bearer ${ADMIN_TOKEN}` };

/** A 500 is a bug, and its answer does not say which. */
export const logger = pino({ level: process.env.LOG_LEVEL ?? 'error' });

/** One replica in this process: its own pool, Redis connection and registry, as a real one has. */
export interface TestReplica {
  readonly deps: Deps;
  /** What the cache knows about the gate. */
  readonly gate: ReturnType<typeof createGate>;
  readonly lifecycle: Lifecycle;
  /** Requests to what the traffic port serves. */
  readonly api: supertest.Agent;
  /** Requests to what the debug port serves. */
  readonly debug: supertest.Agent;
}

export interface TestApi {
  /** Two replicas on one PostgreSQL and one Redis. */
  readonly replicas: [TestReplica, TestReplica];
  /** The first replica's API, for tests in which one is enough. */
  readonly api: supertest.Agent;
  /** The API of the replica whose turn it is: they alternate. */
  at(turn: number): supertest.Agent;
  /** The test's own connections, as the superuser and without time limits, to look at what is stored. */
  readonly db: Kysely<Database>;
  readonly redis: RedisClient;
  /** What the names of the cache's keys begin with now. */
  namespace(): Promise<string>;
}

const adminUrl = (database: string) => `${process.env.TEST_POSTGRES_URL}/${database}`;
// Test files run side by side on one Redis: each worker has a numbered database of its own.
const redisUrl = () => `${process.env.TEST_REDIS_URL}/${process.env.JEST_WORKER_ID}`;

export function connect(url: string, poolMax = 10, bounded = true): Kysely<Database> {
  return createDatabase({ url, poolMax, applicationName: 'test', logger, bounded });
}

/** A fresh, migrated database. @returns its name, which names the connection strings of all roles */
export async function createTestDatabase(): Promise<string> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const admin = connect(adminUrl('postgres'), 1);
  await sql`create database ${sql.id(name)} template template`.execute(admin);
  await admin.destroy();
  return name;
}

export function databaseUrl(name: string, role: 'postgres' | 'tandem_app' | 'tandem_metrics' = 'tandem_app'): string {
  const url = new URL(adminUrl(name));
  url.username = role;
  if (role === 'tandem_app') url.password = PASSWORDS.app;
  if (role === 'tandem_metrics') url.password = PASSWORDS.metrics;
  return url.href;
}

/** Both replicas and the tests share one thread, which a busy machine may hold up for longer than a replica waits. */
const PATIENCE_MS = 10_000;

/**
 * Compares every answer from the cache with the database, so that each test finds a tag that a write forgot. An answer that
 * differs because a write came between is not there any more when it is asked for again.
 */
function checked(cache: Cache): Cache {
  return {
    ...cache,
    async read(tag, load, field) {
      const answer = await cache.read(tag, load, field);
      if (answer.outcome !== 'HIT') return answer;
      const [inCache, inDatabase] = [JSON.stringify(answer.value), JSON.stringify(await load())];
      if (inCache === inDatabase) return answer;
      const again = await cache.read(tag, load, field);
      if (again.outcome !== 'HIT' || JSON.stringify(again.value) !== inCache) return answer;
      throw new Error(`the cache keeps ${inCache} for ${tag}, but it is ${inDatabase}: a write did not name this tag`);
    },
  };
}

function createReplica(instance: string, database: string, patience: number | undefined): TestReplica {
  const metrics = createMetrics(instance);
  const redis = createRedis(redisUrl(), instance, logger, PATIENCE_MS);
  const url = databaseUrl(database);
  const options = { url, applicationName: instance, logger, connectionTimeout: PATIENCE_MS };
  const db = createDatabase({ ...options, poolMax: 10, metrics });
  const control = createDatabase({ ...options, poolMax: 2 });
  const gate = createGate({ redis, control, instance, metrics, logger });
  const cache = checked(createCache({ redis, control, gate, metrics, patience }));
  const deps: Deps = { db, control, cache, redis, metrics, logger, instance };
  const lifecycle: Lifecycle = { phase: 'serving' };
  const apps = createApps(deps, lifecycle, { adminToken: ADMIN_TOKEN, checkReplies: true });
  return {
    deps,
    gate,
    lifecycle,
    api: supertest(apps.traffic),
    debug: supertest(apps.debug),
  } as unknown as TestReplica;
}

/** Gives the tests of a file two replicas on an empty database and an empty cache. Its fields are there once tests run. */
export function useApi({ patience }: { patience?: number | undefined } = { patience: 500 }): TestApi {
  const api = {} as { -readonly [K in keyof TestApi]: TestApi[K] };
  api.namespace = async () => {
    const [open] = await api.redis.keys('c:*:open');
    if (!open) throw new Error('the cache is not open');
    return open.slice(0, -'open'.length);
  };
  api.at = (turn) => api.replicas[turn % 2 === 0 ? 0 : 1].api;
  beforeAll(async () => {
    const database = await createTestDatabase();
    api.replicas = [createReplica('backend-1', database, patience), createReplica('backend-2', database, patience)];
    api.api = api.replicas[0].api;
    api.db = connect(databaseUrl(database, 'postgres'), 10, false);
    api.redis = createRedis(redisUrl(), 'test', logger, PATIENCE_MS);
    const clients = [api.redis, ...api.replicas.map(({ deps }) => deps.redis as RedisClient)];
    await Promise.all(clients.map((client) => new Promise((resolve) => client.once('ready', resolve))));
    await api.redis.flushdb();
    for (const { gate } of api.replicas) await gate.start();
    // Every write in the whole PostgreSQL that is running now must end first: another test file fills a large table meanwhile.
    while ((await api.redis.keys('c:*:open')).length === 0) await api.replicas[0].deps.cache.start();
    for (const { gate } of api.replicas) await gate.beat();
  });
  afterAll(async () => {
    for (const { deps, gate } of api.replicas) {
      gate.stop();
      await Promise.all([deps.db.destroy(), deps.control.destroy()]);
      deps.redis?.disconnect();
    }
    await api.db.destroy();
    api.redis.disconnect();
  });
  return api;
}

/** Where the next page is, if there is one. */
export function nextOf({ headers }: supertest.Response): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(headers.link ?? '')?.[1];
}

/** Reads until the answer comes from the cache: the fill is not awaited by the read that caused it. */
export async function warm(client: supertest.Agent, path: string) {
  for (let attempt = 0; attempt < 50; attempt++) {
    const { body, headers } = await client.get(path);
    if (headers['x-cache'] === 'HIT') return body;
    await sleep(10);
  }
  throw new Error(`${path} never came from the cache`);
}

/** Checks that an answer is a problem document as RFC 9457 and the contract have it. */
export function expectProblem(response: supertest.Response, status: number): void {
  expect({ status: response.status, type: response.type, body: response.body }).toMatchObject({
    status,
    type: 'application/problem+json',
    body: { type: 'about:blank', title: expect.any(String), status, detail: expect.any(String) },
  });
  expect(response.body.request_id).toBe(response.headers['x-request-id']);
  expect(response.text).not.toMatch(/\bat .*\.(ts|js):\d|select |insert |postgres/i);
}
