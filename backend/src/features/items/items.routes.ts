import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { page } from '../../platform/http/paging.ts';
import { resource, route, routes } from '../../platform/http/route.ts';
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
      async write({ body }, trx) {
        const created = await insertItem(trx, body);
        return { ...resource(201, created, { Location: `/items/${created.id}` }), changed: [] };
      },
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
      async write({ params, body, precondition }, trx) {
        const updated = await updateItem(trx, params.id, body, precondition);
        if (!updated) throw await notWritten('item', precondition, () => findItem(trx, params.id));
        return { ...resource(200, updated), changed: [] };
      },
    }),
    route({
      method: 'delete',
      path: '/items/:id',
      summary: 'Delete an item',
      input: { params: itemParams },
      conditional: true,
      replies: { 204: { description: 'It is gone' } },
      problems: missing,
      async write({ params, precondition }, trx) {
        const deleted = await deleteItem(trx, params.id, precondition);
        if (!deleted) throw await notWritten('item', precondition, () => findItem(trx, params.id));
        return { status: 204, changed: [] };
      },
    }),
  ]);
