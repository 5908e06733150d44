/** What clients see while a dependency or a replica is away. */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { connect } from '../support/api.ts';
import { type RunningServer, startPostgres, until } from '../support/servers.ts';
import {
  json,
  launchReplica,
  runMigrations,
  type Stack,
  sendJson,
  startReplica,
  startStack,
} from '../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
}, 60_000);
afterAll(() => stack.stop());

const get = (path: string) => fetch(stack.url + path);
const send = (method: string, path: string, body: unknown) => sendJson(method, stack.url + path, body);
const health = async () => json(await get('/health'));

function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {} // the connection has ended meanwhile
  }
}

async function expectUnavailable(answer: Response): Promise<void> {
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2']);
  expect(await answer.json()).toMatchObject({ status: 503, request_id: answer.headers.get('x-request-id') });
}

test('When PostgreSQL stops, then reads say 503, writes that nobody knows (504), and all recover by themselves when it is back', async () => {
  expect((await send('POST', '/items', { title: 'before' })).status).toBe(201);
  const pids = stack.replicas.map(({ pid }) => pid);
  const probe = async (path: string) => (await fetch(`${stack.replicas[0]?.debugUrl}${path}`)).status;
  await stack.postgres.stop();
  expect([await probe('/health/serving'), await probe('/health/ready')]).toEqual([200, 503]);
  // Twice, so that each replica is asked.
  for (let n = 0; n < 2; n++) {
    await expectUnavailable(await get('/items'));
    // No replica can know whether it is the first that Nginx asks.
    expect((await send('POST', '/items', { title: 'lost' })).status).toBe(504);
    expect((await send('PUT', '/kv', { key: 'k', value: 'lost' })).status).toBe(504);
    await expectUnavailable(await get('/kv?key=unseen'));
    const answer = await get('/health');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ status: 'unavailable', database: 'unhealthy', cache: 'healthy' });
    expect((await get('/ping')).status).toBe(200);
  }
  stack.postgres = await stack.postgres.restart();
  await until('recovery', async () => (await get('/items')).ok && (await get('/items')).ok);
  expect((await json(await get('/items'))).map(({ title }: { title: string }) => title)).toEqual(['before']);
  expect(await health()).toMatchObject({ status: 'ok' });
  expect(stack.replicas.map(({ pid }) => pid)).toEqual(pids);
});

test('When PostgreSQL hangs, then the answer is 503 instead of none, and all recover when it wakes', async () => {
  const db = connect(`${stack.postgres.adminUrl}/postgres`, 1);
  const { rows } = await sql<{ pid: number }>`select pid from pg_stat_activity`.execute(db);
  await db.destroy();
  const pids = [stack.postgres.pid, ...rows.map(({ pid }) => pid)];
  const signal = (name: NodeJS.Signals) => signalAll(pids, name);
  signal('SIGSTOP');
  try {
    for (let n = 0; n < 2; n++) {
      const answer = await get('/items');
      // The replica itself gave up and says so, before Nginx gave up on the replica.
      expect(answer.headers.get('x-served-by')).toMatch(/^backend-/);
      await expectUnavailable(answer);
    }
  } finally {
    signal('SIGCONT');
  }
  await until('recovery', async () => (await get('/items')).ok && (await get('/items')).ok);
});

test('When a frozen connection gives up on a write, then no later write is acknowledged and lost on it', async () => {
  // A new replica has one connection, which the second write would otherwise take over from the first.
  const replica = await startReplica('frozen', stack.postgres, stack.redis);
  const write = (method: string, path: string, body: unknown) => sendJson(method, replica.url + path, body);
  const db = connect(`${stack.postgres.adminUrl}/postgres`, 1);
  const { rows } = await sql<{ pid: number }>`
    select pid from pg_stat_activity where application_name = 'frozen'`.execute(db);
  expect(rows.length).toBeGreaterThan(0);
  const signal = (name: NodeJS.Signals) =>
    signalAll(
      rows.map(({ pid }) => pid),
      name,
    );
  signal('SIGSTOP');
  try {
    // 503 if another connection could make sure that it will not happen.
    expect([503, 504]).toContain((await write('PUT', '/kv', { key: 'frozen', value: 'v' })).status);
    const created = write('POST', '/items', { title: 'acknowledged' });
    await sleep(500);
    signal('SIGCONT');
    const answer = await created;
    expect(answer.status).toBe(201);
    const { id } = await json(answer);
    // Longer than a transaction that nobody commits may live.
    for (let n = 0; n < 8; n++) {
      expect((await get(`/items/${id}`)).status).toBe(200);
      await sleep(500);
    }
  } finally {
    signal('SIGCONT');
    await db.destroy();
    await replica.stop();
  }
});

/** Writes until it is done; before, each is refused and changes nothing. @returns how often it was refused */
async function writeUntilDone(key: string, value: string): Promise<number> {
  for (let refusals = 0; refusals < 50; refusals++) {
    const answer = await send('PUT', '/kv', { key, value });
    if (answer.ok) return refusals;
    await expectUnavailable(answer);
    await sleep(100);
  }
  throw new Error('no write was done');
}
const usesCache = (path: string) =>
  until('the cache to be used', async () => (await get(path)).headers.get('x-cache') === 'HIT');

test('When Redis stops, then items and reads go on, cached writes after a short pause too, and it recovers', async () => {
  expect((await send('PUT', '/kv', { key: 'kept', value: 'old' })).status).toBe(200);
  await stack.redis.stop();
  for (let n = 0; n < 2; n++) {
    const created = await send('POST', '/items', { title: `without redis ${n}` });
    expect(created.status).toBe(201);
    const { id } = await json(created);
    expect((await send('PUT', `/items/${id}`, { status: 'done' })).status).toBe(200);
    expect((await get(`/items/${id}`)).status).toBe(200);
    expect((await fetch(`${stack.url}/items/${id}`, { method: 'DELETE' })).status).toBe(204);
    await expectUnavailable(await send('PUT', '/kv', { key: 'kept', value: 'new' }));
    const read = await get('/kv?key=kept');
    expect([read.headers.get('x-cache'), (await json(read)).source]).toEqual(['BYPASS', 'database']);
    expect(await health()).toMatchObject({ status: 'degraded', database: 'healthy', cache: 'unhealthy' });
    expect((await get('/health')).status).toBe(200);
  }
  expect((await json(await get('/kv?key=kept'))).data.value).toBe('old');
  expect(await writeUntilDone('kept', 'without redis')).toBeGreaterThan(0);
  expect((await json(await get('/kv?key=kept'))).data.value).toBe('without redis');
  for (let n = 0; n < 20; n++) expect((await send('PUT', '/kv', { key: 'kept', value: `${n}` })).status).toBe(200);
  expect((await json(await get('/kv?key=kept'))).data.value).toBe('19');
  stack.redis = await stack.redis.restart();
  await until('recovery', async () => (await health()).status === 'ok' && (await health()).status === 'ok');
  await usesCache('/kv?key=kept');
  expect((await send('PUT', '/kv', { key: 'kept', value: 'new' })).status).toBe(200);
  expect((await json(await get('/kv?key=kept'))).data.value).toBe('new');
});

test('When Redis hangs, then reads come from the database and cached writes go on after a short pause, and it recovers', async () => {
  expect((await send('PUT', '/kv', { key: 'hung', value: 'old' })).status).toBe(200);
  stack.redis.signal('SIGSTOP');
  try {
    // At once: two seconds later, when no replica has reached Redis lately, a write goes on without it.
    await expectUnavailable(await send('PUT', '/kv', { key: 'hung', value: 'new' }));
    for (let n = 0; n < 2; n++) {
      const read = await get('/kv?key=hung');
      expect([read.status, read.headers.get('x-cache')]).toEqual([200, 'BYPASS']);
      expect((await send('POST', '/items', { title: 'redis hangs' })).status).toBe(201);
    }
    expect((await json(await get('/kv?key=hung'))).data.value).toBe('old');
    await writeUntilDone('hung', 'meanwhile');
  } finally {
    stack.redis.signal('SIGCONT');
  }
  await until('recovery', async () => (await health()).status === 'ok' && (await health()).status === 'ok');
  expect((await json(await get('/kv?key=hung'))).data.value).toBe('meanwhile');
  await usesCache('/kv?key=hung');
  expect((await json(await get('/kv?key=hung'))).data.value).toBe('meanwhile');
});

test('When PostgreSQL cuts every connection under load, then no replica dies and all recover', async () => {
  const pids = stack.replicas.map(({ pid }) => pid);
  let running = true;
  const statuses = new Set<number>();
  const clients = Array.from({ length: 16 }, async (_, n) => {
    while (running)
      statuses.add((await (n % 2 ? get('/items') : send('PUT', '/kv', { key: `k${n}`, value: 'v' }))).status);
  });
  const db = connect(`${stack.postgres.adminUrl}/postgres`, 1);
  for (let n = 0; n < 20; n++) {
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tandem_app'`.execute(db);
  }
  await db.destroy();
  running = false;
  await Promise.all(clients);
  expect([...statuses].filter((status) => ![200, 503, 504].includes(status))).toEqual([]);
  await until('recovery', async () => (await get('/items')).ok && (await get('/items')).ok);
  for (const replica of stack.replicas) expect((await fetch(`${replica.debugUrl}/health/live`)).status).toBe(200);
  expect(stack.replicas.map(({ pid }) => pid)).toEqual(pids);
});

test('When a replica gets SIGTERM under load, then no read fails and it exits with 0', async () => {
  const leaving = stack.replicas[1] as RunningServer;
  let running = true;
  const failures: unknown[] = [];
  let reads = 0;
  const clients = Array.from({ length: 8 }, async () => {
    while (running) {
      const answer = await get('/items').catch((error: unknown) => error);
      if (!(answer instanceof Response) || !answer.ok) failures.push(answer);
      else await answer.arrayBuffer();
      reads++;
    }
  });
  leaving.signal('SIGTERM');
  expect(await leaving.exited).toBe(0);
  running = false;
  await Promise.all(clients);
  expect(failures).toEqual([]);
  expect(reads).toBeGreaterThan(50);
  stack.replicas[1] = await startReplica('backend-2', stack.postgres, stack.redis, leaving.port);
  await until('both serve', async () => {
    const names = [await get('/ping'), await get('/ping')].map((answer) => answer.headers.get('x-served-by'));
    return new Set(names).size === 2;
  });
});

test('When every replica is dead, then Nginx says 503 as a problem, and the first one back serves', async () => {
  await Promise.all(stack.replicas.map((replica) => replica.stop()));
  await expectUnavailable(await get('/ping'));
  await expectUnavailable(await send('POST', '/items', { title: 'nobody hears' }));
  const { port } = stack.replicas[0] as RunningServer;
  stack.replicas[0] = await startReplica('backend-1', stack.postgres, stack.redis, port);
  await until('service', async () => (await get('/ping')).ok);
});

test('Before the migrations have run, a replica is alive, not ready, and its traffic port is closed', async () => {
  const postgres = await startPostgres();
  const replica = await launchReplica('early', postgres, stack.redis);
  expect((await fetch(`${replica.debugUrl}/health/live`)).status).toBe(200);
  expect((await fetch(`${replica.debugUrl}/health/ready`)).status).toBe(503);
  await expect(fetch(`${replica.url}/ping`)).rejects.toThrow();
  runMigrations(postgres);
  await until('ready', async () => (await fetch(`${replica.debugUrl}/health/ready`)).ok);
  expect((await fetch(`${replica.url}/ping`)).status).toBe(200);
  await replica.stop();
  await postgres.stop();
});
