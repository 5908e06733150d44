/**
 * Every operation of the API, with a look into each body. One that GET / names and this script does not call fails it.
 * A round sends an odd number of requests, so that the next one brings each operation to the other one of two replicas.
 */
import { check, sleep } from 'k6';
import { type Body, expectAnswer, iteration, json, requireApi, send } from './lib/api.ts';
import { customer, newItem, newTask, newUser, text } from './lib/data.ts';
import { options as make, scaled } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';

export const options = make(
  { smoke: { executor: 'per-vu-iterations', vus: 1, iterations: scaled(6) } },
  { checks: ['rate==1'], http_req_failed: ['rate==0'], http_req_duration: ['p(95)<1000'] },
);

export function setup(): void {
  if (!__ENV.ADMIN_TOKEN)
    throw new Error('ADMIN_TOKEN is empty: k6/run.sh takes it from .env, but with API_BASE you set it');
  requireApi();
}

const admin = { Authorization: `Bearer ${__ENV.ADMIN_TOKEN}` };
const called: string[] = [];

/** Sends a request and checks its answer. @returns the body */
function ask(operation: string, status: number, request: Parameters<typeof send>[2], holds?: (body: Body) => boolean) {
  const [method, template] = operation.split(' ') as ['GET', string];
  called.push(operation);
  const answer = send(method, template, request);
  expectAnswer(answer, operation, status, holds);
  return json(answer);
}

export default iteration(() => {
  const { endpoints = [] } = ask('GET /', 200, {}, ({ name }) => name === 'Tandem');
  operations();
  items();
  kv();
  tasks();
  accounts();
  shop(products());
  cache();
  check(endpoints, { 'GET / names the operations': () => Array.isArray(endpoints) && endpoints.length > 40 });
  for (const endpoint of endpoints) check(called, { [`${endpoint} was called`]: () => called.includes(endpoint) });
  sleep(0.5);
});

function operations(): void {
  ask('GET /ping', 200, {}, ({ message, instance }) => message === `pong from ${instance}`);
  ask(
    'GET /health',
    200,
    {},
    ({ status, database, cache }) => status === 'ok' && database === 'healthy' && cache === 'healthy',
  );
  ask('GET /openapi.json', 200, {}, ({ openapi }) => openapi.startsWith('3.1'));
  ask('GET /docs', 200, {});
  ask('GET /docs/{file}', 200, { path: { file: 'swagger-ui.css' } });
}

function items(): void {
  const body = newItem();
  const { id } = ask('POST /items', 201, { body }, (item) => item.title === body.title && item.status === 'pending');
  const path = { id };
  ask('GET /items', 200, {}, (list) => list.some((item: { id: string }) => item.id === id));
  ask('GET /items/{id}', 200, { path }, (item) => item.description === body.description);
  ask(
    'PUT /items/{id}',
    200,
    { path, body: { status: 'done' } },
    (item) => item.status === 'done' && item.title === body.title,
  );
  ask('DELETE /items/{id}', 204, { path });
  ask('GET /items/{id}', 404, { path, expect: [404] }, ({ title }) => title === 'Not Found');
}

function kv(): void {
  const key = `k6:smoke:${text(8)}`;
  const query = { key };
  ask('PUT /kv', 200, { body: { key, value: 'one' } }, ({ status }) => status === 'ok');
  ask('GET /kv', 200, { query }, ({ data, source }) => data.value === 'one' && source === 'database');
  ask('GET /kv', 200, { query }, ({ data, source }) => data.value === 'one' && ['cache', 'database'].includes(source));
  ask('GET /kv/stats', 200, {}, ({ items }) => items >= 1);
  ask('DELETE /kv', 200, { query }, ({ deleted }) => deleted === true);
}

function tasks(): void {
  const body = newTask();
  const { task } = ask(
    'POST /tasks',
    201,
    { body },
    ({ message, task }) => message === 'Task created successfully' && task.title === body.title,
  );
  const path = { id: task?.id };
  ask('GET /tasks', 200, {}, (list) => list.count === list.tasks.length && list.tasks[0].id === path.id);
  ask('GET /tasks/{id}', 200, { path }, (found) => found.task.title === body.title);
  ask(
    'PUT /tasks/{id}',
    200,
    { path, body: { status: 'completed' } },
    (changed) => changed.task.status === 'completed',
  );
  ask('DELETE /tasks/{id}', 200, { path }, (deleted) => deleted.message === 'Task deleted successfully');
}

/** A user with transactions cannot be deleted: of each run one stays. */
function accounts(): void {
  const user = ask('POST /users', 201, { body: newUser() }, ({ saldo }) => saldo === 0);
  const path = { id: user.id };
  ask('GET /users', 200, {}, Array.isArray);
  ask('GET /users/{id}', 200, { path }, ({ email }) => email === user.email);
  ask('PUT /users/{id}', 200, { path, body: { limite: 500 } }, ({ limite }) => limite === 500);

  const body = { user_id: user.id, valor: 100, tipo: 'd', descricao: 'smoke' };
  const written = ask('POST /transactions', 201, { body }, ({ saldo, limite }) => saldo === -100 && limite === 500);
  ask('POST /transactions', 422, { body: { ...body, valor: 401 }, expect: [422] });
  ask('GET /transactions', 200, { query: { user_id: user.id } }, (list) => list.length === 1);
  ask('GET /transactions/{id}', 200, { path: { id: written.id } }, ({ valor }) => valor === 100);

  const credit = { valor: 100, tipo: 'c', descricao: 'smoke' };
  ask('POST /clientes/{id}/transacoes', 200, { path, body: credit }, ({ saldo }) => saldo === 0);
  ask(
    'GET /clientes/{id}/extrato',
    200,
    { path },
    (bill) => bill.saldo.total === 0 && bill.ultimas_transacoes.length === 2,
  );

  const { id } = ask('POST /users', 201, { body: newUser() });
  ask('DELETE /users/{id}', 204, { path: { id } });
}

/** @returns the id of a product of the catalogue */
function products(): number {
  const body = { name: `k6 ${text(8)}`, price: 250 };
  const { id } = ask('POST /products', 201, { body, headers: admin }, ({ price }) => price === 250);
  const path = { id };
  ask('GET /products/{id}', 200, { path }, ({ name }) => name === body.name);
  ask('PUT /products/{id}', 200, { path, body: { price: 300 }, headers: admin }, ({ price }) => price === 300);
  ask('GET /products/{id}', 200, { path }, ({ price }) => price === 300);
  ask('POST /products', 401, { body, expect: [401] });
  ask('DELETE /products/{id}', 204, { path, headers: admin });
  return ask('GET /products', 200, {}, (list) => list[0].price > 0)[0]?.id;
}

function shop(product_id: number): void {
  const { id } = ask('POST /carts', 201, {}, ({ is_open }) => is_open === true);
  const path = { id };
  const added = ask(
    'POST /carts/{id}/items',
    201,
    { path, body: { product_id, quantity: 1 } },
    (line) => line.quantity === 1,
  );
  const line = { id, item_id: added.id };
  ask(
    'PATCH /carts/{id}/items/{item_id}',
    200,
    { path: line, body: { quantity: 3 } },
    ({ quantity }) => quantity === 3,
  );
  const other = ask('POST /carts/{id}/items', 201, { path, body: { product_id, quantity: 2 } });
  ask('DELETE /carts/{id}/items/{item_id}', 204, { path: { id, item_id: other.id } });
  const subtotal = 3 * added.unit_price;
  ask(
    'GET /carts/{id}',
    200,
    { path },
    (cart) => cart.subtotal === subtotal && cart.total === subtotal + cart.shipping,
  );
  ask('POST /carts/{id}/checkout', 200, { path, body: customer() }, (order) => order.subtotal === subtotal);
  ask('POST /carts/{id}/checkout', 409, { path, body: customer(), expect: [409] });
  ask('GET /orders/{id}', 200, { path }, (order) => order.subtotal === subtotal && order.order_number > 0);
}

function cache(): void {
  ask('GET /cache/stats', 200, {}, ({ connected_clients, caches }) => connected_clients > 0 && caches !== undefined);
  ask('POST /cache/clear', 401, { expect: [401] });
  ask('POST /cache/clear', 200, { headers: admin }, ({ message }) => message === 'Cache cleared successfully');
}
