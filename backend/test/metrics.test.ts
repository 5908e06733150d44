/** What a replica shows to Prometheus besides the counts of its routes (contract.test.ts) and of its features. */
import { createServer, request } from 'node:http';
import { sql } from 'kysely';
import { createApps } from '../src/app.ts';
import type { Deps } from '../src/platform/deps.ts';
import { createMetrics } from '../src/platform/metrics/metrics.ts';
import { VERSION } from '../src/platform/version.ts';
import { ADMIN_TOKEN, connect, databaseUrl, useApi } from './support/api.ts';
import { sample } from './support/sample.ts';
import { listenAnywhere, until } from './support/servers.ts';

const api = useApi();
const page = async (replica = 0) => (await api.replicas[replica === 0 ? 0 : 1].debug.get('/metrics')).text;

/** What waits for this table waits until `work` is over, however it ends. */
async function whileLocked(table: 'items' | 'tasks', work: () => Promise<void>): Promise<void> {
  const lock = await api.db.startTransaction().execute();
  try {
    await sql`lock table ${sql.table(table)}`.execute(lock);
    await work();
  } finally {
    await lock.rollback().execute();
  }
}

/** One more replica, with figures and a port of its own. */
async function another(change: Partial<Deps> = {}) {
  const deps = { ...api.replicas[0].deps, metrics: createMetrics('backend-9'), ...change };
  const apps = createApps(deps, { phase: 'serving' }, { adminToken: ADMIN_TOKEN });
  const server = createServer(apps.traffic);
  const port = await listenAnywhere(server);
  return { url: `http://127.0.0.1:${port}`, page: () => deps.metrics.registry.metrics(), close: () => server.close() };
}

test('every series says which replica it is of', async () => {
  const lines = (await page(1)).split('\n').filter((line) => line && !line.startsWith('#'));
  expect(lines.length).toBeGreaterThan(300);
  expect(lines.filter((line) => !line.includes('instance="backend-2"'))).toEqual([]);
});

test('it shows its version, its process, its pool and whether it serves', async () => {
  const text = await page();
  expect(sample(text, 'tandem_build_info', { version: VERSION, node_version: process.version })).toBe(1);
  for (const name of [
    'process_resident_memory_bytes',
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_heap_size_used_bytes',
  ])
    expect([name, sample(text, name)]).toEqual([name, expect.any(Number)]);
  expect(sample(text, 'db_pool_max')).toBe(10);
  expect(sample(text, 'tandem_serving')).toBe(1);
  api.replicas[0].lifecycle.phase = 'draining';
  expect(sample(await page(), 'tandem_serving')).toBe(0);
  api.replicas[0].lifecycle.phase = 'serving';
});

test('a request is in progress, and its connection in use, while its database makes it wait', async () => {
  const labels = { method: 'GET', path: '/items' };
  let reads: Promise<number>[] = [];
  await whileLocked('items', async () => {
    reads = Array.from({ length: 12 }, async () => (await api.api.get('/items')).status);
    await until('all of them', async () => sample(await page(), 'http_requests_in_progress', labels) === 12);
    await until('the pool', async () => sample(await page(), 'db_pool_waiting') === 2);
    expect([sample(await page(), 'db_pool_size'), sample(await page(), 'db_pool_idle')]).toEqual([10, 0]);
  });
  expect(new Set(await Promise.all(reads))).toEqual(new Set([200]));
  const text = await page();
  expect(sample(text, 'http_requests_in_progress', labels)).toBe(0);
  expect([sample(text, 'db_pool_idle'), sample(text, 'db_pool_waiting')]).toEqual([10, 0]);
});

test('a client that goes away is counted as 499, and is no longer in progress', async () => {
  const replica = await another();
  const labels = { method: 'GET', path: '/items' };
  const inProgress = async () => sample(await replica.page(), 'http_requests_in_progress', labels);
  await whileLocked('items', async () => {
    const client = request(`${replica.url}/items`).on('error', () => {});
    client.end();
    await until('the request', async () => (await inProgress()) === 1);
    client.destroy();
    await until('its end', async () => (await inProgress()) === 0);
  });
  expect(sample(await replica.page(), 'http_requests_total', { ...labels, status_code: '499' })).toBe(1);
  replica.close();
});

test('an exception is counted by the code of what was thrown; a refusal is none', async () => {
  await whileLocked('tasks', async () => {
    expect((await api.api.get('/tasks?limit=7')).status).toBe(503);
  });
  await api.api.get('/items/not-a-uuid');
  await api.api.get('/nowhere');
  const exceptions = (await page()).split('\n').filter((line) => line.startsWith('http_exceptions_total'));
  // 55P03: the lock was not had in time
  expect(exceptions).toEqual([
    'http_exceptions_total{method="GET",path="/tasks",exception_type="55P03",instance="backend-1"} 1',
  ]);
});

test('without a database the exception has the code of the socket', async () => {
  const db = connect(databaseUrl('none').replace(/:\d+\//, ':1/'));
  const replica = await another({ db });
  expect((await fetch(`${replica.url}/items`)).status).toBe(503);
  const labels = { path: '/items', exception_type: 'ECONNREFUSED' };
  expect(sample(await replica.page(), 'http_exceptions_total', labels)).toBe(1);
  replica.close();
  await db.destroy();
});

test('what alerts and comparisons rest on is there at 0 before it first happens', async () => {
  const replica = await another();
  const text = await replica.page();
  replica.close();
  for (const status_code of ['500', '503', '504']) {
    expect(
      sample(text, 'http_requests_total', { method: 'PATCH', path: '/carts/{id}/items/{item_id}', status_code }),
    ).toBe(0);
  }
  for (const operation of ['read', 'fill', 'begin', 'end', 'clear'])
    expect(sample(text, 'cache_errors_total', { operation })).toBe(0);
  for (const product_id of ['1', '100', 'other'])
    expect(sample(text, 'ecommerce_cart_additions_total', { product_id })).toBe(0);
  expect(sample(text, 'ecommerce_cart_additions_total', { product_id: '101' })).toBeUndefined();
  expect(sample(text, 'ecommerce_orders_total')).toBe(0);
});

test('methods that no route knows share one label', async () => {
  const replica = await another();
  for (const method of ['PROPFIND', 'PURGE', 'SEARCH']) await fetch(`${replica.url}/x`, { method });
  replica.close();
  const text = await replica.page();
  expect(sample(text, 'http_requests_total', { method: '_OTHER', path: 'unmatched', status_code: '404' })).toBe(3);
  expect(text).not.toContain('PURGE');
});
