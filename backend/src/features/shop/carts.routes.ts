import type { Deps } from '../../platform/deps.ts';
import { notFound } from '../../platform/http/errors.ts';
import { oneStatement, resource, route } from '../../platform/http/route.ts';
import { deleteCartItem, findOrder, insertCart, insertCartItem, updateCartItem } from './carts.repository.ts';
import { cart, cartItem, cartParams, customer, itemParams, newItem, order, quantityChange } from './carts.schemas.ts';
import { cartOf, checkOut, notAdded, notChanged, orderOf } from './carts.service.ts';
import type { ShopMetrics } from './shop.metrics.ts';

const noCart = { 404: 'There is no cart with this id' };
const noItem = { 404: 'There is no such cart, or no such item in it' };

export const cartRoutes = (deps: Deps, metrics: ShopMetrics) => [
  route({
    method: 'post',
    path: '/carts',
    summary: 'Open a cart; whoever knows its id may use it',
    replies: { 201: { description: 'The new cart', schema: cart } },
    write: () =>
      oneStatement({
        statement: insertCart({}),
        answer(created) {
          return { status: 201, ...cartOf({ ...created, items: [] }), headers: { Location: `/carts/${created.id}` } };
        },
      }),
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
    write: ({ params, body }) =>
      oneStatement({
        statement: insertCartItem({ cartId: params.id, ...body }),
        answer: (added) => resource(201, added, { Location: `/carts/${params.id}/items/${added.id}` }),
        absent: (db) => notAdded(db, params.id),
        committed: (added) => metrics.countAddition(added.product_id),
      }),
  }),
  route({
    method: 'patch',
    path: '/carts/:id/items/:item_id',
    summary: 'Change how many; 422 when the cart is closed',
    input: { params: itemParams, body: quantityChange },
    conditional: true,
    replies: { 200: { description: 'The item as it is now', schema: cartItem } },
    problems: noItem,
    write: ({ params, body, precondition }) =>
      oneStatement({
        statement: updateCartItem(params.id, params.item_id, body.quantity, precondition),
        answer: (item) => resource(200, item),
        absent: (db) => notChanged(db, params.id, params.item_id, precondition),
      }),
  }),
  route({
    method: 'delete',
    path: '/carts/:id/items/:item_id',
    summary: 'Take an item out; 422 when the cart is closed',
    input: { params: itemParams },
    conditional: true,
    replies: { 204: { description: 'It is gone' } },
    problems: { ...noItem, 422: 'The cart is closed' },
    write: ({ params, precondition }) =>
      oneStatement({
        statement: deleteCartItem(params.id, params.item_id, precondition),
        answer: () => ({ status: 204 }),
        absent: (db) => notChanged(db, params.id, params.item_id, precondition),
      }),
  }),
  route({
    method: 'post',
    path: '/carts/:id/checkout',
    summary: 'Close a cart: prices and total are frozen, it becomes an order; 422 when it is empty',
    input: { params: cartParams, body: customer },
    replies: { 200: { description: 'The order', schema: order, headers: ['ETag', 'Location'] } },
    problems: { ...noCart, 409: 'The cart has been checked out already' },
    async transaction({ params, body }, trx) {
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
