import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Precondition } from '../../platform/database/precondition.ts';
import type { Database } from '../../platform/database/schema.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { HttpError, notFound } from '../../platform/http/errors.ts';
import { closeCart, findOrder, lockCart, type Order } from './carts.repository.ts';
import { type Customer, MAX_LINES, SHIPPING } from './carts.schemas.ts';

const closed = () => new HttpError(422, 'the cart is closed: it has been checked out');

const withoutVersions = (items: Order['items']) => items.map(({ version: _, ...item }) => item);

/** The cart as the client sees it. It changes with every change of an item, so its version is made of all of theirs. */
export function cartOf({ id, is_open, created_at, version, items, shipping: frozen }: Order) {
  const shipping = frozen ?? SHIPPING;
  const subtotal = items.reduce((sum, { unit_price, quantity }) => sum + unit_price * quantity, 0);
  const versions = [version, ...items.map((item) => item.version)];
  return {
    version: createHash('sha256').update(versions.join()).digest('base64url'),
    body: {
      id,
      is_open,
      items: withoutVersions(items),
      subtotal,
      shipping,
      total: subtotal + shipping,
      created_at,
    },
  };
}

/** A cart that has been closed, as the client sees it. */
export function orderOf({ is_open: _, ...order }: Order) {
  return { ...order, items: withoutVersions(order.items) };
}

/** Why nothing was added. @throws HttpError 404, or 422 when the cart is closed or full */
export async function notAdded(db: Kysely<Database>, cartId: string): Promise<never> {
  const order = await findOrder(db, cartId);
  if (!order) throw notFound('cart');
  if (!order.is_open) throw closed();
  if (order.items.length >= MAX_LINES) throw new HttpError(422, `the cart is full: it has ${MAX_LINES} lines`);
  throw notFound('product');
}

/** Why an item was not changed or taken out. @throws HttpError 404, 412, or 422 when the cart is closed */
export async function notChanged(db: Kysely<Database>, cartId: string, id: number, precondition: Precondition) {
  const order = await findOrder(db, cartId);
  if (!order) throw notFound('cart');
  const item = order.items.find((each) => each.id === id);
  if (item && !order.is_open) throw closed();
  return notWritten('item', precondition, async () => item);
}

/** @throws HttpError 404, 409 (closed already) or 422 (empty) */
export async function checkOut(trx: WriteTransaction, id: string, customer: Customer) {
  const cart = await lockCart(trx, id);
  if (!cart) throw notFound('cart');
  if (!cart.is_open) throw new HttpError(409, 'the cart has been checked out already');
  if (!(await closeCart(trx, id, customer))) throw new HttpError(422, 'the cart is empty');
  return (await findOrder(trx, id)) as Order;
}
