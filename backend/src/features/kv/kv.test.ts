import { sql } from 'kysely';
import { expectProblem, nextOf, useApi, warm } from '../../../test/support/api.ts';

const api = useApi();
const put = (key: string, value: string) => api.api.put('/kv').send({ key, value });
const get = (key: string, replica: 0 | 1 = 0) => api.replicas[replica].api.get('/kv').query({ key });
const warmKey = (key: string) => warm(api.api, `/kv?key=${encodeURIComponent(key)}`);
const stored = async (key: string) =>
  (await api.db.selectFrom('kv').select('value').where('key', '=', key).executeTakeFirst())?.value;

describe('PUT and GET /kv', () => {
  test('stores a pair and reads it, first from the database, then from the cache', async () => {
    const written = await put('greeting', 'hello');
    expect([written.status, written.body]).toEqual([200, { status: 'ok' }]);
    expect(await stored('greeting')).toBe('hello');

    const first = await get('greeting');
    expect(first.body).toEqual({ data: { key: 'greeting', value: 'hello' }, source: 'database' });
    expect(first.headers['x-cache']).toMatch(/^(MISS|BYPASS)$/);
    await warmKey('greeting');
    const second = await get('greeting', 1);
    expect(second.body).toEqual({ data: { key: 'greeting', value: 'hello' }, source: 'cache' });
    expect(second.headers.etag).toBe(written.headers.etag);
  });

  test('replaces the value, on every replica at once', async () => {
    await put('k', 'old');
    await warmKey('k');
    await put('k', 'new');
    expect((await get('k', 1)).body.data.value).toBe('new');
    expect((await get('k', 0)).body.data.value).toBe('new');
  });

  test('gives a key that was deleted and set again a new ETag', async () => {
    const first = await put('again', 'same');
    await api.api.delete('/kv').query({ key: 'again' });
    const second = await put('again', 'same');
    expect(second.headers.etag).not.toBe(first.headers.etag);
  });

  test('answers 304 to the ETag it gave, from the database and from the cache', async () => {
    const { etag } = (await put('conditional', 'v')).headers as { etag: string };
    await warmKey('conditional');
    expect((await get('conditional').set('If-None-Match', etag)).status).toBe(304);
    await put('conditional', 'w');
    expect((await get('conditional').set('If-None-Match', etag)).status).toBe(200);
  });

  test('writes only over the version that If-Match names', async () => {
    const { etag } = (await put('guarded', 'one')).headers as { etag: string };
    const guarded = (value: string, match: string) =>
      api.api.put('/kv').set('If-Match', match).send({ key: 'guarded', value });
    expect((await guarded('two', etag)).status).toBe(200);
    expectProblem(await guarded('lost', etag), 412);
    expectProblem(await api.api.put('/kv').set('If-Match', '*').send({ key: 'absent', value: 'x' }), 412);
    expectProblem(await api.api.delete('/kv').set('If-Match', etag).query({ key: 'guarded' }), 412);
    expect([await stored('guarded'), await stored('absent')]).toEqual(['two', undefined]);
  });

  test('carries any text: empty, emoji, quotes, 64 KiB, and a key of 512 bytes', async () => {
    for (const [key, value] of [
      ['empty', ''],
      ['ключ 🔑 "\\\n', 'значение 🎈 \u0001\u2028'],
      ['k'.repeat(512), 'v'.repeat(65_536)],
      ['a&b=c#d?e+f%25', '{"json":true}'],
    ] as const) {
      expect((await put(key, value)).status).toBe(200);
      expect((await get(key)).body.data).toEqual({ key, value });
      await warmKey(key);
      expect((await get(key)).body).toEqual({ data: { key, value }, source: 'cache' });
    }
  });

  test.each([
    ['no key', { value: 'v' }],
    ['an empty key', { key: '', value: 'v' }],
    ['a key of 513 bytes', { key: 'é'.repeat(257), value: 'v' }],
    ['no value', { key: 'k1' }],
    ['a number as value', { key: 'k1', value: 1 }],
    ['null as value', { key: 'k1', value: null }],
    ['a value over 64 KiB', { key: 'k1', value: 'v'.repeat(65_537) }],
    ['a NUL character', { key: 'k1', value: 'a\0' }],
    ['an unknown field', { key: 'k1', value: 'v', ttl: 5 }],
  ])('refuses %s and stores nothing', async (_, body) => {
    expectProblem(await api.api.put('/kv').send(body), 422);
    expect(await stored('k1')).toBeUndefined();
  });

  test('says 404 for an absent key, also from the cache', async () => {
    expectProblem(await get('nobody'), 404);
    await warmKey('nobody');
    const cached = await get('nobody');
    expectProblem(cached, 404);
    expect(cached.headers['x-cache']).toBe('HIT');
    await put('nobody', 'somebody');
    expect((await get('nobody')).body.data.value).toBe('somebody');
  });
});

test('counts reads by their outcome', async () => {
  await put('counted', 'v');
  await warmKey('counted');
  const { text } = await api.replicas[0].debug.get('/metrics');
  const count = (outcome: string) =>
    Number(new RegExp(`^cache_reads_total\\{.*outcome="${outcome}".*\\} (\\d+)`, 'm').exec(text)?.[1]);
  expect(text).toContain('cache="kv"');
  expect(count('hit')).toBeGreaterThan(0);
  expect(count('miss')).toBeGreaterThan(0);
});

describe('DELETE /kv', () => {
  test('says whether there was one, and no replica finds it afterwards', async () => {
    await put('gone', 'x');
    await warmKey('gone');
    const first = await api.api.delete('/kv').query({ key: 'gone' });
    expect([first.status, first.body]).toEqual([200, { key: 'gone', deleted: true }]);
    expectProblem(await get('gone', 1), 404);
    expect((await api.api.delete('/kv').query({ key: 'gone' })).body).toEqual({ key: 'gone', deleted: false });
    expectProblem(await api.api.delete('/kv'), 400);
  });
});

describe('GET /kv without a key', () => {
  beforeAll(async () => {
    await api.db.deleteFrom('kv').execute();
    for (const key of ['b%1', 'a1', 'a2', 'a_3', 'B', 'b%2', 'ä']) await put(key, `value of ${key}`);
  });
  const keys = (body: { data: { key: string }[] }) => body.data.map(({ key }) => key);

  test('lists the pairs in the order of their bytes', async () => {
    const response = await api.api.get('/kv');
    expect(keys(response.body)).toEqual(['B', 'a1', 'a2', 'a_3', 'b%1', 'b%2', 'ä']);
    expect(response.body.data[0]).toEqual({ key: 'B', value: 'value of B', updated_at: expect.any(String) });
  });

  test('takes the prefix literally', async () => {
    expect(keys((await api.api.get('/kv').query({ prefix: 'a' })).body)).toEqual(['a1', 'a2', 'a_3']);
    expect(keys((await api.api.get('/kv').query({ prefix: 'b%' })).body)).toEqual(['b%1', 'b%2']);
    expect(keys((await api.api.get('/kv').query({ prefix: '_' })).body)).toEqual([]);
  });

  test('pages by the Link header and keeps the prefix', async () => {
    const first = await api.api.get('/kv').query({ prefix: 'a', limit: 2 });
    const next = nextOf(first) as string;
    const second = await api.api.get(next);
    expect([keys(first.body), keys(second.body), second.headers.link]).toEqual([['a1', 'a2'], ['a_3'], undefined]);
  });

  test('keeps everything after the first question mark', async () => {
    for (const key of ['q?1', 'q?2', 'qX']) await put(key, '');
    const first = await api.api.get('/kv?prefix=q?&limit=1');
    const next = nextOf(first) as string;
    const second = await api.api.get(next);
    expect([keys(first.body), keys(second.body), second.headers.link]).toEqual([['q?1'], ['q?2'], undefined]);
    expectProblem(await api.api.delete('/kv?key=q?%ff'), 400);
    await api.db.deleteFrom('kv').where('key', 'like', 'q%').execute();
  });

  test('ends a page of large values early, and loses none', async () => {
    const large = Array.from({ length: 40 }, (_, n) => `large ${String(n).padStart(2, '0')}`);
    for (const key of large) await put(key, 'v'.repeat(65_536));
    const seen: string[] = [];
    let pages = 0;
    for (let next: string | undefined = '/kv?prefix=large&limit=200'; next; pages++) {
      const response = await api.api.get(next);
      expect(response.text.length).toBeLessThan(2 * 1024 * 1024);
      seen.push(...keys(response.body));
      next = nextOf(response);
    }
    expect([seen, pages]).toEqual([large, 3]);
    await api.db.deleteFrom('kv').where('key', 'like', 'large%').execute();
  });

  test('refuses a key together with a list, and parameters that it does not know', async () => {
    expectProblem(await api.api.get('/kv').query({ key: 'a', prefix: 'a' }), 400);
    expectProblem(await api.api.get('/kv').query({ key: 'a', limit: 5 }), 400);
    expectProblem(await api.api.get('/kv').query({ prefx: 'a' }), 400);
    expectProblem(await api.api.get('/kv?cursor=e30'), 400);
  });

  test('counts the pairs', async () => {
    expect((await api.api.get('/kv/stats')).body).toEqual({ items: 7 });
  });

  test('finds a prefix by the index', async () => {
    await sql`insert into kv (key, value) select 'filler' || n, '' from generate_series(1, 5000) n`.execute(api.db);
    await sql`analyze kv`.execute(api.db);
    const plan = await sql<Record<string, string>>`
      explain select key from kv where starts_with(key, 'a') order by key limit 51`.execute(api.db);
    expect(JSON.stringify(plan.rows)).toMatch(/Index.*kv_pkey.*Index Cond/s);
  });
});
