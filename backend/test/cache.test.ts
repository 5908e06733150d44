import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { expectProblem, useApi } from './support/api.ts';

const api = useApi();
let key = 0;
const nextKey = () => `cache-test:${++key}`;
const cacheOf = (replica: 0 | 1) => api.replicas[replica].deps.cache;
const write = (replica: 0 | 1, name: string, during?: () => Promise<unknown>) =>
  api.replicas[replica].deps.cache.write(api.replicas[replica].deps.db, async () => {
    await during?.();
    return { result: 'done', changed: [name] };
  });
/** Redis has answered everything that was sent on this connection, fills included. */
const settled = (replica: 0 | 1) => api.replicas[replica].deps.redis?.ping();

test('When a value was read before a write and is stored after it, then no reader gets it: plain cache-aside fails here', async () => {
  const name = nextKey();
  let value = 'old';
  let loaded = () => {};
  const selected = new Promise<void>((resolve) => {
    loaded = resolve;
  });
  let finish = () => {};
  const slow = cacheOf(0).read(name, async () => {
    const seen = value; // SELECT
    loaded();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return seen; // ... and only now SET
  });
  await selected;
  await write(1, name, async () => {
    value = 'new';
  });
  finish();
  expect((await slow).value).toBe('old'); // it asked before the write was acknowledged
  await settled(0);
  for (const replica of [0, 1] as const) {
    expect((await cacheOf(replica).read(name, async () => value)).value).toBe('new');
  }
});

test('While a write is announced and not yet committed, then readers go to the database and store nothing', async () => {
  const name = nextKey();
  const outcomes: string[] = [];
  // The last step inside the transaction: what happens right after it happens before COMMIT.
  const redis = api.replicas[0].deps.redis as unknown as { cacheBegin: (...args: unknown[]) => Promise<unknown> };
  const begin = redis.cacheBegin.bind(redis);
  redis.cacheBegin = async (...args) => {
    const reply = await begin(...args);
    expect(await api.db.selectFrom('items').select('title').execute()).toEqual([]);
    for (let n = 0; n < 2; n++) {
      outcomes.push((await cacheOf(1).read(name, async () => 'old')).outcome);
      await settled(1);
    }
    return reply;
  };
  await cacheOf(0).write(api.replicas[0].deps.db, async (trx) => {
    await trx.insertInto('items').values({ title: 'committed' }).execute();
    return { result: undefined, changed: [name] };
  });
  redis.cacheBegin = begin;
  await settled(0);
  expect(outcomes).toEqual(['BYPASS', 'BYPASS']);
  expect(await api.db.selectFrom('items').select('title').execute()).toEqual([{ title: 'committed' }]);
  expect((await cacheOf(1).read(name, async () => 'new')).outcome).toBe('MISS');
});

test('When many readers miss at once, then one of them fills', async () => {
  const name = nextKey();
  const reads = Array.from({ length: 20 }, (_, n) =>
    cacheOf(n % 2 === 0 ? 0 : 1).read(name, async () => sleep(20, 'v')),
  );
  const outcomes = (await Promise.all(reads)).map(({ outcome }) => outcome);
  expect(outcomes.filter((outcome) => outcome === 'MISS')).toHaveLength(1);
  await Promise.all([settled(0), settled(1)]);
  expect(await cacheOf(0).read(name, async () => 'x')).toEqual({ value: 'v', outcome: 'HIT' });
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
  const marker = 'c:w:kv:commit';

  test('then a refused one ends its marker and changes nothing', async () => {
    await put('kept');
    expect((await put('refused')).status).toBe(500);
    await settled(0);
    expect(await api.redis.exists(marker)).toBe(0);
    expect((await api.api.get('/kv?key=commit')).body).toMatchObject({ data: { value: 'kept' }, source: 'database' });
  });

  test('then one whose answer is lost says that nobody knows (504), and keeps its marker until it expires', async () => {
    expectProblem(await put('cut'), 504);
    await settled(0);
    expect(await api.redis.scard(marker)).toBe(1);
    expect(await api.redis.pttl(marker)).toBeGreaterThan(0);
    expect((await api.api.get('/kv?key=commit')).headers['x-cache']).toBe('BYPASS');
  });
});

test('When a load fails, then nothing is stored and the next reader tries again', async () => {
  const name = nextKey();
  const failing = cacheOf(0).read(name, async () => {
    throw new Error('no database');
  });
  await expect(failing).rejects.toThrow('no database');
  expect((await cacheOf(0).read(name, async () => 'v')).value).toBe('v');
});

test('When ever new pages of a list are asked for, then the others still come from the cache', async () => {
  const name = nextKey();
  const read = (field: string) => cacheOf(0).read(name, async () => field, field);
  for (let n = 0; n < 1_050; n++) await read(`page ${n}`);
  await settled(0);
  expect(await api.redis.hlen(`c:v:${name}`)).toBeLessThanOrEqual(1_000);
  expect((await read('first')).outcome).toBe('MISS');
  await settled(0);
  expect(await read('first')).toEqual({ value: 'first', outcome: 'HIT' });
});

test('Every key that is stored has an end', async () => {
  const name = nextKey();
  await cacheOf(0).read(name, async () => 'v');
  await write(0, nextKey());
  await Promise.all([settled(0), settled(1)]);
  for (const stored of await api.redis.keys('*')) {
    expect(stored).toMatch(/^c:[vlw]:/);
    expect(await api.redis.pttl(stored)).toBeGreaterThan(0);
  }
});
