import { answer, api } from '../api/client';
import { type Field, PAGE, type Resource } from '../resource';

const STATUS = ['pending', 'in_progress', 'completed'] as const;
const title: Field = { name: 'title', kind: 'line', required: true };
const status: Field = { name: 'status', kind: 'choice', choices: STATUS };

export const tasks: Resource = {
  name: 'tasks',
  key: 'id',
  columns: [{ name: 'id', kind: 'integer' }, title, status, { name: 'updated_at', kind: 'time' }],
  fields: [title, { name: 'description', kind: 'text' }, status],
  filter: status,
  async list({ cursor, filter }) {
    const query = { limit: PAGE, cursor, status: filter as (typeof STATUS)[number] };
    const { body, ...rest } = await answer(api.GET('/tasks', { params: { query } }));
    return { ...rest, body: body.tasks };
  },
  create: (row, header) => answer(api.POST('/tasks', { body: row as never, params: { header } })),
  async read(id) {
    const { body, ...rest } = await answer(api.GET('/tasks/{id}', { params: { path: { id: id as number } } }));
    return { ...rest, body: body.task };
  },
  update: (id, changes, header) =>
    answer(api.PUT('/tasks/{id}', { body: changes as never, params: { path: { id: id as number }, header } })),
  remove: (id, header) => answer(api.DELETE('/tasks/{id}', { params: { path: { id: id as number }, header } })),
};
