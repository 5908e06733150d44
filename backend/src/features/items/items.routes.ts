import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { page } from '../../platform/http/paging.ts';
import { oneStatement, resource, route, routes } from '../../platform/http/route.ts';
import { deleteItem, findItem, insertItem, listItems, updateItem } from './items.repository.ts';
import { item, itemChanges, itemParams, itemQuery, newItem } from './items.schemas.ts';

const missing = { 404: 'There is no item with this id' };

export const itemsRoutes = ({ db }: Deps) =>
  routes('Items', [
    route({
      method: 'get',
      path: '/items',
      summary: 'List items, newest first',
      input: { query: itemQuery },
      replies: { 200: { description: 'A page of items', schema: Joi.array().items(item) } },
      async handle({ query }) {
        const found = await listItems(db, query);
        const { rows, next } = page(found, query.limit, (row) => [row.created_at, row.id]);
        return { status: 200, body: rows, next };
      },
    }),
    route({
      method: 'post',
      path: '/items',
      summary: 'Create an item',
      input: { body: newItem },
      replies: { 201: { description: 'The new item', schema: item } },
      write: ({ body }) =>
        oneStatement({
          statement: insertItem(body),
          answer: (created) => resource(201, created, { Location: `/items/${created.id}` }),
        }),
    }),
    route({
      method: 'get',
      path: '/items/:id',
      summary: 'Read an item',
      input: { params: itemParams },
      conditional: true,
      replies: { 200: { description: 'The item', schema: item } },
      problems: missing,
      async handle({ params }) {
        const found = await findItem(db, params.id);
        if (!found) throw notFound('item');
        return resource(200, found);
      },
    }),
    route({
      method: 'put',
      path: '/items/:id',
      summary: 'Change an item: absent fields stay, a null description is cleared',
      input: { params: itemParams, body: itemChanges },
      conditional: true,
      replies: { 200: { description: 'The item as it is now', schema: item } },
      problems: missing,
      write: ({ params, body, precondition }) =>
        oneStatement({
          statement: updateItem(params.id, body, precondition),
          answer: (updated) => resource(200, updated),
          absent: () => notWritten('item', precondition, () => findItem(db, params.id)),
        }),
    }),
    route({
      method: 'delete',
      path: '/items/:id',
      summary: 'Delete an item',
      input: { params: itemParams },
      conditional: true,
      replies: { 204: { description: 'It is gone' } },
      problems: missing,
      write: ({ params, precondition }) =>
        oneStatement({
          statement: deleteItem(params.id, precondition),
          answer: () => ({ status: 204 }),
          absent: () => notWritten('item', precondition, () => findItem(db, params.id)),
        }),
    }),
  ]);
