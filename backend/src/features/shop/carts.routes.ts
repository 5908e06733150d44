import type { Deps } from '../../platform/deps.ts';
import { notFound } from '../../platform/http/errors.ts';
import { resource, route } from '../../platform/http/route.ts';
import { findOrder, insertCart } from './carts.repository.ts';
import { cart, cartItem, cartParams, customer, itemParams, newItem, order, quantityChange } from './carts.schemas.ts';
import { addItem, cartOf, changeItem, checkOut, orderOf, removeItem } from './carts.service.ts';
import type { ShopMetrics } from './shop.metrics.ts';

const noCart = { 404: 'There is no cart with this id' };
const noItem = { 404: 'There is no such cart, or no such item in it' };

export const cartRoutes = (deps: Deps, metrics: ShopMetrics) => [
  route({
    method: 'post',
    path: '/carts',
    summary: 'Open a cart; whoever knows its id may use it',
    replies: { 201: { description: 'The new cart', schema: cart } },
    async write(_input, trx) {
      const created = await insertCart(trx);
      return { status: 201, ...cartOf(created), headers: { Location: `/carts/${created.id}` }, changed: [] };
    },
  }),
  route({
    method: 'get',
    path: '/carts/:id',
    summary: 'Read a cart: its items, subtotal, shipping and total',
    input: { params: cartParams },
    conditional: true,
    replies: { 200: { description: 'The cart', schema: cart } },
    problems: noCart,
    async handle({ params }) {
      const found = await findOrder(deps.db, params.id);
      if (!found) throw notFound('cart');
      return { status: 200, ...cartOf(found) };
    },
  }),
  route({
    method: 'post',
    path: '/carts/:id/items',
    summary: 'Add a product, at its price of this moment; 422 when the cart is closed or full',
    input: { params: cartParams, body: newItem },
    replies: { 201: { description: 'The new item', schema: cartItem } },
    problems: { 404: 'There is no such cart or product' },
    async write({ params, body }, trx) {
      const added = await addItem(trx, params.id, body);
      return {
        ...resource(201, added, { Location: `/carts/${params.id}/items/${added.id}` }),
        changed: [],
        committed: () => metrics.countAddition(added.product_id),
      };
    },
  }),
  route({
    method: 'patch',
    path: '/carts/:id/items/:item_id',
    summary: 'Change how many; 422 when the cart is closed',
    input: { params: itemParams, body: quantityChange },
    conditional: true,
    replies: { 200: { description: 'The item as it is now', schema: cartItem } },
    problems: noItem,
    async write({ params, body, precondition }, trx) {
      const item = await changeItem(trx, params.id, params.item_id, body.quantity, precondition);
      return { ...resource(200, item), changed: [] };
    },
  }),
  route({
    method: 'delete',
    path: '/carts/:id/items/:item_id',
    summary: 'Take an item out; 422 when the cart is closed',
    input: { params: itemParams },
    conditional: true,
    replies: { 204: { description: 'It is gone' } },
    problems: { ...noItem, 422: 'The cart is closed' },
    async write({ params, precondition }, trx) {
      await removeItem(trx, params.id, params.item_id, precondition);
      return { status: 204, changed: [] };
    },
  }),
  route({
    method: 'post',
    path: '/carts/:id/checkout',
    summary: 'Close a cart: prices and total are frozen, it becomes an order; 422 when it is empty',
    input: { params: cartParams, body: customer },
    replies: { 200: { description: 'The order', schema: order, headers: ['ETag', 'Location'] } },
    problems: { ...noCart, 409: 'The cart has been checked out already' },
    async write({ params, body }, trx) {
      const closed = await checkOut(trx, params.id, body);
      return {
        ...resource(200, orderOf(closed), { Location: `/orders/${closed.id}` }),
        changed: [],
        committed: metrics.countOrder,
      };
    },
  }),
  route({
    method: 'get',
    path: '/orders/:id',
    summary: 'Read an order: a cart that has been checked out',
    input: { params: cartParams },
    conditional: true,
    replies: { 200: { description: 'The order', schema: order } },
    problems: { 404: 'There is no order with this id; it may be a cart that is still open' },
    async handle({ params }) {
      const found = await findOrder(deps.db, params.id);
      if (!found || found.is_open) throw notFound('order');
      return resource(200, orderOf(found));
    },
  }),
];
