import { asAdmin } from '../admin';
import { answer, api } from '../api/client';
import { type Field, PAGE, type Resource } from '../resource';

const name: Field = { name: 'name', kind: 'line', required: true };
const price: Field = { name: 'price', kind: 'cents', required: true };

/** Whoever sells writes, with the token of administrators; whoever buys reads. */
export const products: Resource = {
  name: 'products',
  key: 'id',
  columns: [name, price],
  fields: [name, { name: 'description', kind: 'text' }, price],
  list: ({ cursor }) => answer(api.GET('/products', { params: { query: { limit: PAGE, cursor } } })),
  create: (row, header) => answer(api.POST('/products', { body: row as never, headers: asAdmin(header) })),
  read: (id) => answer(api.GET('/products/{id}', { params: { path: { id: id as number } } })),
  update: (id, changes, header) =>
    answer(
      api.PUT('/products/{id}', {
        body: changes as never,
        params: { path: { id: id as number } },
        headers: asAdmin(header),
      }),
    ),
  remove: (id, header) =>
    answer(api.DELETE('/products/{id}', { params: { path: { id: id as number } }, headers: asAdmin(header) })),
};
