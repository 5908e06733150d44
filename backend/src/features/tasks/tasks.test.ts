import { expectProblem, nextOf, useApi, warm } from '../../../test/support/api.ts';

const api = useApi();
const { at } = api;

test('Three tasks are there after the first migration', async () => {
  const { body } = await api.api.get('/tasks');
  expect(body).toMatchObject({ source: 'database', count: 3, tasks: [{ id: 3 }, { id: 2 }, { id: 1 }] });
});

test('source and X-Cache say where an answer comes from, of a task as of a list', async () => {
  for (const path of ['/tasks/1', '/tasks', '/tasks?status=pending', '/tasks?limit=1']) {
    const first = await api.api.get(path);
    const cached = await warm(at(1), path);
    expect(cached).toEqual({ ...first.body, source: 'cache' });
  }
});

test('No list gets the answer of another: status, limit and cursor tell them apart, their order does not', async () => {
  const ids = (path: string) => warm(at(1), path).then((body) => body.tasks.map(({ id }: { id: number }) => id));
  expect(await ids('/tasks?status=pending')).toEqual([3]);
  expect(await ids('/tasks?status=completed')).toEqual([1]);
  expect(await ids('/tasks?limit=2')).toEqual([3, 2]);
  expect(await ids(nextOf(await api.api.get('/tasks?limit=2')) as string)).toEqual([1]);
  await warm(at(1), '/tasks?limit=1&status=pending');
  expect((await api.api.get('/tasks?status=pending&limit=1')).headers['x-cache']).toBe('HIT');
});

test('When a task is created, changed and deleted, then every list and every replica shows it at once', async () => {
  const paths = ['/tasks?limit=200', '/tasks?status=pending', '/tasks?limit=1'];
  const titles = async (n: number, path: string) =>
    (await at(n).get(path)).body.tasks.map(({ title }: { title: string }) => title) as string[];
  for (let round = 0; round < 10; round++) {
    const title = `round ${round}`;
    await Promise.all(paths.map((path) => warm(at(round), path)));
    const { id } = (await at(round).post('/tasks').send({ title })).body.task;
    for (const path of paths) expect((await titles(round + 1, path))[0]).toBe(title);
    await Promise.all(paths.map((path) => warm(at(round), path)));
    await at(round)
      .put(`/tasks/${id}`)
      .send({ title: `${title} changed`, status: 'completed' });
    expect(await titles(round + 1, paths[0] as string)).toContain(`${title} changed`);
    expect(await titles(round + 1, paths[1] as string)).not.toContain(title);
    await Promise.all(paths.map((path) => warm(at(round), path)));
    await at(round).delete(`/tasks/${id}`);
    for (const path of paths) expect(await titles(round + 1, path)).not.toContain(`${title} changed`);
  }
});

test('When a task that was asked for in vain is made, then it is found', async () => {
  const { id } = (await api.api.post('/tasks').send({ title: 'before' })).body.task;
  const next = `/tasks/${id + 1}`;
  expectProblem(await api.api.get(next), 404);
  // Not from the cache: whoever makes it does not know its id beforehand, and could not end that answer.
  const again = await api.api.get(next);
  expectProblem(again, 404);
  expect(again.headers['x-cache']).not.toBe('HIT');
  await api.api.post('/tasks').send({ title: 'after' });
  expect((await at(1).get(next)).body.task.title).toBe('after');
});

test('Reads and writes race 200 times, and no replica answers the old title', async () => {
  const { id } = (await api.api.post('/tasks').send({ title: 'raced' })).body.task;
  for (let n = 0; n < 200; n++) {
    const racing = [at(n).get(`/tasks/${id}`), at(n + 1).get('/tasks'), at(n).get('/tasks')].map((each) => each.then());
    await at(n)
      .put(`/tasks/${id}`)
      .send({ title: `title ${n}` });
    for (const replica of [n, n + 1]) {
      expect((await at(replica).get(`/tasks/${id}`)).body.task.title).toBe(`title ${n}`);
      expect((await at(replica).get('/tasks')).body.tasks[0].title).toBe(`title ${n}`);
    }
    await Promise.all(racing);
  }
});

test('A page of large tasks ends early, and loses none', async () => {
  const description = '\u0001'.repeat(4_000); // six bytes each, in JSON
  await api.db
    .insertInto('tasks')
    .values(Array.from({ length: 120 }, (_, n) => ({ title: `large ${n}`, description })))
    .execute();
  await api.replicas[0].deps.cache.clear(); // they came past the API
  const seen: string[] = [];
  for (let next: string | undefined = '/tasks?limit=200'; next; ) {
    const response: Awaited<ReturnType<typeof api.api.get>> = await api.api.get(next);
    expect(response.text.length).toBeLessThan(1.1 * 1024 * 1024);
    seen.push(...response.body.tasks.map(({ title }: { title: string }) => title));
    next = nextOf(response);
  }
  expect(seen.filter((title) => title.startsWith('large')).reverse()).toEqual(
    Array.from({ length: 120 }, (_, n) => `large ${n}`),
  );
  await api.db.deleteFrom('tasks').where('title', 'like', 'large%').execute();
  await api.replicas[0].deps.cache.clear();
});

test('A change that its precondition forbids leaves the cached task as it is', async () => {
  const { etag } = (await api.api.get('/tasks/1')).headers as { etag: string };
  await warm(at(1), '/tasks/1');
  expectProblem(await api.api.put('/tasks/1').set('If-Match', '"999999"').send({ title: 'lost' }), 412);
  expect((await at(1).get('/tasks/1').set('If-None-Match', etag)).status).toBe(304);
  expect((await api.api.put('/tasks/1').set('If-Match', etag).send({ title: 'kept' })).status).toBe(200);
  expect((await at(1).get('/tasks/1').set('If-None-Match', etag)).body.task.title).toBe('kept');
});
