import { setTimeout as sleep } from 'node:timers/promises';
import { useApi } from './support/api.ts';

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

test('While a write is under way, then readers go to the database and store nothing', async () => {
  const name = nextKey();
  const outcomes: string[] = [];
  const { db } = api.replicas[0].deps;
  const committed = () => {};
  // The marker is set by the last step inside the transaction: look right after it, before COMMIT.
  const originalBegin = api.replicas[0].deps.redis as unknown as {
    cacheBegin: (...args: unknown[]) => Promise<unknown>;
  };
  const begin = originalBegin.cacheBegin.bind(originalBegin);
  originalBegin.cacheBegin = async (...args) => {
    const reply = await begin(...args);
    outcomes.push((await cacheOf(1).read(name, async () => 'old')).outcome);
    await settled(1);
    outcomes.push((await cacheOf(1).read(name, async () => 'old')).outcome);
    committed();
    return reply;
  };
  await cacheOf(0).write(db, async () => ({ result: undefined, changed: [name] }));
  originalBegin.cacheBegin = begin;
  await settled(0);
  expect(outcomes).toEqual(['BYPASS', 'BYPASS']);
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

test('When the write is rolled back, then its marker ends and the old value may be cached', async () => {
  const name = nextKey();
  const { db } = api.replicas[0].deps;
  await expect(
    cacheOf(0).write(db, async () => {
      throw new Error('refused');
    }),
  ).rejects.toThrow('refused');
  expect((await cacheOf(1).read(name, async () => 'v')).outcome).toBe('MISS');
});

test('When a load fails, then nothing is stored and the next reader tries again', async () => {
  const name = nextKey();
  const failing = cacheOf(0).read(name, async () => {
    throw new Error('no database');
  });
  await expect(failing).rejects.toThrow('no database');
  expect((await cacheOf(0).read(name, async () => 'v')).value).toBe('v');
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
