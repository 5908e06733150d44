import { answer, api } from '../api/client';
import { type Field, PAGE, type Resource } from '../resource';

const key: Field = { name: 'key', kind: 'line', required: true, fixed: true };
const value: Field = { name: 'value', kind: 'text', required: true };

export const pairs: Resource = {
  name: 'kv',
  key: 'key',
  columns: [key, value, { name: 'updated_at', kind: 'time' }],
  fields: [key, value],
  filter: { name: 'prefix', kind: 'line' },
  async list({ cursor, filter: prefix }) {
    const { body, ...rest } = await answer(api.GET('/kv', { params: { query: { limit: PAGE, cursor, prefix } } }));
    return { ...rest, body: (body as unknown as { data: Record<string, unknown>[] }).data };
  },
  create: (row, header) => answer(api.PUT('/kv', { body: row as never, params: { header } })),
  async read(name) {
    const { body, ...rest } = await answer(api.GET('/kv', { params: { query: { key: name as string } } }));
    return { ...rest, body: (body as unknown as { data: Record<string, unknown> }).data };
  },
  update: (name, changes, header) =>
    answer(api.PUT('/kv', { body: { ...changes, key: name } as never, params: { header } })),
  remove: (name, header) => answer(api.DELETE('/kv', { params: { query: { key: name as string }, header } })),
};
