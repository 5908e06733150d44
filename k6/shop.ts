/**
 * Visits to the shop, 20 a second. Ten of ten look around, four put something into a cart, one of those four buys:
 * some 10 % of all visits, more than a shop sees, so that checkouts have figures too.
 */
import { check, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { expectAnswer, json, requireApi, send } from './lib/api.ts';
import { customer, oneOf } from './lib/data.ts';
import { ALL_STARTED, options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { requireApi as setup };

const orders = new Counter('shop_orders');
const checkoutDuration = new Trend('shop_checkout_duration', true);

export const options = make(
  {
    visits: { executor: 'constant-arrival-rate', rate: 20, duration: time(90), preAllocatedVUs: 60 },
  },
  {
    ...ALL_STARTED,
    http_req_duration: ['p(95)<500'],
    http_req_failed: ['rate<0.01'],
    shop_checkout_duration: ['p(95)<700'],
    shop_orders: ['count>0'],
  },
);

const think = (): void => sleep(0.2 + Math.random() * 0.6);

export default function visit(): void {
  const ids = browse();
  if (ids.length === 0 || oneOf(10) > 4) return;
  const cart = fillCart(ids);
  if (cart && oneOf(4) === 1) buy(cart);
}

/** The first pages of the catalogue and a few products. @returns the ids that were seen */
function browse(): number[] {
  const list = send('GET', '/products', { query: { limit: 20 } });
  if (!expectAnswer(list, 'GET /products: a list', 200, (products) => products.length > 0)) return [];
  const ids: number[] = json(list).map(({ id }: { id: number }) => id);
  for (let looks = oneOf(4); looks > 0; looks--) {
    think();
    const id = ids[oneOf(ids.length) - 1] as number;
    expectAnswer(
      send('GET', '/products/{id}', { path: { id } }),
      'GET /products/{id}: the product',
      200,
      (p) => p.id === id,
    );
  }
  return ids;
}

interface Cart {
  id: string;
  /** Cents: the sum of what was put into it. */
  sum: number;
}

function fillCart(ids: number[]): Cart | undefined {
  const opened = send('POST', '/carts');
  if (!expectAnswer(opened, 'POST /carts: open', 201, ({ is_open }) => is_open)) return undefined;
  const path = { id: json(opened).id };
  let sum = 0;
  for (let pieces = oneOf(3); pieces > 0; pieces--) {
    think();
    const body = { product_id: ids[oneOf(ids.length) - 1], quantity: oneOf(3) };
    const added = send('POST', '/carts/{id}/items', { path, body });
    expectAnswer(added, 'POST /carts/{id}/items: added', 201, ({ quantity }) => quantity === body.quantity);
    sum += body.quantity * (json(added).unit_price ?? 0);
  }
  const read = send('GET', '/carts/{id}', { path });
  expectAnswer(read, 'GET /carts/{id}: the sum of what was added', 200, ({ subtotal }) => subtotal === sum);
  return { id: path.id, sum };
}

function buy({ id, sum }: Cart): void {
  think();
  const closed = send('POST', '/carts/{id}/checkout', { path: { id }, body: customer() });
  checkoutDuration.add(closed.timings.duration);
  const { order_number, total, shipping } = json(closed);
  if (
    !check(closed, {
      'POST /carts/{id}/checkout: the total': ({ status }) => status === 200 && total === sum + shipping,
    })
  )
    return;
  orders.add(1);
  const order = send('GET', '/orders/{id}', { path: { id } });
  expectAnswer(order, 'GET /orders/{id}: the same order', 200, (found) => found.order_number === order_number);
}
