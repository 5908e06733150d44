/** The heart: two replicas that share nothing but PostgreSQL and Redis must look like one. */
import { useApi } from './support/api.ts';

const api = useApi();
const { at } = api;

test('When one replica creates, changes and deletes an item, then the other sees each step at once', async () => {
  const { id } = (await at(0).post('/items').send({ title: 'shared' })).body;
  expect((await at(1).get(`/items/${id}`)).body.title).toBe('shared');
  await at(1).put(`/items/${id}`).send({ status: 'done' });
  expect((await at(0).get(`/items/${id}`)).body.status).toBe('done');
  await at(0).delete(`/items/${id}`);
  expect((await at(1).get(`/items/${id}`)).status).toBe(404);
});

test('When a key is written through one replica, then no replica answers the old value, 200 times over', async () => {
  for (let n = 0; n < 200; n++) {
    const value = `value ${n}`;
    // Readers run beside the write, so that fills and the write race.
    const racing = [at(n), at(n + 1), at(n)].map((replica) => replica.get('/kv?key=raced'));
    await at(n).put('/kv').send({ key: 'raced', value });
    for (const replica of [at(n), at(n + 1)]) {
      expect((await replica.get('/kv?key=raced')).body.data.value).toBe(value);
    }
    await Promise.all(racing);
  }
});

test('When one key is written in parallel through both, then all succeed and both read the same', async () => {
  const writes = Array.from({ length: 40 }, (_, n) =>
    at(n)
      .put('/kv')
      .send({ key: 'parallel', value: `${n}` }),
  );
  expect(new Set((await Promise.all(writes)).map(({ status }) => status))).toEqual(new Set([200]));
  const reads = await Promise.all([0, 1].map((n) => at(n).get('/kv?key=parallel')));
  expect(new Set(reads.map(({ body }) => body.data.value)).size).toBe(1);
});

test('Nothing that one replica counts shows up in the other', async () => {
  await at(0).get('/kv?key=nobody');
  const { text } = await api.replicas[1].debug.get('/metrics');
  expect(text).not.toContain('instance="backend-1"');
});
