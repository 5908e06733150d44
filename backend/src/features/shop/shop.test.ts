import { jest } from '@jest/globals';
import { sql } from 'kysely';
import { Registry } from 'prom-client';
import { asAdmin, connect, expectProblem, useApi } from '../../../test/support/api.ts';
import { sample } from '../../../test/support/sample.ts';
import { until } from '../../../test/support/servers.ts';
import { countActiveCarts } from './carts.repository.ts';
import { createShopMetrics } from './shop.metrics.ts';

const api = useApi();
const { at } = api;
const customer = { name: 'Ana', email: 'ana@example.com', address: 'Rua das Flores, 12' };

async function openCart(...items: { product_id: number; quantity: number }[]): Promise<string> {
  const { id } = (await api.api.post('/carts')).body;
  for (const item of items) expect((await api.api.post(`/carts/${id}/items`).send(item)).status).toBe(201);
  return id;
}
const linesOf = (cart: string) =>
  api.db.selectFrom('order_items').selectAll().where('order_id', '=', cart).orderBy('id').execute();
const sumOf = (lines: { unit_price: number; quantity: number }[]) =>
  lines.reduce((sum, { unit_price, quantity }) => sum + unit_price * quantity, 0);

/** The sum over both replicas. */
async function metric(name: string, labels: Record<string, string> = {}): Promise<number> {
  const pages = await Promise.all(api.replicas.map(({ debug }) => debug.get('/metrics')));
  return pages.reduce((sum, { text }) => sum + (sample(text, name, labels) ?? 0), 0);
}
/** What PostgreSQL has counted of a table: PostgreSQL sums it up with a delay, so the caller waits for it. */
async function statistics(table: string) {
  const { rows } = await sql<{ n_tup_ins: number; n_tup_upd: number }>`
    select n_tup_ins, n_tup_upd from pg_stat_user_tables where relname = ${table}`.execute(api.db);
  return rows[0] ?? { n_tup_ins: 0, n_tup_upd: 0 };
}

// First in this file: it compares counts from the beginning of the database.
test('When carts are filled and closed over both replicas, then metrics, PostgreSQL’s statistics and rows agree', async () => {
  const carts = await Promise.all(Array.from({ length: 10 }, () => openCart()));
  const additions = Array.from({ length: 300 }, (_, n) =>
    at(n)
      .post(`/carts/${carts[n % 10]}/items`)
      // Some are refused: an unknown product, a bad quantity.
      .send({ product_id: n % 15 === 0 ? 999_999 : (n % 10) + 1, quantity: n % 25 === 1 ? 0 : 1 }),
  );
  const checkouts = carts.map((cart, n) => at(n).post(`/carts/${cart}/checkout`).send(customer));
  const added = (await Promise.all(additions)).filter(({ status }) => status === 201).length;
  const closed = (await Promise.all(checkouts)).filter(({ status }) => status === 200).length;
  const rows = await api.db.selectFrom('order_items').select('id').execute();
  expect(added).toBeGreaterThan(100);
  expect([rows.length, await metric('ecommerce_cart_additions_total')]).toEqual([added, added]);
  expect([10, await metric('ecommerce_orders_total')]).toEqual([closed, closed]);
  await until(
    'statistics',
    async () =>
      (await statistics('order_items')).n_tup_ins >= added && (await statistics('orders')).n_tup_upd >= closed,
  );
  expect((await statistics('order_items')).n_tup_ins).toBe(added);
  expect((await statistics('orders')).n_tup_upd).toBe(closed);
});

describe('checkout', () => {
  test('When many check out one cart at once, then one closes it and the others get 409', async () => {
    const cart = await openCart({ product_id: 1, quantity: 2 }, { product_id: 2, quantity: 1 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        at(n)
          .post(`/carts/${cart}/checkout`)
          .send({ ...customer, name: `buyer ${n}` }),
      ),
    );
    const winners = answers.filter(({ status }) => status === 200);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(409)]);
    expect((await at(1).get(`/orders/${cart}`)).body).toEqual(winners[0]?.body);
  });

  test('When items are added, changed and removed while it closes, then the total is that of its items, 25 times over', async () => {
    for (let round = 0; round < 25; round++) {
      const cart = await openCart({ product_id: 1, quantity: 1 }, { product_id: 2, quantity: 1 });
      const [first, second] = await linesOf(cart);
      const item = (n: number) => ({ product_id: (n % 10) + 1, quantity: 1 });
      const requests = [
        ...Array.from({ length: 6 }, (_, n) => at(n).post(`/carts/${cart}/items`).send(item(n))),
        at(0).patch(`/carts/${cart}/items/${first?.id}`).send({ quantity: 9 }),
        at(round % 2)
          .post(`/carts/${cart}/checkout`)
          .send(customer),
        at(1).delete(`/carts/${cart}/items/${second?.id}`),
        ...Array.from({ length: 6 }, (_, n) => at(n).post(`/carts/${cart}/items`).send(item(n))),
      ];
      const statuses = (await Promise.all(requests)).map(({ status }) => status);
      expect(statuses.filter((status) => ![200, 201, 204, 422].includes(status))).toEqual([]);
      const order = await api.db.selectFrom('orders').selectAll().where('id', '=', cart).executeTakeFirstOrThrow();
      expect([order.is_open, order.subtotal]).toEqual([false, sumOf(await linesOf(cart))]);
    }
  });

  test('An order keeps name, price and total when the product changes', async () => {
    const product = (await api.api.post('/products').set(asAdmin).send({ name: 'old', price: 100 })).body;
    const cart = await openCart({ product_id: product.id, quantity: 3 });
    await api.api.put(`/products/${product.id}`).set(asAdmin).send({ name: 'new', price: 999 });
    const order = (await api.api.post(`/carts/${cart}/checkout`).send(customer)).body;
    expect(order).toMatchObject({ items: [{ name: 'old', unit_price: 100 }], subtotal: 300, total: 800 });
    expect((await at(1).get(`/orders/${cart}`)).body).toEqual(order);
    expect((await api.api.get(`/carts/${cart}`)).body).toMatchObject({ is_open: false, subtotal: 300, total: 800 });
    // Shipping may cost something else by then.
    await api.db.updateTable('orders').set({ shipping: 7, total: 307 }).where('id', '=', cart).execute();
    expect((await api.api.get(`/carts/${cart}`)).body).toMatchObject({ subtotal: 300, shipping: 7, total: 307 });
  });

  test('Order numbers are unique and rise', async () => {
    const numbers: number[] = [];
    for (let n = 0; n < 3; n++) {
      const cart = await openCart({ product_id: 1, quantity: 1 });
      numbers.push((await at(n).post(`/carts/${cart}/checkout`).send(customer)).body.order_number);
    }
    expect(new Set(numbers).size).toBe(3);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  });

  test('Of a closed cart nothing personal shows under /carts', async () => {
    const cart = await openCart({ product_id: 1, quantity: 1 });
    await api.api.post(`/carts/${cart}/checkout`).send(customer);
    expect((await api.api.get(`/carts/${cart}`)).text).not.toMatch(/Ana|Flores|example/);
  });
});

describe('carts', () => {
  test('One product added twice is two lines', async () => {
    const cart = await openCart({ product_id: 3, quantity: 1 }, { product_id: 3, quantity: 4 });
    const { body } = await at(1).get(`/carts/${cart}`);
    expect(body.items.map((item: { quantity: number }) => item.quantity)).toEqual([1, 4]);
    expect(body.subtotal).toBe(5 * 12_400);
  });

  test('A cart has another ETag after every change of its items, also when one goes', async () => {
    const cart = await openCart();
    const etags: string[] = [];
    const look = async () => etags.push((await at(1).get(`/carts/${cart}`)).headers.etag as string);
    await look();
    const items: number[] = [];
    for (const product_id of [1, 2]) {
      items.push((await api.api.post(`/carts/${cart}/items`).send({ product_id, quantity: 1 })).body.id);
      await look();
    }
    await api.api.patch(`/carts/${cart}/items/${items[1]}`).send({ quantity: 2 });
    await look();
    await api.api.delete(`/carts/${cart}/items/${items[0]}`);
    await look();
    await api.api.post(`/carts/${cart}/checkout`).send(customer);
    await look();
    expect(new Set(etags).size).toBe(6);
    expect((await api.api.get(`/carts/${cart}`).set('If-None-Match', etags[5] as string)).status).toBe(304);
  });

  test('Items are changed and removed only in the version that If-Match names', async () => {
    const { id } = (await api.api.post('/carts')).body;
    const added = await api.api.post(`/carts/${id}/items`).send({ product_id: 1, quantity: 1 });
    const path = `/carts/${id}/items/${added.body.id}`;
    const { etag } = added.headers as { etag: string };
    expect((await api.api.patch(path).set('If-Match', etag).send({ quantity: 2 })).status).toBe(200);
    expectProblem(await api.api.patch(path).set('If-Match', etag).send({ quantity: 3 }), 412);
    expectProblem(await api.api.delete(path).set('If-Match', etag), 412);
    expect(await linesOf(id)).toMatchObject([{ quantity: 2 }]);
  });

  test('A cart takes a thousand lines and no more', async () => {
    const cart = await openCart();
    await sql`
      insert into order_items (order_id, product_id, name, unit_price, quantity)
      select ${cart}, 1, 'filler', 1, 1 from generate_series(1, 999)`.execute(api.db);
    expect((await api.api.post(`/carts/${cart}/items`).send({ product_id: 1, quantity: 1 })).status).toBe(201);
    expectProblem(await api.api.post(`/carts/${cart}/items`).send({ product_id: 1, quantity: 1 }), 422);
    expect((await api.api.get(`/carts/${cart}`)).body.items).toHaveLength(1_000);
  });
});

describe('products', () => {
  test('When one changes, then no replica answers the old one, alone or in a list', async () => {
    const { id } = (await api.api.post('/products').set(asAdmin).send({ name: 'cached', price: 1 })).body;
    const list = async (n: number) =>
      (await at(n).get('/products?limit=200')).body.find((each: { id: number }) => each.id === id);
    for (let price = 2; price < 40; price++) {
      const racing = [at(0).get(`/products/${id}`), at(1).get('/products?limit=200')].map((request) => request.then());
      await at(price).put(`/products/${id}`).set(asAdmin).send({ price });
      for (const n of [0, 1]) {
        expect((await at(n).get(`/products/${id}`)).body.price).toBe(price);
        expect((await list(n)).price).toBe(price);
      }
      await Promise.all(racing);
    }
    await api.api.delete(`/products/${id}`).set(asAdmin);
    for (const n of [0, 1]) {
      expectProblem(await at(n).get(`/products/${id}`), 404);
      expect(await list(n)).toBeUndefined();
    }
  });
});

describe('metrics', () => {
  test('When COMMIT fails, then nothing is counted', async () => {
    await sql`
      create function refuse_at_commit() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$`.execute(
      api.db,
    );
    const cart = await openCart({ product_id: 1, quantity: 1 });
    const before = [await metric('ecommerce_cart_additions_total'), await metric('ecommerce_orders_total')];
    for (const table of ['order_items', 'orders']) {
      await sql`
        create constraint trigger refuse after insert or update on ${sql.table(table)}
        deferrable initially deferred for each row execute function refuse_at_commit()`.execute(api.db);
    }
    const statuses = [
      (await api.api.post(`/carts/${cart}/items`).send({ product_id: 1, quantity: 1 })).status,
      (await api.api.post(`/carts/${cart}/checkout`).send(customer)).status,
    ];
    for (const table of ['order_items', 'orders'])
      await sql`drop trigger refuse on ${sql.table(table)}`.execute(api.db);
    expect(statuses).toEqual([500, 500]);
    expect([await metric('ecommerce_cart_additions_total'), await metric('ecommerce_orders_total')]).toEqual(before);
    expect(await linesOf(cart)).toHaveLength(1);
  });

  test('Products of a grown catalogue share one series', async () => {
    await sql`insert into products (id, name, price) values (100, 'last of its own', 1), (101, 'other', 1), (5000, 'other', 1)`.execute(
      api.db,
    );
    const before = await metric('ecommerce_cart_additions_total');
    const cart = await openCart(...[100, 101, 5000].map((product_id) => ({ product_id, quantity: 1 })));
    expect(cart).toBeDefined();
    const of = (product_id: string) => metric('ecommerce_cart_additions_total', { product_id });
    expect([await of('100'), await of('101'), await of('5000'), await of('other')]).toEqual([1, 0, 0, 2]);
    expect(await metric('ecommerce_cart_additions_total')).toBe(before + 3);
  });

  test('Errors are counted by kind, requests timed by route, in the agreed buckets', async () => {
    const cart = await openCart();
    await api.api.post(`/carts/${cart}/checkout`).send(customer);
    await api.api.post(`/carts/${cart}/checkout`).send({});
    await api.api.get('/orders/00000000-0000-4000-8000-000000000000');
    await api.api.post('/products').send({});
    const { text } = await api.replicas[0].debug.get('/metrics');
    const errors = (error_type: string, endpoint: string, status_code: string) =>
      sample(text, 'ecommerce_errors_total', { error_type, endpoint, status_code });
    expect(errors('business_rule', '/carts/{id}/checkout', '422')).toBeGreaterThan(0);
    expect(errors('validation', '/carts/{id}/checkout', '422')).toBeGreaterThan(0);
    expect(errors('not_found', '/orders/{id}', '404')).toBeGreaterThan(0);
    expect(errors('unauthorized', '/products', '401')).toBeGreaterThan(0);
    const labels = { method: 'POST', endpoint: '/carts', status_code: '201' };
    const bucket = (le: string) => sample(text, 'ecommerce_request_duration_seconds_bucket', { ...labels, le });
    const all = '0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf'.split(' ');
    expect(all.map(bucket)).not.toContain(undefined);
    expect(text.match(/^ecommerce_request_duration_seconds_bucket.*endpoint="\/carts",/gm)).toHaveLength(all.length);
    expect(sample(text, 'ecommerce_request_duration_seconds_count', { endpoint: '/items' })).toBeUndefined();
  });

  test('Active sessions are the open carts of the last half hour, the same on each replica, and absent when nobody can count', async () => {
    await api.db.deleteFrom('orders').execute();
    const touched = await openCart({ product_id: 1, quantity: 1 });
    const empty = await openCart();
    const old = await openCart();
    const oldTouched = await openCart({ product_id: 1, quantity: 1 });
    const closed = await openCart({ product_id: 1, quantity: 1 });
    await api.api.post(`/carts/${closed}/checkout`).send(customer);
    await sql`update orders set created_at = now() - interval '31 minutes' where id in (${old}, ${touched}, ${oldTouched})`.execute(
      api.db,
    );
    await sql`update order_items set updated_at = now() - interval '31 minutes' where order_id = ${oldTouched}`.execute(
      api.db,
    );
    expect(await countActiveCarts(api.db)).toBe([touched, empty].length);

    const gauges = api.replicas.map(({ deps }) => {
      const registry = new Registry();
      createShopMetrics({ ...deps, metrics: { ...deps.metrics, registry } });
      return async () => sample(await registry.metrics(), 'ecommerce_active_sessions');
    });
    expect(await Promise.all(gauges.map((read) => read()))).toEqual([2, 2]);
    await openCart();
    // Cached for the scrape interval.
    expect(await gauges[0]?.()).toBe(2);

    const registry = new Registry();
    const nobody = connect('postgres://x:x@127.0.0.1:1/x', 1);
    createShopMetrics({ ...api.replicas[0].deps, db: nobody, metrics: { ...api.replicas[0].deps.metrics, registry } });
    const page = await registry.metrics();
    expect(sample(page, 'ecommerce_active_sessions')).toBeUndefined();
    expect(page).toContain('ecommerce_orders_total');
    await nobody.destroy();
  });

  test('When carts cannot be counted, then nobody asks again before the interval is over', async () => {
    const info = jest.fn();
    const registry = new Registry();
    const nobody = connect('postgres://x:x@127.0.0.1:1/x', 1);
    const { deps } = api.replicas[0];
    const logger = { info } as unknown as typeof deps.logger;
    createShopMetrics({ ...deps, db: nobody, logger, metrics: { ...deps.metrics, registry } });
    for (let n = 0; n < 3; n++) await Promise.all([registry.metrics(), registry.metrics()]);
    expect(info).toHaveBeenCalledTimes(1);
    await nobody.destroy();
  });

  test('A request that its client gave up is timed too, as 499', async () => {
    const cart = await openCart({ product_id: 1, quantity: 1 });
    await api.db.transaction().execute(async (trx) => {
      await trx.selectFrom('orders').selectAll().where('id', '=', cart).forUpdate().execute();
      const giving = api.api.post(`/carts/${cart}/checkout`).send(customer).timeout(200);
      await expect(giving).rejects.toThrow(/Timeout/);
      await until('the abandoned request in the metrics', async () => {
        const labels = { endpoint: '/carts/{id}/checkout', status_code: '499' };
        return (await metric('ecommerce_request_duration_seconds_count', labels)) === 1;
      });
    });
  });
});
