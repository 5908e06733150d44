/**
 * Visits to the shop, 20 a second. Ten of ten look around, four put something into a cart, one of those four buys:
 * some 10 % of all visits, more than a shop sees, so that checkouts have figures too.
 */
import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { expectAnswer, iteration, json, requireApi, send } from './lib/api.ts';
import { customer, oneOf, pick } from './lib/data.ts';
import { ALL_STARTED, options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { requireApi as setup };

const orders = new Counter('shop_orders');
/** A counter of its own: among all the checks of those who only look around it would drown. */
const wrongOrders = new Counter('shop_wrong_orders');
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
    shop_wrong_orders: ['count==0'],
  },
);

const think = (): void => sleep(0.2 + Math.random() * 0.6);

export default iteration(() => {
  const products = browse();
  if (products.length === 0 || oneOf(10) > 4) return;
  const cart = fillCart(products);
  if (cart && oneOf(4) === 1) buy(cart);
});

interface Product {
  id: number;
  /** Cents. */
  price: number;
}

/** The first page of the catalogue and a few products. @returns what was on that page */
function browse(): Product[] {
  const list = send('GET', '/products', { query: { limit: 20 } });
  const full = (found: Product[]) => found.length > 0 && found.every(({ id, price }) => id > 0 && price > 0);
  if (!expectAnswer(list, 'GET /products: a list', 200, full)) return [];
  const products: Product[] = json(list);
  for (let looks = oneOf(4); looks > 0; looks--) {
    think();
    const { id, price } = pick(products);
    const answer = send('GET', '/products/{id}', { path: { id } });
    expectAnswer(answer, 'GET /products/{id}: the product', 200, (p) => p.id === id && p.price === price);
  }
  return products;
}

interface Cart {
  id: string;
  /** Cents: the sum of what was put into it, at the prices of the catalogue. */
  sum: number;
}

function fillCart(products: Product[]): Cart | undefined {
  const opened = send('POST', '/carts');
  if (!expectAnswer(opened, 'POST /carts: open', 201, ({ id, is_open }) => id && is_open === true)) return undefined;
  const path = { id: json(opened).id };
  let sum = 0;
  for (let pieces = oneOf(3); pieces > 0; pieces--) {
    think();
    const { id: product_id, price } = pick(products);
    const quantity = oneOf(3);
    const added = send('POST', '/carts/{id}/items', { path, body: { product_id, quantity } });
    const right = (line: { quantity: number; unit_price: number }) =>
      line.quantity === quantity && line.unit_price === price;
    // A piece that is perhaps in the cart, perhaps not: there is no sum to compare any more.
    if (!expectAnswer(added, 'POST /carts/{id}/items: added', 201, right)) return undefined;
    sum += quantity * price;
  }
  const read = send('GET', '/carts/{id}', { path });
  expectAnswer(read, 'GET /carts/{id}: the sum of what was added', 200, ({ subtotal }) => subtotal === sum);
  return { id: path.id, sum };
}

function buy({ id, sum }: Cart): void {
  think();
  const closed = send('POST', '/carts/{id}/checkout', { path: { id }, body: customer() });
  checkoutDuration.add(closed.timings.duration);
  const right = ({ order_number, subtotal, shipping, total }: Record<string, number>) =>
    Number(order_number) > 0 && subtotal === sum && total === sum + Number(shipping);
  if (!expectAnswer(closed, 'POST /carts/{id}/checkout: the total', 200, right)) {
    if (closed.status === 200) wrongOrders.add(1);
    return;
  }
  orders.add(1);
  const { order_number } = json(closed);
  const order = send('GET', '/orders/{id}', { path: { id } });
  expectAnswer(order, 'GET /orders/{id}: the same order', 200, (found) => found.order_number === order_number);
}
