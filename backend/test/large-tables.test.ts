/** What holds of tables that have grown: a million rows each, made once for this file. */
import { CompiledQuery, sql } from 'kysely';
import supertest from 'supertest';
import { apiRoutes, createApps } from '../src/app.ts';
import { noCache } from '../src/platform/cache/cache.ts';
import { BatchingClient } from '../src/platform/database/batching-client.ts';
import type { Deps } from '../src/platform/deps.ts';
import { createMetrics } from '../src/platform/metrics/metrics.ts';
import { ADMIN_TOKEN, asAdmin, useApi } from './support/api.ts';

const ROWS = 1_000_000;
const api = useApi();

/** In the order of their references. Values are spread so that each index has something to select. */
const FILL = [
  sql`insert into items (title, status, created_at)
      select 'item ' || n, (array['pending', 'in_progress', 'done'])[1 + n % 3], now() - n * interval '1 second'
      from generate_series(1, ${ROWS}) n`,
  sql`insert into kv (key, value) select 'key:' || n, 'value' from generate_series(1, ${ROWS}) n`,
  sql`insert into tasks (title, status)
      select 'task ' || n, (array['pending', 'in_progress', 'completed'])[1 + n % 3] from generate_series(1, ${ROWS}) n`,
  sql`insert into users (nome, email, limite)
      select 'user ' || n, 'user-' || n || '@example.com', 1000 from generate_series(1, ${ROWS}) n`,
  sql`insert into transactions (user_id, valor, tipo, descricao)
      select 1001 + n % 10000, 1, 'c', 'x' from generate_series(1, ${ROWS}) n`,
  sql`insert into products (name, price) select 'product ' || n, 100 from generate_series(1, ${ROWS}) n`,
  sql`insert into orders (id, created_at)
      select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, now() - n * interval '1 second'
      from generate_series(1, ${ROWS}) n`,
  // Enough carts with a single line: a line of a thousand would be found by reading everything.
  sql`insert into order_items (order_id, product_id, name, unit_price, quantity, updated_at)
      select ('00000000-0000-4000-8000-' || lpad((1 + n % 250000)::text, 12, '0'))::uuid, 1 + n % 1000, 'product', 100, 1,
             now() - n * interval '1 second'
      from generate_series(1, ${ROWS}) n`,
];

interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}
/** Those that a request sends to PostgreSQL, as they are sent; not the ones that are about its outcome alone. */
const recorded: Statement[] = [];
const send = BatchingClient.prototype.query;
BatchingClient.prototype.query = function record(text, values, ...rest) {
  const isRequests =
    /^(with|select|insert|update|delete)\b/i.test(text) &&
    !/^(insert into|select .* from) "?write_outcomes/is.test(text);
  if (isRequests) recorded.push({ text, values: values ?? [] });
  return send.call(this, text, values, ...rest);
};

let agent: supertest.Agent;
beforeAll(async () => {
  for (const statement of FILL) await statement.execute(api.db);
  await sql`vacuum analyze`.execute(api.db);

  const { deps, lifecycle } = api.replicas[0];
  const uncached = { ...deps, cache: noCache, metrics: createMetrics('uncached') };
  agent = supertest(createApps(uncached, lifecycle, { adminToken: ADMIN_TOKEN }).debug) as unknown as supertest.Agent;
}, 900_000);

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  Plans?: Plan[];
}
const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

async function planOf({ text, values }: Statement): Promise<Plan[]> {
  const explain = CompiledQuery.raw(`explain (format json) ${text}`, [...values]);
  const { rows } = await api.db.executeQuery<{ 'QUERY PLAN': { Plan: Plan }[] }>(explain);
  return rows.flatMap((row) => row['QUERY PLAN'].flatMap(({ Plan }) => nodesOf(Plan)));
}

const cursor = (...key: (string | number)[]) => Buffer.from(JSON.stringify(key)).toString('base64url');
const order = (n: number) => `00000000-0000-4000-8000-${`${n}`.padStart(12, '0')}`;
const uuid = order(1);
const noon = '2026-01-31T12:00:00.123456Z';
const customer = { name: 'Ana', email: 'ana@example.com', address: 'Rua das Flores, 12' };

/** Every list (first page, a later one, filtered) and every lookup, also those of writes. */
const REQUESTS: [method: 'get' | 'put' | 'post' | 'patch' | 'delete', path: string, body?: object][] = [
  ['get', '/items'],
  ['get', `/items?cursor=${cursor(noon, uuid)}&limit=200`],
  ['get', '/items?status=done'],
  ['get', `/items?status=done&cursor=${cursor(noon, uuid)}&limit=200`],
  ['get', `/items/${uuid}`],
  ['put', `/items/${uuid}`, { title: 'x' }],
  ['delete', `/items/${uuid}`],
  ['get', '/kv'],
  ['get', `/kv?cursor=${cursor('key:5')}&limit=200`],
  ['get', '/kv?prefix=key:77'],
  ['get', `/kv?prefix=key:77&cursor=${cursor('key:775')}&limit=200`],
  ['get', '/kv?key=key:5'],
  ['put', '/kv', { key: 'key:5', value: 'x' }],
  ['delete', '/kv?key=key:5'],
  ['get', '/tasks'],
  ['get', `/tasks?cursor=${cursor(500_000)}&limit=200`],
  ['get', '/tasks?status=completed'],
  ['get', `/tasks?status=completed&cursor=${cursor(500_000)}&limit=200`],
  ['get', '/tasks/500000'],
  ['put', '/tasks/500000', { title: 'x' }],
  ['delete', '/tasks/500000'],
  ['get', '/users'],
  ['get', `/users?cursor=${cursor(500_000)}&limit=200`],
  ['get', '/users/500000'],
  ['put', '/users/500000', { email: 'x@example.com', limite: 5 }],
  ['delete', '/users/500000'],
  ['get', '/transactions'],
  ['get', `/transactions?cursor=${cursor(500_000)}&limit=200`],
  ['get', '/transactions?user_id=5000'],
  ['get', `/transactions?user_id=5000&cursor=${cursor(500_000)}&limit=200`],
  ['get', '/transactions/500000'],
  ['post', '/transactions', { user_id: 5_000, valor: 1, tipo: 'd', descricao: 'x' }],
  ['post', '/transactions', { user_id: 5_000, valor: 1_000_000, tipo: 'd', descricao: 'x' }],
  ['post', '/clientes/5000/transacoes', { valor: 1, tipo: 'c', descricao: 'x' }],
  ['get', '/clientes/5000/extrato'],
  ['get', '/products'],
  ['get', `/products?cursor=${cursor(500_000)}&limit=200`],
  ['get', '/products/500000'],
  ['put', '/products/500000', { price: 5 }],
  ['delete', '/products/500000'],
  ['get', `/carts/${order(5)}`],
  ['post', `/carts/${order(5)}/items`, { product_id: 500, quantity: 1 }],
  ['patch', `/carts/${order(5)}/items/4`, { quantity: 5 }],
  ['delete', `/carts/${order(5)}/items/4`],
  ['delete', `/carts/${order(5)}/items/4`],
  ['post', `/carts/${order(6)}/checkout`, customer],
  ['get', `/orders/${order(6)}`],
  ['get', '/metrics'],
];

for (const [method, path, body] of REQUESTS) {
  test(`${method} ${path} reads no table from end to end`, async () => {
    recorded.length = 0;
    const { status } = await agent[method](path).set(asAdmin).send(body);
    expect(status).toBeLessThan(500);
    expect(recorded.length).toBeGreaterThan(0);
    for (const statement of [...recorded]) {
      const nodes = await planOf(statement);
      const whole = nodes
        .filter((each) => each['Node Type'] === 'Seq Scan' && each['Relation Name'] !== 'write_gate') // one row
        .map((each) => each['Relation Name']);
      expect({ statement, whole }).toEqual({ statement, whole: [] });
    }
  });
}

test('A plan that does read a table from end to end is noticed', async () => {
  const nodes = await planOf({ text: 'select id from items where description = $1', values: ['x'] });
  expect(nodes).toContainEqual(expect.objectContaining({ 'Node Type': 'Seq Scan', 'Relation Name': 'items' }));
});

test('Every list and every lookup of the API is among these', () => {
  const tried = (template: string, method: string) => {
    const pattern = new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    return REQUESTS.some((each) => each[0] === method && pattern.test(each[1].split('?')[0] as string));
  };
  // What has no table, and what reads one by its nature: a count of all keys.
  const others = new Set([
    '/',
    '/ping',
    '/health',
    '/openapi.json',
    '/docs',
    '/docs/{file}',
    '/cache/stats',
    '/kv/stats',
  ]);
  const missing = apiRoutes({ metrics: createMetrics('test') } as Deps)
    .filter(({ method, template }) => template.includes('{') || method === 'get')
    .filter(({ method, template }) => !others.has(template) && !tried(template, method))
    .map(({ method, template }) => `${method} ${template}`);
  expect(missing).toEqual([]);
});

test('Every foreign key has an index that begins with its columns: a deletion looks for what points at it', async () => {
  const { rows } = await sql`
    select conname from pg_constraint c where contype = 'f' and not exists (
      select from pg_index i where i.indrelid = c.conrelid and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] = c.conkey
    )`.execute(api.db);
  expect(rows).toEqual([]);
});
