import { asAdmin, expectProblem, useApi, warm } from '../../../test/support/api.ts';
import { noCache } from '../../platform/cache/cache.ts';

const api = useApi();
const { at } = api;
const clear = (n = 0) => at(n).post('/cache/clear').set(asAdmin);

test('When the cache is cleared, then every answer comes from the database, and keys of other users survive', async () => {
  // More keys of theirs than one step of SCAN looks at.
  const others = Array.from({ length: 3_000 }, (_, n) => [`other:${n}`, `${n}`]).flat();
  await api.redis.mset(...others);
  await api.redis.mset('c', '1', 'cache:v:x', '2', 'C:v:x', '3', 'xc:v:', '4');
  for (const key of ['a', 'b']) await api.api.put('/kv').send({ key, value: key });
  const paths = ['/kv?key=a', '/kv?key=b', '/tasks', '/tasks/1', '/products', '/products/1'];
  const sources = () => Promise.all(paths.map(async (path) => (await at(1).get(path)).headers['x-cache']));
  for (const path of paths) await warm(at(1), path);
  expect(await sources()).toEqual(Array(6).fill('HIT'));

  const answer = await clear();
  expect([answer.status, answer.body]).toEqual([200, { message: 'Cache cleared successfully' }]);
  expect((await api.redis.keys('c:*')).map((key) => key.split(':').at(-1)).sort()).toEqual(['alive', 'open']);
  expect(await api.redis.dbsize()).toBe(3_006);
  expect(await sources()).toEqual(Array(6).fill('MISS'));
});

test('Without the token, or with a wrong one, nothing is cleared', async () => {
  await warm(api.api, '/tasks/2');
  expectProblem(await api.api.post('/cache/clear'), 401);
  expect((await api.api.post('/cache/clear')).headers['www-authenticate']).toMatch(/^Bearer /);
  const wrong = [
    'x',
    `${asAdmin.Authorization.slice(7)}x`,
    asAdmin.Authorization.slice(7, -1),
    asAdmin.Authorization.slice(7).toUpperCase(),
  ];
  for (const token of wrong) {
    expectProblem(await api.api.post('/cache/clear').set('Authorization', `Bearer ${token}`), 403);
  }
  for (const header of [
    '',
    'Bearer',
    'Bearer ',
    `Token ${asAdmin.Authorization.slice(7)}`,
    asAdmin.Authorization.slice(7),
  ]) {
    expectProblem(await api.api.post('/cache/clear').set('Authorization', header), 401);
  }
  expect((await api.api.get('/tasks/2')).headers['x-cache']).toBe('HIT');
});

test('When a value is being loaded while the cache is cleared, then it is not stored', async () => {
  const { cache, redis } = api.replicas[0].deps;
  let finish = () => {};
  const started = Promise.withResolvers<void>();
  const reading = cache.read('kv:loaded', async () => {
    started.resolve();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return 'selected before psql changed it';
  });
  await started.promise;
  await clear(1);
  finish();
  await reading;
  await redis?.ping();
  expect((await cache.read('kv:loaded', async () => 'now')).value).toBe('now');
  const { body } = await api.api.get('/cache/stats');
  expect(body.caches.kv.fills_refused).toBe(1);
});

test('When the cache is cleared again and again under load, then no reader gets an old value', async () => {
  let over = false;
  const clearing = (async () => {
    for (let n = 0; !over; n++) expect((await clear(n)).status).toBe(200);
  })();
  for (let n = 0; n < 150; n++) {
    const racing = [at(n).get('/tasks/1'), at(n + 1).get('/tasks/1')].map((request) => request.then());
    await at(n)
      .put('/tasks/1')
      .send({ title: `title ${n}` });
    for (const replica of [n, n + 1]) expect((await at(replica).get('/tasks/1')).body.task.title).toBe(`title ${n}`);
    await Promise.all(racing);
  }
  over = true;
  await clearing;
});

test('A write that is under way keeps its marker', async () => {
  const marker = `${await api.namespace()}w:tasks:1`;
  await api.redis.sadd(marker, '1:a write');
  await clear();
  expect(await api.redis.smembers(marker)).toEqual(['1:a write']);
  expect((await api.api.get('/tasks/1')).headers['x-cache']).toBe('BYPASS');
  await api.redis.del(marker);
});

test('Statistics count what this replica did', async () => {
  const counts = async () => (await api.api.get('/cache/stats')).body.caches.products ?? { hits: 0, misses: 0 };
  await clear();
  const before = await counts();
  for (let n = 0; n < 3; n++) {
    await api.api.get('/products/2');
    await api.replicas[0].deps.redis?.ping(); // behind the fill, on the same connection
  }
  await at(1).get('/products/2');
  const after = await counts();
  expect([after.hits - before.hits, after.misses - before.misses]).toEqual([2, 1]);
});

test('Without Redis there is nothing to count or to clear, and the answer says so', async () => {
  await expect(noCache.clear()).rejects.toMatchObject({ status: 503 });
});
