/** Each write happens at most once, however often it is sent, and through whichever replica (docs/writes.md). */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { insertItem } from '../src/features/items/items.repository.ts';
import { deleteOldOutcomes, UNCACHED } from '../src/platform/database/write-outcomes.ts';
import { oneStatement } from '../src/platform/http/route.ts';
import { createWrite } from '../src/platform/http/write.ts';
import { expectProblem, useApi } from './support/api.ts';
import { sample } from './support/sample.ts';

const api = useApi();
const { at } = api;
let count = 0;
const newKey = () => `key-${++count}`;
const post = (n: number, path: string, body: object, headers: Record<string, string>) =>
  at(n).post(path).set(headers).send(body);
const itemsWith = async (title: string) =>
  (await api.db.selectFrom('items').select('id').where('title', '=', title).execute()).length;
const replays = async (scope: string) => {
  const counts = api.replicas.map(async ({ debug }) =>
    sample((await debug.get('/metrics')).text, 'write_replays_total', { scope }),
  );
  return (await Promise.all(counts)).reduce<number>((sum, each) => sum + (each ?? 0), 0);
};

describe('with an Idempotency-Key', () => {
  test('a write that comes again through the other replica is answered as the first time, and happens once', async () => {
    const title = newKey();
    const key = { 'Idempotency-Key': title };
    const before = await replays('client');
    const first = await post(0, '/items', { title }, key);
    expect([first.status, first.headers['idempotent-replayed']]).toEqual([201, undefined]);
    for (const n of [1, 0]) {
      const again = await post(n, '/items', { title }, key);
      expect([again.status, again.text, again.headers['idempotent-replayed']]).toEqual([201, first.text, 'true']);
      expect([again.headers.etag, again.headers.location]).toEqual([first.headers.etag, first.headers.location]);
    }
    expect(await itemsWith(title)).toBe(1);
    expect(await replays('client')).toBe(before + 2);
  });

  test('PUT, PATCH and DELETE too: the row has changed since, and the answer is still the first', async () => {
    const { id } = (await api.api.post('/items').send({ title: 'first' })).body;
    const put = (n: number) => at(n).put(`/items/${id}`).set('Idempotency-Key', `put-${id}`).send({ title: 'second' });
    const first = await put(0);
    await api.api.put(`/items/${id}`).send({ title: 'third' });
    expect((await put(1)).text).toBe(first.text);
    expect((await api.api.get(`/items/${id}`)).body.title).toBe('third');
    const remove = (n: number) => at(n).delete(`/items/${id}`).set('Idempotency-Key', `delete-${id}`);
    expect([(await remove(0)).status, (await remove(1)).status]).toEqual([204, 204]);
    expectProblem(await api.api.delete(`/items/${id}`), 404);

    const cart = (await api.api.post('/carts')).body.id;
    const item = (await api.api.post(`/carts/${cart}/items`).send({ product_id: 1, quantity: 1 })).body.id;
    const patch = (n: number) =>
      at(n).patch(`/carts/${cart}/items/${item}`).set('Idempotency-Key', `patch-${cart}`).send({ quantity: 2 });
    const patched = await patch(0);
    expect([(await patch(1)).text, patched.body.quantity]).toEqual([patched.text, 2]);
  });

  test('a refusal is kept too: what would be allowed by now is answered as the first time', async () => {
    const { id } = (await api.api.post('/users').send({ nome: 'n', email: `${newKey()}@example.com`, limite: 100 }))
      .body;
    const debit = { user_id: id, valor: 1_000, tipo: 'd', descricao: 'too much' };
    const key = { 'Idempotency-Key': `debit-${id}` };
    const first = await post(0, '/transactions', debit, key);
    expectProblem(first, 422);
    await api.api.post('/transactions').send({ ...debit, tipo: 'c' });
    const again = await post(1, '/transactions', debit, key);
    expectProblem(again, 422);
    expect([again.body.detail, again.headers['idempotent-replayed']]).toEqual([first.body.detail, 'true']);
    expect((await api.api.get(`/users/${id}`)).body.saldo).toBe(1_000);
  });

  test('another request under the same key is refused, and nothing is written', async () => {
    const title = newKey();
    const key = { 'Idempotency-Key': title };
    await post(0, '/items', { title }, key);
    const others = [
      post(1, '/items', { title, status: 'done' }, key),
      post(0, '/tasks', { title }, key),
      at(0).put('/kv').set(key).send({ key: title, value: 'x' }),
    ];
    for (const other of await Promise.all(others)) {
      expectProblem(other, 422);
      expect(other.body.detail).toMatch(/Idempotency-Key/);
    }
    expect(await itemsWith(title)).toBe(1);
    expectProblem(await api.api.get(`/kv?key=${title}`), 404);
  });

  test('quotes around a key do not matter; a key that is none is refused before anything is done', async () => {
    const title = newKey();
    await post(0, '/items', { title }, { 'Idempotency-Key': `"${title}"` });
    expect((await post(1, '/items', { title }, { 'Idempotency-Key': title })).headers['idempotent-replayed']).toBe(
      'true',
    );
    for (const key of ['', '""', 'a b', 'x'.repeat(256)]) {
      const response = await post(0, '/items', { title: 'malformed' }, { 'Idempotency-Key': key });
      expectProblem(response, 400);
      expect(response.body.errors).toEqual([{ in: 'header', path: 'Idempotency-Key', message: expect.any(String) }]);
    }
    expect(await itemsWith('malformed')).toBe(0);
  });

  test('twenty at once through both replicas are one write, and twenty equal answers', async () => {
    const title = newKey();
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, n) => post(n, '/tasks', { title }, { 'Idempotency-Key': title })),
    );
    expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(all.filter(({ headers }) => headers['idempotent-replayed']).length).toBe(19);
    const { body } = await api.api.get('/tasks?limit=200');
    expect(body.tasks.filter((task: { title: string }) => task.title === title)).toHaveLength(1);
  });

  test('while the first is still running, another waits for it, and gives up with 409', async () => {
    const title = newKey();
    const key = { 'Idempotency-Key': title };
    let waiting: Promise<{ status: number }> | undefined;
    await api.db.transaction().execute(async (trx) => {
      const row = { name: `client:${title}`, request: null, outcome: '{}', epoch: UNCACHED };
      await trx.insertInto('write_outcomes').values(row).execute();
      const refused = await post(0, '/items', { title }, key);
      expectProblem(refused, 409);
      expect(refused.headers['retry-after']).toBe('2');
      waiting = post(1, '/items', { title }, key).then((response) => response);
      await sleep(500);
      await sql`delete from write_outcomes where name = ${row.name}`.execute(trx);
    });
    expect((await waiting)?.status).toBe(201);
    expect(await itemsWith(title)).toBe(1);
  });

  test('a counter counts the write, not its repetitions', async () => {
    const cart = (await api.api.post('/carts')).body.id;
    const add = (n: number) =>
      post(n, `/carts/${cart}/items`, { product_id: 2, quantity: 1 }, { 'Idempotency-Key': `add-${cart}` });
    const counted = async () =>
      sample((await api.replicas[0].debug.get('/metrics')).text, 'ecommerce_cart_additions_total', { product_id: '2' });
    const before = (await counted()) ?? 0;
    await add(0);
    await add(0);
    expect(await counted()).toBe(before + 1);
  });
});

describe('a second attempt of Nginx', () => {
  test('is answered as the first, also where the first has changed what the second would find', async () => {
    const { id } = (await api.api.post('/tasks').send({ title: 'attempted' })).body.task;
    const before = await replays('attempt');
    const remove = (n: number) => at(n).delete(`/tasks/${id}`).set('X-Attempt-Key', `delete-${id}`);
    const first = await remove(0);
    const second = await remove(1);
    expect([first.status, second.status, second.text]).toEqual([200, 200, first.text]);
    expect(await replays('attempt')).toBe(before + 1);
    // The same words in an Idempotency-Key are another name.
    expectProblem(await at(0).delete(`/tasks/${id}`).set('Idempotency-Key', `delete-${id}`), 404);
  });

  test('that is late does not do what the client was told will not happen, with a key of the client or without', async () => {
    const title = newKey();
    const blocked = { 'X-Attempt-Key': newKey() };
    await sql`alter table items add constraint refused check (title <> ${sql.lit(title)})`.execute(api.db);
    expectProblem(await post(0, '/items', { title }, blocked), 422);
    await sql`alter table items drop constraint refused`.execute(api.db);
    expectProblem(await post(1, '/items', { title }, blocked), 422);

    for (const more of [{}, { 'Idempotency-Key': newKey() }] as Record<string, string>[]) {
      const attempt = { 'X-Attempt-Key': newKey(), ...more };
      await api.db.transaction().execute(async (trx) => {
        await sql`lock table items`.execute(trx);
        expectProblem(await post(0, '/items', { title }, attempt), 503);
      });
      expectProblem(await post(1, '/items', { title }, attempt), 503);
      expect(await itemsWith(title)).toBe(0);
      // The client tries again: a new attempt, which under the client's key has not happened yet.
      const again = await post(0, '/items', { title }, { ...attempt, 'X-Attempt-Key': newKey() });
      expect([again.status, again.headers['idempotent-replayed']]).toEqual([201, undefined]);
      await api.db.deleteFrom('items').where('title', '=', title).execute();
    }
  });
});

test('Without Nginx every request is another, whatever a client calls it', async () => {
  const titles = [newKey(), newKey()];
  for (const title of titles) {
    expect((await post(0, '/items', { title }, { 'X-Request-ID': 'the same' })).body.title).toBe(title);
  }
});

describe('when the answer to the statement is lost', () => {
  test('and it had happened, then the client is told so', async () => {
    // The database commits, and then the connection breaks, as when the network does.
    const title = newKey();
    const { deps } = api.replicas[0];
    const insert = insertItem({ title });
    const answer = await createWrite(deps)(
      { attempt: `attempt:${title}` },
      oneStatement({
        async statement(db, keeping, check) {
          await insert(db, keeping, check);
          throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
        },
        answer: (row: { title: string }) => ({ status: 201, body: { title: row.title } }),
      }),
    );
    expect(answer).toMatchObject({ status: 201, body: { title }, headers: { 'Idempotent-Replayed': 'true' } });
    expect(await itemsWith(title)).toBe(1);
  });
});

test('What was kept for a day goes, a batch at a time, and nothing younger', async () => {
  await sql`
    insert into write_outcomes (name, outcome, epoch, created_at)
    select 'attempt:old-' || n, '{}', ${UNCACHED}::uuid, now() - interval '24 hours 1 second' from generate_series(1, 1500) n`.execute(
    api.db,
  );
  const young = await api.db.selectFrom('write_outcomes').select('name').where('name', 'not like', '%old-%').execute();
  expect(await deleteOldOutcomes(api.replicas[0].deps.control)).toEqual({ deleted: 1_000, more: true });
  expect(await deleteOldOutcomes(api.replicas[1].deps.control)).toEqual({ deleted: 500, more: false });
  expect(await api.db.selectFrom('write_outcomes').select('name').execute()).toHaveLength(young.length);
});
