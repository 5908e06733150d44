import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { oneStatement, resource, route } from '../../platform/http/route.ts';
import { deleteProduct, findProduct, insertProduct, updateProduct } from './products.repository.ts';
import { newProduct, product, productChanges, productParams, productQuery } from './products.schemas.ts';
import { inUse, readProduct, readProducts, tags } from './products.service.ts';

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
    write: ({ body }) =>
      oneStatement({
        changed: [tags.lists],
        statement: insertProduct(body),
        answer: (created) => resource(201, created, { Location: `/products/${created.id}` }),
      }),
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
    write: ({ params, body, precondition }) =>
      oneStatement({
        changed: tags.written(params.id),
        row: tags.one(params.id),
        statement: updateProduct(params.id, body, precondition),
        answer: (updated) => resource(200, updated),
        absent: (db) => notWritten('product', precondition, () => findProduct(db, params.id)),
      }),
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
    write: ({ params, precondition }) =>
      oneStatement({
        changed: tags.written(params.id),
        statement: deleteProduct(params.id, precondition),
        answer: () => ({ status: 204 }),
        absent: (db) => notWritten('product', precondition, () => findProduct(db, params.id)),
        refused: inUse,
      }),
  }),
];
