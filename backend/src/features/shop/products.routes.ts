import type { Deps } from '../../platform/deps.ts';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { resource, route } from '../../platform/http/route.ts';
import { insertProduct } from './products.repository.ts';
import { newProduct, product, productChanges, productParams, productQuery } from './products.schemas.ts';
import { changeProduct, readProduct, readProducts, removeProduct, tags } from './products.service.ts';

const missing = { 404: 'There is no product with this id' };

export const productRoutes = (deps: Deps) => [
  route({
    method: 'get',
    path: '/products',
    summary: 'List products, in the order of their ids',
    input: { query: productQuery },
    cached: 'products',
    replies: { 200: { description: 'A page of products', schema: Joi.array().items(product) } },
    async handle({ query }) {
      const { value, outcome } = await readProducts(deps, query);
      return { status: 200, body: value.rows, next: value.next, cache: outcome };
    },
  }),
  route({
    method: 'post',
    path: '/products',
    summary: 'Add a product',
    input: { body: newProduct },
    admin: true,
    replies: { 201: { description: 'The new product', schema: product } },
    async write({ body }, trx) {
      const created = await insertProduct(trx, body);
      const headers = { Location: `/products/${created.id}` };
      return { ...resource(201, created, headers), changed: tags.written(created) };
    },
  }),
  route({
    method: 'get',
    path: '/products/:id',
    summary: 'Read a product',
    input: { params: productParams },
    conditional: true,
    cached: 'products',
    replies: { 200: { description: 'The product', schema: product } },
    problems: missing,
    async handle({ params }) {
      const { value, outcome } = await readProduct(deps, params.id);
      if (!value) throw notFound('product', { 'X-Cache': outcome });
      return { ...resource(200, value), cache: outcome };
    },
  }),
  route({
    method: 'put',
    path: '/products/:id',
    summary: 'Change a product: absent fields stay; what is in carts keeps its price',
    input: { params: productParams, body: productChanges },
    conditional: true,
    admin: true,
    replies: { 200: { description: 'The product as it is now', schema: product } },
    problems: missing,
    async write({ params, body, precondition }, trx) {
      const updated = await changeProduct(trx, params.id, body, precondition);
      return { ...resource(200, updated), changed: tags.written(updated) };
    },
  }),
  route({
    method: 'delete',
    path: '/products/:id',
    summary: 'Delete a product that nobody has in a cart or an order',
    input: { params: productParams },
    conditional: true,
    admin: true,
    replies: { 204: { description: 'It is gone' } },
    problems: { ...missing, 409: 'It is in a cart or an order' },
    async write({ params, precondition }, trx) {
      return { status: 204, changed: tags.written(await removeProduct(trx, params.id, precondition)) };
    },
  }),
];
