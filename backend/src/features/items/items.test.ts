import { expectProblem, nextOf, useApi } from '../../../test/support/api.ts';
import { uuid } from '../../platform/http/joi.ts';

const api = useApi();
const ABSENT = '00000000-0000-4000-8000-000000000000';

async function create(fields: Record<string, unknown> = {}) {
  const response = await api.api.post('/items').send({ title: 'a title', ...fields });
  expect(response.status).toBe(201);
  return response.body as { id: string; title: string; created_at: string; updated_at: string };
}
const stored = (id: string) => api.db.selectFrom('items').selectAll().where('id', '=', id).executeTakeFirst();

describe('POST /items', () => {
  test('stores the item and says where it is', async () => {
    const response = await api.api.post('/items').send({ title: '  Water the plants  ', description: 'all of them' });
    expect(response.status).toBe(201);
    expect(response.body).toMatchObject({ title: 'Water the plants', description: 'all of them', status: 'pending' });
    expect(response.headers.location).toBe(`/items/${response.body.id}`);
    expect(response.headers.etag).toMatch(/^"\d+"$/);
    expect(response.body.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    expect(await stored(response.body.id)).toMatchObject({ title: 'Water the plants', status: 'pending' });
  });

  test.each([
    ['no title', {}, 'title'],
    ['a title of blanks', { title: '   ' }, 'title'],
    ['a title of 201 characters', { title: 'x'.repeat(201) }, 'title'],
    ['a number as title', { title: 5 }, 'title'],
    ['a description of 4001 characters', { title: 'x', description: 'x'.repeat(4001) }, 'description'],
    ['an unknown status', { title: 'x', status: 'late' }, 'status'],
    ['an unknown field', { title: 'x', colour: 'red' }, 'colour'],
    ['a NUL character', { title: 'a\0b' }, 'title'],
    ['half of a surrogate pair', { title: 'a\ud800b' }, 'title'],
  ])('refuses %s and stores nothing', async (_, body, path) => {
    const before = await api.db.selectFrom('items').selectAll().execute();
    const response = await api.api.post('/items').send(body);
    expectProblem(response, 422);
    expect(response.body.errors).toEqual([{ in: 'body', path, message: expect.any(String) }]);
    expect(await api.db.selectFrom('items').selectAll().execute()).toEqual(before);
  });

  test('counts characters, not UTF-16 units: 200 emoji fit', async () => {
    const { title } = await create({ title: '🌱'.repeat(200) });
    expect([...title]).toHaveLength(200);
  });
});

describe('GET /items/{id}', () => {
  test('answers the item with its ETag, and 304 when it has not changed', async () => {
    const { id } = await create();
    const first = await api.api.get(`/items/${id}`);
    expect(first.status).toBe(200);
    const etag = first.headers.etag as string;
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await api.api.get(`/items/${id}`).set('If-None-Match', header);
      expect([header, again.status, again.text]).toEqual([header, 304, '']);
      expect(again.headers.etag).toBe(etag);
    }
    expect((await api.api.get(`/items/${id}`).set('If-None-Match', '"other"')).status).toBe(200);
    expectProblem(await api.api.get(`/items/${id}`).set('If-None-Match', 'no-quotes'), 400);
  });

  test('gives the item a new ETag with every change', async () => {
    const { id } = await create();
    const before = await api.api.get(`/items/${id}`);
    await api.api.put(`/items/${id}`).send({ status: 'done' });
    const after = await api.api.get(`/items/${id}`).set('If-None-Match', before.headers.etag as string);
    expect([after.status, after.body.status]).toEqual([200, 'done']);
    expect(after.headers.etag).not.toBe(before.headers.etag);
  });

  test('finds the item by its id in capitals, which inside is the one that the database writes', async () => {
    const { id } = await create();
    expect((await api.api.get(`/items/${id.toUpperCase()}`)).body.id).toBe(id);
    expect(uuid().validate(id.toUpperCase()).value).toBe(id);
  });

  test('says 404 for an absent id and 400 for what is no id', async () => {
    expectProblem(await api.api.get(`/items/${ABSENT}`), 404);
    const malformed = await api.api.get('/items/not-a-uuid');
    expectProblem(malformed, 400);
    for (const id of [`(${ABSENT})`, `{${ABSENT}}`, ABSENT.replaceAll('-', ''), ABSENT.replaceAll('-', ':')]) {
      expectProblem(await api.api.get(`/items/${encodeURIComponent(id)}`), 400);
    }
    expect(malformed.body.errors).toEqual([{ in: 'path', path: 'id', message: expect.any(String) }]);
  });
});

describe('PUT /items/{id}', () => {
  test('changes what is given, keeps what is absent, clears with null', async () => {
    const created = await create({ description: 'keep me' });
    const changed = await api.api.put(`/items/${created.id}`).send({ title: 'new' });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ title: 'new', description: 'keep me', created_at: created.created_at });
    expect(changed.body.updated_at > created.updated_at).toBe(true);
    const cleared = await api.api.put(`/items/${created.id}`).send({ description: null });
    expect(cleared.body).toMatchObject({ title: 'new', description: null });
    expect(await stored(created.id)).toMatchObject({ title: 'new', description: null });
  });

  test('writes only over the version that If-Match names', async () => {
    const { id } = await create();
    const etag = (await api.api.get(`/items/${id}`)).headers.etag as string;
    for (const stale of ['"1"', `W/${etag}`, '"a,b"', `"0${etag.slice(1)}`, '"99999999999999999999999"']) {
      expectProblem(await api.api.put(`/items/${id}`).set('If-Match', stale).send({ title: 'lost' }), 412);
    }
    expect(await stored(id)).toMatchObject({ title: 'a title' });
    expect((await api.api.put(`/items/${id}`).set('If-Match', etag).send({ title: 'first' })).status).toBe(200);
    expectProblem(await api.api.put(`/items/${id}`).set('If-Match', etag).send({ title: 'second' }), 412);
    expect((await api.api.put(`/items/${id}`).set('If-Match', '*').send({ title: 'third' })).status).toBe(200);
    expect(await stored(id)).toMatchObject({ title: 'third' });
  });

  test('lets one of many concurrent writers with the same ETag win', async () => {
    const { id } = await create();
    const etag = (await api.api.get(`/items/${id}`)).headers.etag as string;
    const writes = Array.from({ length: 10 }, (_, n) =>
      api
        .at(n)
        .put(`/items/${id}`)
        .set('If-Match', etag)
        .send({ title: `writer ${n}` }),
    );
    const statuses = (await Promise.all(writes)).map((response) => response.status).sort();
    expect(statuses).toEqual([200, ...Array(9).fill(412)]);
  });

  test('says 404 for an absent id, with and without If-Match, and 422 for an empty change', async () => {
    expectProblem(await api.api.put(`/items/${ABSENT}`).send({ title: 'x' }), 404);
    expectProblem(await api.api.put(`/items/${ABSENT}`).set('If-Match', '*').send({ title: 'x' }), 404);
    const { id } = await create();
    expectProblem(await api.api.put(`/items/${id}`).send({}), 422);
    expectProblem(await api.api.put(`/items/${id}`).send({ title: null }), 422);
  });

  test('refuses a precondition that it would ignore', async () => {
    const { id } = await create();
    expectProblem(await api.api.put(`/items/${id}`).set('If-None-Match', '*').send({ title: 'x' }), 400);
    expectProblem(await api.api.post('/items').set('If-Match', '*').send({ title: 'x' }), 400);
    expect(await stored(id)).toMatchObject({ title: 'a title' });
  });
});

describe('DELETE /items/{id}', () => {
  test('deletes once, and only the version that If-Match names', async () => {
    const { id } = await create();
    expectProblem(await api.api.delete(`/items/${id}`).set('If-Match', '"1"'), 412);
    expect(await stored(id)).toBeDefined();
    const deleted = await api.api.delete(`/items/${id}`);
    expect([deleted.status, deleted.text]).toEqual([204, '']);
    expect(await stored(id)).toBeUndefined();
    expectProblem(await api.api.delete(`/items/${id}`), 404);
    expectProblem(await api.api.delete('/items/not-a-uuid'), 400);
  });
});

describe('GET /items', () => {
  beforeAll(async () => {
    await api.db.deleteFrom('items').execute();
    for (let n = 1; n <= 7; n++) await create({ title: `item ${n}`, status: n % 2 ? 'done' : 'pending' });
    // One instant for all: the order then rests on the id alone, and so must the cursor.
    await api.db
      .updateTable('items')
      .set({ updated_at: api.db.fn<never>('now', []) })
      .execute();
  });
  const titles = (body: { title: string }[]) => body.map(({ title }) => title);

  async function walk(url: string): Promise<{ pages: number[]; titles: string[] }> {
    const seen: string[] = [];
    const pages: number[] = [];
    for (let next: string | undefined = url; next; ) {
      const response = await api.api.get(next);
      expect(response.status).toBe(200);
      pages.push(response.body.length);
      seen.push(...titles(response.body));
      next = nextOf(response);
    }
    return { pages, titles: seen };
  }

  test('answers a bare array, newest first', async () => {
    const response = await api.api.get('/items');
    expect(titles(response.body)).toEqual([7, 6, 5, 4, 3, 2, 1].map((n) => `item ${n}`));
    expect(response.headers.link).toBeUndefined();
  });

  test('pages through all rows once, by the Link header', async () => {
    const all = titles((await api.api.get('/items')).body);
    expect(await walk('/items?limit=3')).toEqual({ pages: [3, 3, 1], titles: all });
    expect(await walk('/items?limit=7')).toEqual({ pages: [7], titles: all });
  });

  test('keeps the filter on every page', async () => {
    expect(await walk('/items?status=done&limit=2')).toEqual({
      pages: [2, 2],
      titles: ['item 7', 'item 5', 'item 3', 'item 1'],
    });
  });

  test('neither repeats nor skips rows of one instant, or rows around an insert and a delete', async () => {
    await api.db
      .updateTable('items')
      .set({ created_at: '2026-01-01T00:00:00.000001Z' as never })
      .execute();
    const first = await api.api.get('/items?limit=3');
    await create({ title: 'inserted meanwhile' });
    await api.db.deleteFrom('items').where('id', '=', first.body[2].id).execute();
    const second = await api.api.get(nextOf(first) as string);
    const third = await api.api.get(nextOf(second) as string);
    const seen = [...first.body, ...second.body, ...third.body].map(({ id }) => id);
    expect(new Set(seen).size).toBe(7);
    expect(seen).toHaveLength(7);
  });

  test.each([
    'limit=0',
    'limit=201',
    'limit=1.5',
    'limit=x',
    'status=late',
    'colour=red',
    'limit=1&limit=2',
    'cursor=x',
    `cursor=${Buffer.from('["2026-02-30T00:00:00Z","0b2f6a3e-5a53-4c55-9d0c-2f1f7c1f9a10"]').toString('base64url')}`,
    `cursor=${Buffer.from('["0000-01-01T00:00:00Z","0b2f6a3e-5a53-4c55-9d0c-2f1f7c1f9a10"]').toString('base64url')}`,
    `cursor=${Buffer.from('["2026-01-01T00:00:00Z"]').toString('base64url')}`,
    `cursor=${Buffer.from('["2026-01-01T00:00:00Z","x"]').toString('base64url')}`,
    `cursor=${Buffer.from('[]').toString('base64url')}`,
    'status=%00',
    'status=%ff',
  ])('refuses ?%s', async (query) => {
    expectProblem(await api.api.get(`/items?${query}`), 400);
  });
});
