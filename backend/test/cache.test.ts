/** How the cache uses Redis and PostgreSQL. That no client can catch it lying is shown by test/coherence. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { pino } from 'pino';
import { insertItem } from '../src/features/items/items.repository.ts';
import type { Cache } from '../src/platform/cache/cache.ts';
import { createCache } from '../src/platform/cache/coherent-cache.ts';
import { createGate } from '../src/platform/cache/gate.ts';
import { createRedis, type RedisClient } from '../src/platform/cache/redis.ts';
import { UNCACHED } from '../src/platform/database/write-outcomes.ts';
import { oneStatement } from '../src/platform/http/route.ts';
import { createWrite } from '../src/platform/http/write.ts';
import { asAdmin, expectProblem, logger, useApi, warm } from './support/api.ts';
import { sample } from './support/sample.ts';
import { type RedisServer, startRedis, until } from './support/servers.ts';

const api = useApi();
let key = 0;
const nextKey = () => `cache-test:${++key}`;
const cacheOf = (replica: 0 | 1) => api.replicas[replica].deps.cache;
const keyOf = async (kind: 'v' | 'l' | 'w', tag: string) => `${await api.namespace()}${kind}:${tag}`;
/** A write that changes the answers of these tags. */
function touch(cache: Cache, tags: readonly string[]) {
  const { deps } = api.replicas[0];
  const work = oneStatement({
    changed: tags,
    statement: insertItem({ title: 'written' }),
    answer: () => ({ status: 201 }),
  });
  return createWrite({ ...deps, cache })({ attempt: `attempt:${randomUUID()}` }, work);
}
/** Redis has answered everything that this replica has to tell it: fills, and the ends of markers, which wait a moment for a command to go with. */
async function settled(replica: 0 | 1): Promise<void> {
  await sleep(20);
  await api.replicas[replica].deps.redis?.ping();
}
const counted = async (name: string, labels: Record<string, string>) =>
  sample((await api.replicas[0].debug.get('/metrics')).text, name, labels) ?? 0;

test('When many readers miss at once, then one of them fills', async () => {
  const name = nextKey();
  const reads = Array.from({ length: 20 }, (_, n) =>
    cacheOf(n % 2 === 0 ? 0 : 1).read(name, async () => sleep(20, 'v')),
  );
  const outcomes = (await Promise.all(reads)).map(({ outcome }) => outcome);
  expect(outcomes.filter((outcome) => outcome === 'MISS')).toHaveLength(1);
  await Promise.all([settled(0), settled(1)]);
  expect(await cacheOf(0).read(name, async () => 'v')).toEqual({ value: 'v', outcome: 'HIT' });
});

test('When many readers have to go past the cache, then a replica runs one load and one more at a time', async () => {
  const name = nextKey();
  const finish = Promise.withResolvers<void>();
  let loads = 0;
  const load = async () => {
    loads++;
    await finish.promise;
    return 'v';
  };
  const lease = cacheOf(1).read(name, load); // so that the others have none
  await until('the lease', () => loads === 1);
  const coalesced = await counted('cache_coalesced_loads_total', { cache: 'cache-test' });
  const reads = Array.from({ length: 50 }, () => cacheOf(0).read(name, load));
  await until('the first load', () => loads === 2);
  await sleep(50);
  expect(loads).toBe(2);
  finish.resolve();
  expect(new Set((await Promise.all(reads)).map(({ outcome }) => outcome))).toEqual(new Set(['BYPASS']));
  expect(loads).toBe(3);
  expect(await counted('cache_coalesced_loads_total', { cache: 'cache-test' })).toBe(coalesced + 48);
  await lease;
});

test('When a load fails, then nothing is stored, those who shared it fail, and the next reader tries again', async () => {
  const name = nextKey();
  const failing = () =>
    cacheOf(0).read(name, async () => {
      await sleep(20);
      throw new Error('no database');
    });
  const outcomes = await Promise.allSettled([failing(), failing(), failing(), failing()]);
  expect(outcomes.map(({ status }) => status)).toEqual(Array(4).fill('rejected'));
  expect((await cacheOf(0).read(name, async () => 'v')).value).toBe('v');
});

describe('when COMMIT itself fails', () => {
  // A trigger that waits for COMMIT: "refused" makes it fail, "cut" ends the connection before it can answer.
  beforeAll(async () => {
    await sql`
      create function at_commit() returns trigger language plpgsql security definer as $$
      begin
        if new.value = 'refused' then raise exception 'refused'; end if;
        if new.value = 'cut' then perform pg_terminate_backend(pg_backend_pid()); end if;
        return null;
      end $$`.execute(api.db);
    await sql`
      create constraint trigger at_commit after insert or update on kv
      deferrable initially deferred for each row execute function at_commit()`.execute(api.db);
  });
  const put = (value: string) => api.api.put('/kv').send({ key: 'commit', value });

  test('then a refused one ends its marker and changes nothing', async () => {
    await put('kept');
    expect((await put('refused')).status).toBe(500);
    await settled(0);
    expect(await api.redis.exists(await keyOf('w', 'kv:commit'))).toBe(0);
    expect((await api.api.get('/kv?key=commit')).body).toMatchObject({ data: { value: 'kept' }, source: 'database' });
  });

  test('then one whose answer is lost is made sure of (503: nothing was written), and its marker ends, because its name is settled', async () => {
    expectProblem(await put('cut'), 503);
    await settled(0);
    expect(await api.redis.exists(await keyOf('w', 'kv:commit'))).toBe(0);
    expect(await warm(api.api, '/kv?key=commit')).toMatchObject({ data: { value: 'kept' } });
  });
});

test('The marker of a write that runs stays, however long; one of a write that died goes, and its name is settled', async () => {
  const tag = nextKey();
  const read = async () => (await cacheOf(0).read(tag, async () => 'v')).outcome;
  const marker = await keyOf('w', tag);
  const [running, dead] = [`attempt:running-${tag}`, `attempt:dead-${tag}`];
  const row = { request: null, outcome: '{}', epoch: UNCACHED };
  await api.db.transaction().execute(async (trx) => {
    await trx
      .insertInto('write_outcomes')
      .values({ ...row, name: running })
      .execute();
    await api.redis.sadd(marker, running, dead);
    await until('the dead one to be settled', async () => {
      expect(await read()).toBe('BYPASS');
      return (await api.redis.scard(marker)) === 1;
    });
    expect(await api.redis.smembers(marker)).toEqual([running]);
  });
  await until('the cache to be used again', async () => (await read()) === 'HIT');
  await expect(
    api.db
      .insertInto('write_outcomes')
      .values({ ...row, name: dead })
      .execute(),
  ).rejects.toThrow();
});

test('More markers than Redis can return at once are resolved all the same', async () => {
  const tag = nextKey();
  const marker = await keyOf('w', tag);
  await api.redis.sadd(marker, ...Array.from({ length: 9_000 }, (_, n) => `attempt:gone-${n}`)); // their writers died
  await until('some to be resolved', async () => {
    expect((await cacheOf(0).read(tag, async () => 'v')).outcome).toBe('BYPASS');
    return (await api.redis.scard(marker)) < 9_000;
  });
  await api.redis.del(marker);
});

test('When ever new pages of a list are asked for, then the others still come from the cache', async () => {
  const name = nextKey();
  const read = (field: string) => cacheOf(0).read(name, async () => field, field);
  for (let n = 0; n < 1_050; n++) await read(`page ${n}`);
  await settled(0);
  expect(await api.redis.hlen(await keyOf('v', name))).toBeLessThanOrEqual(1_000);
  expect((await read('first')).outcome).toBe('MISS');
  await settled(0);
  expect(await read('first')).toEqual({ value: 'first', outcome: 'HIT' });
});

test('An answer of more than 256 KiB is not stored, and is counted', async () => {
  const name = nextKey();
  const large = 'x'.repeat(256 * 1024);
  expect((await cacheOf(0).read(name, async () => large)).outcome).toBe('MISS');
  await settled(0);
  expect(await api.redis.exists(await keyOf('v', name))).toBe(0);
  expect(await counted('cache_fills_total', { cache: 'cache-test', outcome: 'too_large' })).toBe(1);
});

test('"There is none" is cached too, until there is one', async () => {
  expect((await api.api.get('/kv?key=later')).status).toBe(404);
  await settled(0);
  const again = await api.at(1).get('/kv?key=later');
  expect([again.status, again.headers['x-cache']]).toEqual([404, 'HIT']);
  await api.api.put('/kv').send({ key: 'later', value: 'v' });
  expect((await api.at(1).get('/kv?key=later')).body.data.value).toBe('v');
});

test('What is cached and who may fill it has an end, and not all at once; markers have none', async () => {
  const names = Array.from({ length: 20 }, nextKey);
  const lives: number[] = [];
  for (const name of names) {
    await cacheOf(0).read(name, async () => 'v');
    await settled(0);
    lives.push(await api.redis.pttl(await keyOf('v', name)));
  }
  expect(Math.min(...lives)).toBeGreaterThan(260_000);
  expect(Math.max(...lives)).toBeLessThan(331_000);
  expect(Math.max(...lives) - Math.min(...lives)).toBeGreaterThan(5_000);
  const waiting = Promise.withResolvers<string>();
  const name = nextKey();
  const reading = cacheOf(0).read(name, () => waiting.promise);
  await until('the lease', async () => (await api.redis.exists(await keyOf('l', name))) === 1);
  expect(await api.redis.pttl(await keyOf('l', name))).toBeGreaterThan(0);
  waiting.resolve('v');
  await reading;
  expect(await api.redis.pttl(`${await api.namespace()}open`)).toBe(-1);
});

test('When a tag is forgotten by a write, then the tests notice it', async () => {
  const { id } = (await api.api.post('/tasks').send({ title: 'before' })).body.task;
  await warm(api.api, `/tasks/${id}`);
  // As psql would: past the cache.
  await api.db.updateTable('tasks').set({ title: 'after' }).where('id', '=', id).execute();
  expect((await api.api.get(`/tasks/${id}`)).status).toBe(500);
  await api.api.post('/cache/clear').set(asAdmin);
  expect((await api.api.get(`/tasks/${id}`)).body.task.title).toBe('after');
});

describe('on a Redis of its own', () => {
  let server: RedisServer;
  let redis: RedisClient;
  let cache: Cache;
  let beating: ReturnType<typeof setInterval>;
  const read = async (tag = 'unfit:1') => (await cache.read(tag, async () => 'v')).outcome;
  const command = async (name: string, ...args: string[]) => {
    const admin = createRedis(server.url, 'admin', logger);
    try {
      await until('a connection', () => admin.status === 'ready');
      await admin.call(name, ...args);
    } finally {
      admin.disconnect();
    }
  };
  const set = (name: string, value: string) => command('config', 'set', name, value);
  beforeEach(async () => {
    server = await startRedis();
    redis = createRedis(server.url, 'test', logger, 2_000);
  });
  afterEach(async () => {
    clearInterval(beating);
    redis.disconnect();
    await server.stop();
  });
  const startCache = async () => {
    const [{ deps }] = api.replicas;
    const silent = pino({ level: 'silent' });
    const { control, metrics } = deps;
    // It never lets a write pass.
    const real = createGate({
      redis,
      control,
      instance: 'unfit',
      metrics: { ...metrics, watchGate() {} },
      logger: silent,
    });
    await real.beat();
    const gate = { ...real, passable: () => undefined, close: async () => false };
    beating = setInterval(() => void real.beat(), 500);
    cache = createCache({ redis, control, gate, metrics });
    await cache.start();
  };

  /** How often Redis was sent each of the commands that the cache is made of. What a script does inside is none of them. */
  async function commandsDuring(work: () => Promise<unknown>): Promise<Record<string, number>> {
    const calls = async () => {
      await sleep(20);
      await redis.ping(); // behind what nobody awaits
      const info = await redis.info('commandstats');
      const of = (name: string) => Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(info)?.[1] ?? 0);
      return { scripts: of('eval') + of('evalsha'), srem: of('srem') };
    };
    const before = await calls();
    await work();
    const after = await calls();
    return { scripts: after.scripts - before.scripts, srem: after.srem - before.srem };
  }

  test('A hit costs one command; a miss one, and one unawaited; a write one, however many tags, and unawaited ones, or none', async () => {
    await startCache();
    // The scripts are known to Redis then, so that none is sent twice.
    await until('a hit', async () => (await read()) === 'HIT');
    await touch(cache, ['unfit:1']);
    expect(await commandsDuring(() => read('unfit:2'))).toEqual({ scripts: 2, srem: 0 });
    expect(await commandsDuring(() => read('unfit:2'))).toEqual({ scripts: 1, srem: 0 });
    const tags = ['unfit:1', 'unfit:2', 'unfit:3'];
    expect(await commandsDuring(() => touch(cache, tags))).toEqual({ scripts: 1, srem: 3 });
    expect(await commandsDuring(() => touch(cache, []))).toEqual({ scripts: 0, srem: 0 });
  });

  test('that may evict markers, nothing is cached, until that is mended', async () => {
    await set('maxmemory-policy', 'allkeys-lru');
    await startCache();
    for (let n = 0; n < 5; n++) {
      expect(await read()).toBe('BYPASS');
      await sleep(100);
    }
    await set('maxmemory-policy', 'volatile-lru');
    await until('the cache to be used', async () => (await read()) === 'HIT');
  });

  test('that is a copy of another, nothing is cached', async () => {
    await command('replicaof', '127.0.0.1', '1');
    await startCache();
    for (let n = 0; n < 5; n++) {
      expect(await read()).toBe('BYPASS');
      await sleep(100);
    }
  });

  test('that is full, hits and writes go on, other reads come from the database, and the errors are counted', async () => {
    await startCache();
    await until('a hit', async () => (await read('full:1')) === 'HIT');
    const errors = await counted('cache_errors_total', { operation: 'read' });
    await set('maxmemory-policy', 'noeviction');
    await set('maxmemory', '1');
    expect(await read('full:1')).toBe('HIT');
    expect([await read('full:2'), await read('full:3')]).toEqual(['BYPASS', 'BYPASS']);
    expect(await counted('cache_errors_total', { operation: 'read' })).toBe(errors + 2);
    await touch(cache, ['full:1']);
    expect(await read('full:1')).toBe('BYPASS');
    await set('maxmemory', '0');
    await until('a hit', async () => (await read('full:1')) === 'HIT');
  });

  test('that stops and has no gate, writes are refused and reads go on; it is used again by itself', async () => {
    await startCache();
    await until('a hit', async () => (await read()) === 'HIT');
    server.signal('SIGKILL');
    await server.exited;
    const write = () => touch(cache, ['unfit:1']);
    const count = () => api.db.selectFrom('items').select('id').execute();
    const before = await count();
    await expect(write()).rejects.toMatchObject({ status: 503 });
    expect(await count()).toEqual(before);
    expect(await read()).toBe('BYPASS');
    server = await server.restart();
    await until('a hit', async () => (await read()) === 'HIT');
    await write();
  });
});
