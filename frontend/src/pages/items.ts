import { answer, api } from '../api/client';
import { type Field, PAGE, type Resource } from '../resource';

const STATUS = ['pending', 'in_progress', 'done'] as const;
const title: Field = { name: 'title', kind: 'line', required: true };
const status: Field = { name: 'status', kind: 'choice', choices: STATUS };

export const items: Resource = {
  name: 'items',
  key: 'id',
  columns: [title, status, { name: 'created_at', kind: 'time' }, { name: 'updated_at', kind: 'time' }],
  fields: [title, { name: 'description', kind: 'text' }, status],
  filter: status,
  list: ({ cursor, filter }) => {
    const query = { limit: PAGE, cursor, status: filter as (typeof STATUS)[number] };
    return answer(api.GET('/items', { params: { query } }));
  },
  create: (row, header) => answer(api.POST('/items', { body: row as never, params: { header } })),
  read: (id) => answer(api.GET('/items/{id}', { params: { path: { id: id as string } } })),
  update: (id, changes, header) =>
    answer(api.PUT('/items/{id}', { body: changes as never, params: { path: { id: id as string }, header } })),
  remove: (id, header) => answer(api.DELETE('/items/{id}', { params: { path: { id: id as string }, header } })),
};
