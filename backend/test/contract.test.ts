/** Every route of the HTTP contract in five outcomes: the answer, what is stored, bad input, an absent id, the metric. */
import { sql } from 'kysely';
import type supertest from 'supertest';
import { apiRoutes } from '../src/app.ts';
import { probeRoutes } from '../src/features/health/health.routes.ts';
import { createMetrics } from '../src/platform/metrics/metrics.ts';
import { asAdmin, expectProblem, useApi } from './support/api.ts';
import { sample } from './support/sample.ts';

const api = useApi();
const ABSENT = '00000000-0000-4000-8000-000000000000';
type Request = () => Promise<supertest.Response>;
// biome-ignore lint/suspicious/noExplicitAny: the assertions say what the body is
type Body = any;

interface Case {
  /** One good request; it makes what it needs. */
  request(): Request | Promise<Request>;
  status: number;
  answer(body: Body, response: supertest.Response): void;
  /** What the database holds afterwards. A read has none: it must leave everything as it is. */
  stored?(body: Body): Promise<void>;
  /** Requests that are refused, with the status. None: the route takes no input, and refuses another method. */
  bad?: Record<string, [number, () => Request | Promise<Request>]>;
  /** The same request about something that is not there. None: the route names nothing, so a path beside it is tried. */
  absent?(): Request | Promise<Request>;
  /** A counter of the shop that the good request raises by one. */
  counts?: string;
}

/** A request that is sent when it is called. (Supertest's own requests are sent by whoever awaits them, or a function that returns them.) */
const as =
  (method: 'get' | 'post' | 'put' | 'patch' | 'delete', path: string, body?: object | string, headers = {}): Request =>
  async () => {
    const request = api.replicas[0].debug[method](path).set(headers);
    return body === undefined ? request : request.type('json').send(body);
  };
const get = (path: string) => as('get', path);
const created = async (path: string, body?: object): Promise<Body> => {
  const response = await as('post', path, body, asAdmin)();
  expect([path, response.status]).toEqual([path, 201]);
  return response.body;
};

let serial = 0;
const aTask = () => created('/tasks', { title: 'a task' }).then(({ task }) => task.id as number);
const anItem = () => created('/items', { title: 'an item' }).then(({ id }) => id as string);
const aUser = (limite = 1000) =>
  created('/users', { nome: 'Ana', email: `ana-${++serial}@example.com`, limite }).then(({ id }) => id as number);
const aProduct = () => created('/products', { name: 'a product', price: 250 }).then(({ id }) => id as number);
const aCart = () => created('/carts').then(({ id }) => id as string);
const aCartWithItem = async () => {
  const cart = await aCart();
  const item = await created(`/carts/${cart}/items`, { product_id: 1, quantity: 2 });
  return { cart, item: item.id as number };
};
const customer = { name: 'Ana', email: 'ana@example.com', address: 'Rua das Flores, 12' };
const anOrder = async () => {
  const { cart } = await aCartWithItem();
  expect((await as('post', `/carts/${cart}/checkout`, customer)()).status).toBe(200);
  return cart;
};
const row = (
  table: 'items' | 'tasks' | 'users' | 'transactions' | 'products' | 'orders' | 'order_items',
  id: unknown,
) =>
  api.db
    .selectFrom(table)
    .selectAll()
    .where('id', '=', id as never)
    .executeTakeFirst() as Promise<Body>;

const badId = (path: string, body?: object, method: 'get' | 'put' | 'post' | 'patch' | 'delete' = 'get') => ({
  'an id that is none': [400, () => as(method, path, body, asAdmin)] as [number, () => Request],
});
const badPage = (path: string) => ({
  'a limit of 0': [400, () => get(`${path}?limit=0`)] as [number, () => Request],
  'a limit of 201': [400, () => get(`${path}?limit=201`)] as [number, () => Request],
  'a cursor that is none': [400, () => get(`${path}?cursor=e30`)] as [number, () => Request],
  'an unknown parameter': [400, () => get(`${path}?page=2`)] as [number, () => Request],
});

const CASES: Record<string, Case> = {
  'GET /': {
    request: () => get('/'),
    status: 200,
    answer: (body) => {
      expect(body).toMatchObject({ name: 'Tandem', instance: 'backend-1', links: { docs: '/docs' } });
      expect(body.endpoints).toEqual(expect.arrayContaining(['GET /ping', 'POST /carts/{id}/checkout']));
    },
  },
  'GET /ping': {
    request: () => get('/ping'),
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toEqual({ message: 'pong from backend-1', host: expect.any(String), instance: 'backend-1' });
      expect(headers['x-served-by']).toBe('backend-1');
    },
  },
  'GET /health': {
    request: () => get('/health'),
    status: 200,
    answer: (body) =>
      expect(body).toEqual({
        status: 'ok',
        api: 'healthy',
        database: 'healthy',
        cache: 'healthy',
        instance: 'backend-1',
      }),
  },
  'GET /health/live': {
    request: () => get('/health/live'),
    status: 200,
    answer: (body) => expect(body.status).toBe('alive'),
  },
  'GET /health/ready': {
    request: () => get('/health/ready'),
    status: 200,
    answer: (body) => expect(body.status).toBe('ready'),
  },
  'GET /health/serving': {
    request: () => get('/health/serving'),
    status: 200,
    answer: (body) => expect(body.status).toBe('serving'),
  },
  'GET /metrics': {
    request: () => get('/metrics'),
    status: 200,
    answer: (_, { text }) => expect(text).toMatch(/^ecommerce_active_sessions\{instance="backend-1"\} \d+$/m),
  },
  'GET /openapi.json': {
    request: () => get('/openapi.json'),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ openapi: '3.1.0', paths: { '/tasks/{id}': {} } }),
  },
  'GET /docs': {
    request: () => get('/docs'),
    status: 200,
    answer: (_, { text, type }) => expect([type, text.includes('swagger-ui')]).toEqual(['text/html', true]),
  },

  'GET /cache/stats': {
    request: async () => {
      await get('/tasks/1')();
      return get('/cache/stats');
    },
    status: 200,
    answer: (body) =>
      expect(body).toEqual({
        connected_clients: expect.any(Number),
        used_memory_human: expect.stringMatching(/^[\d.]+[BKMG]$/),
        total_commands_processed: expect.any(Number),
        keyspace_hits: expect.any(Number),
        keyspace_misses: expect.any(Number),
        instance: 'backend-1',
        caches: expect.objectContaining({
          tasks: {
            hits: expect.any(Number),
            misses: expect.any(Number),
            bypasses: expect.any(Number),
            fills_refused: 0,
          },
        }),
      }),
  },
  'POST /cache/clear': {
    request: () => as('post', '/cache/clear', undefined, asAdmin),
    status: 200,
    answer: (body) => expect(body).toEqual({ message: 'Cache cleared successfully' }),
    stored: async () => expect(await api.redis.keys('c:*:v:*')).toEqual([]),
    bad: {
      'no token': [401, () => as('post', '/cache/clear')],
      'another scheme': [401, () => as('post', '/cache/clear', undefined, { Authorization: 'Basic dGhlOmFkbWlu' })],
      'a wrong token': [
        403,
        () => as('post', '/cache/clear', undefined, { Authorization: 'Bearer the-administratos' }),
      ],
      'a token that goes on': [
        403,
        () => as('post', '/cache/clear', undefined, { Authorization: `${asAdmin.Authorization}x` }),
      ],
    },
  },

  'GET /items': {
    request: async () => {
      await anItem();
      return get('/items?status=pending&limit=1');
    },
    status: 200,
    answer: (body) => expect(body).toEqual([expect.objectContaining({ title: 'an item', status: 'pending' })]),
    bad: { ...badPage('/items'), 'an unknown status': [400, () => get('/items?status=late')] },
  },
  'POST /items': {
    request: () => as('post', '/items', { title: ' new ', description: 'of it' }),
    status: 201,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ title: 'new', description: 'of it', status: 'pending' });
      expect([headers.location, headers.etag]).toEqual([`/items/${body.id}`, expect.stringMatching(/^"\d+"$/)]);
    },
    stored: async ({ id }) => expect(await row('items', id)).toMatchObject({ title: 'new', description: 'of it' }),
    bad: { 'no title': [422, () => as('post', '/items', {})] },
  },
  'GET /items/{id}': {
    request: async () => get(`/items/${await anItem()}`),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ title: 'an item', description: null }),
    bad: badId('/items/1'),
    absent: () => get(`/items/${ABSENT}`),
  },
  'PUT /items/{id}': {
    request: async () => as('put', `/items/${await anItem()}`, { status: 'done' }),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ title: 'an item', status: 'done' }),
    stored: async ({ id }) => expect(await row('items', id)).toMatchObject({ title: 'an item', status: 'done' }),
    bad: {
      ...badId('/items/1', { status: 'done' }, 'put'),
      'no change': [422, async () => as('put', `/items/${await anItem()}`, {})],
      'a stale If-Match': [
        412,
        async () => as('put', `/items/${await anItem()}`, { title: 'x' }, { 'If-Match': '"1"' }),
      ],
    },
    absent: () => as('put', `/items/${ABSENT}`, { title: 'x' }),
  },
  'DELETE /items/{id}': {
    request: async () => as('delete', `/items/${await anItem()}`),
    status: 204,
    answer: (_, { text }) => expect(text).toBe(''),
    stored: async () => {
      const id = await anItem();
      await as('delete', `/items/${id}`)();
      expect(await row('items', id)).toBeUndefined();
    },
    bad: badId('/items/1', undefined, 'delete'),
    absent: () => as('delete', `/items/${ABSENT}`),
  },

  'GET /kv': {
    request: async () => {
      await as('put', '/kv', { key: 'k', value: 'v' })();
      return get('/kv?key=k');
    },
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toEqual({ data: { key: 'k', value: 'v' }, source: expect.stringMatching(/^(cache|database)$/) });
      expect(headers['x-cache']).toMatch(/^(HIT|MISS|BYPASS)$/);
    },
    bad: { ...badPage('/kv'), 'key and prefix': [400, () => get('/kv?key=a&prefix=a')] },
    absent: () => get('/kv?key=absent'),
  },
  'PUT /kv': {
    request: () => as('put', '/kv', { key: 'put', value: 'v' }),
    status: 200,
    answer: (body) => expect(body).toEqual({ status: 'ok' }),
    stored: async () =>
      expect(await api.db.selectFrom('kv').select('value').where('key', '=', 'put').execute()).toEqual([
        { value: 'v' },
      ]),
    bad: {
      'no value': [422, () => as('put', '/kv', { key: 'put' })],
      'an empty key': [422, () => as('put', '/kv', { key: '', value: 'v' })],
    },
  },
  'DELETE /kv': {
    request: async () => {
      await as('put', '/kv', { key: 'gone', value: 'v' })();
      return as('delete', '/kv?key=gone');
    },
    status: 200,
    answer: (body) => expect(body).toEqual({ key: 'gone', deleted: true }),
    stored: async () => expect(await api.db.selectFrom('kv').where('key', '=', 'gone').execute()).toEqual([]),
    bad: { 'no key': [400, () => as('delete', '/kv')] },
  },
  'GET /kv/stats': {
    request: () => get('/kv/stats'),
    status: 200,
    answer: (body) => expect(body).toEqual({ items: expect.any(Number) }),
  },

  'GET /tasks': {
    request: async () => {
      await aTask();
      return get('/tasks?limit=1');
    },
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toEqual({ source: 'database', count: 1, tasks: [expect.objectContaining({ title: 'a task' })] });
      expect(headers.link).toMatch(/^<\/tasks\?limit=1&cursor=\w+>; rel="next"$/);
      expect(headers['x-cache']).toMatch(/^(MISS|BYPASS)$/);
    },
    bad: { ...badPage('/tasks'), 'a status of items': [400, () => get('/tasks?status=done')] },
  },
  'POST /tasks': {
    request: () => as('post', '/tasks', { title: 'new' }),
    status: 201,
    answer: (body, { headers }) => {
      expect(body).toEqual({
        message: 'Task created successfully',
        task: expect.objectContaining({ id: expect.any(Number), title: 'new', description: null, status: 'pending' }),
      });
      expect(headers.location).toBe(`/tasks/${body.task.id}`);
    },
    stored: async ({ task }) => expect(await row('tasks', task.id)).toMatchObject(task),
    bad: {
      'no title': [422, () => as('post', '/tasks', {})],
      'a status of items': [422, () => as('post', '/tasks', { title: 'x', status: 'done' })],
    },
  },
  'GET /tasks/{id}': {
    request: async () => get(`/tasks/${await aTask()}`),
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toEqual({ source: 'database', task: expect.objectContaining({ title: 'a task' }) });
      expect(headers.etag).toMatch(/^"\d+"$/);
    },
    bad: badId('/tasks/one'),
    absent: () => get('/tasks/999999'),
  },
  'PUT /tasks/{id}': {
    request: async () => as('put', `/tasks/${await aTask()}`, { status: 'completed' }),
    status: 200,
    answer: (body) =>
      expect(body).toEqual({
        message: 'Task updated successfully',
        task: expect.objectContaining({ title: 'a task', status: 'completed' }),
      }),
    stored: async ({ task }) => expect(await row('tasks', task.id)).toMatchObject(task),
    bad: {
      ...badId('/tasks/one', { title: 'x' }, 'put'),
      'no change': [422, () => as('put', '/tasks/1', {})],
      'a stale If-Match': [412, () => as('put', '/tasks/1', { title: 'x' }, { 'If-Match': '"0"' })],
    },
    absent: () => as('put', '/tasks/999999', { title: 'x' }),
  },
  'DELETE /tasks/{id}': {
    request: async () => as('delete', `/tasks/${await aTask()}`),
    status: 200,
    answer: (body) =>
      expect(body).toEqual({
        message: 'Task deleted successfully',
        task: expect.objectContaining({ title: 'a task' }),
      }),
    stored: async ({ task }) => expect(await row('tasks', task.id)).toBeUndefined(),
    bad: {
      ...badId('/tasks/one', undefined, 'delete'),
      'a stale If-Match': [412, () => as('delete', '/tasks/1', undefined, { 'If-Match': '"0"' })],
    },
    absent: () => as('delete', '/tasks/999999'),
  },

  'GET /users': {
    request: async () => {
      await aUser();
      return get('/users?limit=1');
    },
    status: 200,
    answer: (body) => expect(body).toEqual([expect.objectContaining({ id: expect.any(Number), saldo: 0 })]),
    bad: badPage('/users'),
  },
  'POST /users': {
    request: () => as('post', '/users', { nome: 'Bia', email: `Bia-${++serial}@Example.com` }),
    status: 201,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ nome: 'Bia', email: `Bia-${serial}@Example.com`, limite: 0, saldo: 0 });
      expect(headers.location).toBe(`/users/${body.id}`);
    },
    stored: async (body) => expect(await row('users', body.id)).toMatchObject(body),
    bad: {
      'no email': [422, () => as('post', '/users', { nome: 'x' })],
      'an email that is none': [422, () => as('post', '/users', { nome: 'x', email: 'x' })],
      'a negative limit': [422, () => as('post', '/users', { nome: 'x', email: 'x@example.com', limite: -1 })],
      'a balance': [422, () => as('post', '/users', { nome: 'x', email: 'x@example.com', saldo: 5 })],
      'an email that is taken, in other letters': [
        409,
        async () => {
          const { email } = await row('users', await aUser());
          return as('post', '/users', { nome: 'x', email: email.toUpperCase() });
        },
      ],
    },
  },
  'GET /users/{id}': {
    request: async () => get(`/users/${await aUser()}`),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ nome: 'Ana', limite: 1000, saldo: 0 }),
    bad: badId('/users/ana'),
    absent: () => get('/users/999999'),
  },
  'PUT /users/{id}': {
    request: async () => as('put', `/users/${await aUser()}`, { limite: 5 }),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ nome: 'Ana', limite: 5 }),
    stored: async (body) => expect(await row('users', body.id)).toMatchObject(body),
    bad: {
      ...badId('/users/ana', { limite: 5 }, 'put'),
      'a balance': [422, async () => as('put', `/users/${await aUser()}`, { saldo: 5 })],
      'a limit that does not cover the balance': [
        422,
        async () => {
          const id = await aUser();
          await created('/transactions', { user_id: id, valor: 100, tipo: 'd', descricao: 'x' });
          return as('put', `/users/${id}`, { limite: 99 });
        },
      ],
      'an email that is taken': [
        409,
        async () => {
          const { email } = await row('users', await aUser());
          return as('put', `/users/${await aUser()}`, { email });
        },
      ],
      'a stale If-Match': [412, async () => as('put', `/users/${await aUser()}`, { nome: 'x' }, { 'If-Match': '"1"' })],
    },
    absent: () => as('put', '/users/999999', { nome: 'x' }),
  },
  'DELETE /users/{id}': {
    request: async () => as('delete', `/users/${await aUser()}`),
    status: 204,
    answer: (_, { text }) => expect(text).toBe(''),
    stored: async () => {
      const id = await aUser();
      await as('delete', `/users/${id}`)();
      expect(await row('users', id)).toBeUndefined();
    },
    bad: {
      ...badId('/users/ana', undefined, 'delete'),
      'a user with transactions': [
        409,
        async () => {
          const id = await aUser();
          await created('/transactions', { user_id: id, valor: 100, tipo: 'c', descricao: 'x' });
          return as('delete', `/users/${id}`);
        },
      ],
    },
    absent: () => as('delete', '/users/999999'),
  },

  'GET /transactions': {
    request: async () => {
      const user_id = await aUser();
      await created('/transactions', { user_id, valor: 7, tipo: 'c', descricao: 'first' });
      await created('/transactions', { user_id, valor: 8, tipo: 'd', descricao: 'second' });
      return get(`/transactions?user_id=${user_id}`);
    },
    status: 200,
    answer: (body) =>
      expect(body).toEqual([
        expect.objectContaining({ valor: 8, tipo: 'd', descricao: 'second' }),
        expect.objectContaining({ valor: 7, tipo: 'c', descricao: 'first' }),
      ]),
    bad: { ...badPage('/transactions'), 'a user that is none': [400, () => get('/transactions?user_id=ana')] },
  },
  'POST /transactions': {
    request: async () =>
      as('post', '/transactions', { user_id: await aUser(), valor: 1000, tipo: 'd', descricao: 'to the limit' }),
    status: 201,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ valor: 1000, tipo: 'd', descricao: 'to the limit', limite: 1000, saldo: -1000 });
      expect(headers.location).toBe(`/transactions/${body.id}`);
    },
    stored: async ({ id, user_id }) => {
      expect(await row('transactions', id)).toMatchObject({ user_id, valor: 1000, tipo: 'd' });
      expect(await row('users', user_id)).toMatchObject({ saldo: -1000 });
    },
    bad: {
      'a debit past the limit': [
        422,
        async () => as('post', '/transactions', { user_id: await aUser(), valor: 1001, tipo: 'd', descricao: 'x' }),
      ],
      'an amount of 0': [422, () => as('post', '/transactions', { user_id: 1, valor: 0, tipo: 'c', descricao: 'x' })],
    },
    absent: () => as('post', '/transactions', { user_id: 999999, valor: 1, tipo: 'c', descricao: 'x' }),
  },
  'GET /transactions/{id}': {
    request: async () => {
      const body = { user_id: await aUser(), valor: 7, tipo: 'c', descricao: 'one' };
      return get(`/transactions/${(await created('/transactions', body)).id}`);
    },
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ valor: 7, tipo: 'c', descricao: 'one' });
      expect(headers.etag).toBe(`"${body.id}"`);
    },
    bad: badId('/transactions/one'),
    absent: () => get('/transactions/999999'),
  },

  'POST /clientes/{id}/transacoes': {
    request: async () =>
      as('post', `/clientes/${await aUser()}/transacoes`, { valor: 10, tipo: 'd', descricao: 'ten' }),
    status: 200,
    answer: (body) => expect(body).toEqual({ limite: 1000, saldo: -10 }),
    stored: async () => {
      const [last] = await api.db.selectFrom('transactions').selectAll().orderBy('id', 'desc').limit(1).execute();
      expect(last).toMatchObject({ valor: 10, tipo: 'd', descricao: 'ten' });
      expect(await row('users', last?.user_id)).toMatchObject({ saldo: -10 });
    },
    bad: {
      ...badId('/clientes/um/transacoes', { valor: 1, tipo: 'c', descricao: 'x' }, 'post'),
      'eleven characters': [
        422,
        async () =>
          as('post', `/clientes/${await aUser()}/transacoes`, { valor: 1, tipo: 'c', descricao: 'x'.repeat(11) }),
      ],
      'a debit past the limit': [
        422,
        async () => as('post', `/clientes/${await aUser()}/transacoes`, { valor: 1001, tipo: 'd', descricao: 'x' }),
      ],
    },
    absent: () => as('post', '/clientes/6/transacoes', { valor: 1, tipo: 'c', descricao: 'x' }),
  },
  'GET /clientes/{id}/extrato': {
    request: async () => {
      const user_id = await aUser();
      for (let n = 1; n <= 11; n++) await created('/transactions', { user_id, valor: n, tipo: 'c', descricao: `${n}` });
      return get(`/clientes/${user_id}/extrato`);
    },
    status: 200,
    answer: (body) => {
      expect(body.saldo).toEqual({ total: 66, data_extrato: expect.stringMatching(/^\d{4}-.*Z$/), limite: 1000 });
      const realizada_em = expect.stringMatching(/^\d{4}-.*Z$/);
      const newest = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
      expect(body.ultimas_transacoes).toEqual(
        newest.map((valor) => ({ valor, tipo: 'c', descricao: `${valor}`, realizada_em })),
      );
    },
    bad: badId('/clientes/um/extrato'),
    absent: () => get('/clientes/6/extrato'),
  },

  'GET /products': {
    request: () => get('/products?limit=2'),
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toEqual([expect.objectContaining({ id: 1, price: 6799 }), expect.objectContaining({ id: 2 })]);
      expect(headers['x-cache']).toMatch(/^(HIT|MISS|BYPASS)$/);
      expect(headers.link).toContain('rel="next"');
    },
    bad: badPage('/products'),
  },
  'POST /products': {
    request: () => as('post', '/products', { name: 'new', price: 5 }, asAdmin),
    status: 201,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ name: 'new', description: null, price: 5 });
      expect(headers.location).toBe(`/products/${body.id}`);
    },
    stored: async (body) => expect(await row('products', body.id)).toMatchObject(body),
    bad: {
      'no token': [401, () => as('post', '/products', { name: 'new', price: 5 })],
      'a wrong token': [403, () => as('post', '/products', { name: 'x', price: 5 }, { Authorization: 'Bearer x' })],
      'no token and a malformed body': [401, () => as('post', '/products', '{')],
      'a price of 0': [422, () => as('post', '/products', { name: 'new', price: 0 }, asAdmin)],
      'a price with a fraction': [422, () => as('post', '/products', { name: 'new', price: 1.5 }, asAdmin)],
    },
  },
  'GET /products/{id}': {
    request: () => get('/products/1'),
    status: 200,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ id: 1, name: 'Typewriter' });
      expect([headers['x-cache'], headers.etag]).toEqual([
        expect.stringMatching(/^(HIT|MISS|BYPASS)$/),
        expect.stringMatching(/^"\d+"$/),
      ]);
    },
    bad: badId('/products/one'),
    absent: () => get('/products/999999'),
  },
  'PUT /products/{id}': {
    request: async () => as('put', `/products/${await aProduct()}`, { price: 300 }, asAdmin),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ name: 'a product', price: 300 }),
    stored: async (body) => expect(await row('products', body.id)).toMatchObject(body),
    bad: {
      ...badId('/products/one', { price: 5 }, 'put'),
      'no token': [401, () => as('put', '/products/1', { price: 5 })],
      'no change': [422, () => as('put', '/products/1', {}, asAdmin)],
      'a stale If-Match': [412, () => as('put', '/products/1', { price: 5 }, { ...asAdmin, 'If-Match': '"0"' })],
    },
    absent: () => as('put', '/products/999999', { price: 5 }, asAdmin),
  },
  'DELETE /products/{id}': {
    request: async () => as('delete', `/products/${await aProduct()}`, undefined, asAdmin),
    status: 204,
    answer: (_, { text }) => expect(text).toBe(''),
    stored: async () => {
      const id = await aProduct();
      await as('delete', `/products/${id}`, undefined, asAdmin)();
      expect(await row('products', id)).toBeUndefined();
    },
    bad: {
      ...badId('/products/one', undefined, 'delete'),
      'no token': [401, () => as('delete', '/products/1')],
      'a product in a cart': [
        409,
        async () => {
          await aCartWithItem();
          return as('delete', '/products/1', undefined, asAdmin);
        },
      ],
    },
    absent: () => as('delete', '/products/999999', undefined, asAdmin),
  },

  'POST /carts': {
    request: () => as('post', '/carts'),
    status: 201,
    answer: (body, { headers }) => {
      expect(body).toMatchObject({ is_open: true, items: [], subtotal: 0, shipping: 500, total: 500 });
      expect(headers.location).toBe(`/carts/${body.id}`);
    },
    stored: async ({ id }) => expect(await row('orders', id)).toMatchObject({ is_open: true, total: null }),
  },
  'GET /carts/{id}': {
    request: async () => get(`/carts/${(await aCartWithItem()).cart}`),
    status: 200,
    answer: (body) => {
      const item = { id: expect.any(Number), product_id: 1, name: 'Typewriter', unit_price: 6799, quantity: 2 };
      expect(body).toMatchObject({ is_open: true, items: [item], subtotal: 13_598, shipping: 500, total: 14_098 });
    },
    bad: badId('/carts/1'),
    absent: () => get(`/carts/${ABSENT}`),
  },
  'POST /carts/{id}/items': {
    request: async () => as('post', `/carts/${await aCart()}/items`, { product_id: 2, quantity: 3 }),
    status: 201,
    answer: (body) =>
      expect(body).toEqual({
        id: expect.any(Number),
        product_id: 2,
        name: 'Camera lens',
        unit_price: 1249,
        quantity: 3,
      }),
    stored: async (body) => expect(await row('order_items', body.id)).toMatchObject(body),
    bad: {
      ...badId('/carts/1/items', { product_id: 2, quantity: 3 }, 'post'),
      'a quantity of 0': [422, async () => as('post', `/carts/${await aCart()}/items`, { product_id: 2, quantity: 0 })],
      'a price of one’s own': [
        422,
        async () => as('post', `/carts/${await aCart()}/items`, { product_id: 2, quantity: 1, unit_price: 1 }),
      ],
      'a closed cart': [422, async () => as('post', `/carts/${await anOrder()}/items`, { product_id: 2, quantity: 1 })],
      'a product that does not exist': [
        404,
        async () => as('post', `/carts/${await aCart()}/items`, { product_id: 999999, quantity: 1 }),
      ],
    },
    absent: () => as('post', `/carts/${ABSENT}/items`, { product_id: 2, quantity: 3 }),
    counts: 'ecommerce_cart_additions_total',
  },
  'PATCH /carts/{id}/items/{item_id}': {
    request: async () => {
      const { cart, item } = await aCartWithItem();
      return as('patch', `/carts/${cart}/items/${item}`, { quantity: 7 });
    },
    status: 200,
    answer: (body) => expect(body).toMatchObject({ product_id: 1, quantity: 7 }),
    stored: async (body) => expect(await row('order_items', body.id)).toMatchObject({ quantity: 7 }),
    bad: {
      ...badId(`/carts/${ABSENT}/items/one`, { quantity: 7 }, 'patch'),
      'a quantity of 0': [422, () => as('patch', `/carts/${ABSENT}/items/1`, { quantity: 0 })],
      'a closed cart': [
        422,
        async () => {
          const { cart, item } = await aCartWithItem();
          await as('post', `/carts/${cart}/checkout`, customer)();
          return as('patch', `/carts/${cart}/items/${item}`, { quantity: 7 });
        },
      ],
      'an item of another cart': [
        404,
        async () => {
          const { item } = await aCartWithItem();
          return as('patch', `/carts/${await aCart()}/items/${item}`, { quantity: 7 });
        },
      ],
    },
    absent: async () => as('patch', `/carts/${await aCart()}/items/999999`, { quantity: 7 }),
  },
  'DELETE /carts/{id}/items/{item_id}': {
    request: async () => {
      const { cart, item } = await aCartWithItem();
      return as('delete', `/carts/${cart}/items/${item}`);
    },
    status: 204,
    answer: (_, { text }) => expect(text).toBe(''),
    stored: async () => {
      const { cart, item } = await aCartWithItem();
      await as('delete', `/carts/${cart}/items/${item}`)();
      expect(await row('order_items', item)).toBeUndefined();
    },
    bad: {
      ...badId(`/carts/${ABSENT}/items/one`, undefined, 'delete'),
      'a closed cart': [
        422,
        async () => {
          const { cart, item } = await aCartWithItem();
          await as('post', `/carts/${cart}/checkout`, customer)();
          return as('delete', `/carts/${cart}/items/${item}`);
        },
      ],
    },
    absent: async () => as('delete', `/carts/${await aCart()}/items/999999`),
  },
  'POST /carts/{id}/checkout': {
    request: async () => as('post', `/carts/${(await aCartWithItem()).cart}/checkout`, { ...customer, city: 'Recife' }),
    status: 200,
    answer: (body) =>
      expect(body).toMatchObject({
        ...customer,
        city: 'Recife',
        country: null,
        order_number: expect.any(Number),
        items: [{ product_id: 1, quantity: 2 }],
        subtotal: 13_598,
        shipping: 500,
        total: 14_098,
      }),
    stored: async ({ id, order_number }) =>
      expect(await row('orders', id)).toMatchObject({ is_open: false, order_number, total: 14_098, ...customer }),
    bad: {
      ...badId('/carts/1/checkout', customer, 'post'),
      'card data': [
        422,
        () => as('post', `/carts/${ABSENT}/checkout`, { ...customer, card_number: '4111111111111111' }),
      ],
      'no address': [422, () => as('post', `/carts/${ABSENT}/checkout`, { name: 'x', email: 'x@example.com' })],
      'an empty cart': [422, async () => as('post', `/carts/${await aCart()}/checkout`, customer)],
      'a closed cart': [409, async () => as('post', `/carts/${await anOrder()}/checkout`, customer)],
    },
    absent: () => as('post', `/carts/${ABSENT}/checkout`, customer),
    counts: 'ecommerce_orders_total',
  },
  'GET /orders/{id}': {
    request: async () => get(`/orders/${await anOrder()}`),
    status: 200,
    answer: (body) => expect(body).toMatchObject({ ...customer, total: 14_098, items: [{ name: 'Typewriter' }] }),
    bad: { ...badId('/orders/1'), 'a cart that is still open': [404, async () => get(`/orders/${await aCart()}`)] },
    absent: () => get(`/orders/${ABSENT}`),
  },
};

/** How many rows each table has and which version is its newest: any write changes it. */
async function writes(): Promise<unknown> {
  const versioned = ['items', 'kv', 'tasks', 'users', 'products', 'orders', 'order_items'] as const;
  const states = versioned.map((table) => sql`select count(*), max(version) from ${sql.table(table)}`);
  // Transactions never change; the newest id tells them.
  const all = [...states, sql`select count(*), max(id) from transactions`];
  return Promise.all(all.map(async (state) => (await state.execute(api.db)).rows));
}

describe.each(Object.entries(CASES))('%s', (name, { request, status, answer, stored, bad, absent, counts }) => {
  const [method = '', template = ''] = name.split(' ');

  test('answers as the contract says', async () => {
    const response = await (await request())();
    expect([name, response.status]).toEqual([name, status]);
    answer(response.body, response);
    expect(response.headers).toMatchObject({ 'x-served-by': 'backend-1', 'x-request-id': expect.any(String) });
  });

  test(stored ? 'stores it' : 'stores nothing', async () => {
    const pending = await request();
    const before = await writes();
    const { body } = await pending();
    if (stored) await stored(body);
    else expect(await writes()).toEqual(before);
  });

  test('refuses bad input and stores nothing', async () => {
    const other = method === 'GET' ? ('delete' as const) : ('get' as const);
    const refused = bad ?? { 'another method': [405, () => as(other, template)] as const };
    for (const [what, [expected, send]] of Object.entries(refused)) {
      const pending = await send();
      const before = await writes();
      const response = await pending();
      expect([what, response.status]).toEqual([what, expected]);
      expectProblem(response, expected);
      expect(await writes()).toEqual(before);
    }
  });

  test('says 404 for what is not there, and stores nothing', async () => {
    if (!absent) expect(template).not.toContain('{');
    const send = await (absent ?? (() => get(`${template}/absent/absent`.replace('//', '/'))))();
    const before = await writes();
    expectProblem(await send(), 404);
    expect(await writes()).toEqual(before);
  });

  test('is counted under its template', async () => {
    const labels = { path: template, method, status_code: `${status}` };
    const counted = async () => {
      const { text } = await api.replicas[0].debug.get('/metrics');
      return {
        requests: sample(text, 'http_requests_total', labels) ?? 0,
        durations: sample(text, 'http_request_duration_seconds_count', labels) ?? 0,
        inProgress: sample(text, 'http_requests_in_progress', { path: template, method }) ?? 0,
        business: counts ? sample(text, counts) : 0,
      };
    };
    const pending = await request();
    const before = await counted();
    await pending();
    // Looking at /metrics is a request of its own, counted like any other, and in progress while it looks.
    const isMetrics = template === '/metrics';
    const rise = isMetrics ? 2 : 1;
    expect(await counted()).toEqual({
      requests: before.requests + rise,
      durations: before.durations + rise,
      inProgress: isMetrics ? 1 : 0,
      business: (before.business ?? 0) + (counts ? 1 : 0),
    });
  });
});

test('each is declared', () => {
  const deps = { metrics: createMetrics('test') } as Parameters<typeof apiRoutes>[0];
  const declared = [...apiRoutes(deps), ...probeRoutes(deps, { phase: 'serving' })].map(
    ({ method, template }) => `${method.toUpperCase()} ${template}`,
  );
  expect(declared).toEqual(expect.arrayContaining(Object.keys(CASES)));
});
