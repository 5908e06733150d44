import { answer, api, Failure, problemOf } from '../api/client';
import { type Field, PAGE, type Resource } from '../resource';

const key: Field = { name: 'key', kind: 'line', required: true, fixed: true };
const value: Field = { name: 'value', kind: 'text', required: true };

async function find(name: string) {
  const { body, ...rest } = await answer(api.GET('/kv', { params: { query: { key: name } } }));
  return { ...rest, body: (body as unknown as { data: Record<string, unknown> }).data };
}

/** @throws Failure unless the API has said either: what is not known to be free is not replaced */
const exists = (name: string) =>
  find(name).then(
    () => true,
    (failure: Failure) => {
      if (failure.problem.status === 404) return false;
      throw failure;
    },
  );

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
  /** PUT replaces; whoever makes a new pair does not mean that. (Somebody who makes it in this very moment is replaced.) */
  async create(row, header) {
    const key = row.key as string;
    if (key && (await exists(key)))
      throw new Failure({ ...problemOf(409, 'Conflict'), errors: [{ in: 'body', path: 'key', message: 'is taken' }] });
    return answer(api.PUT('/kv', { body: row as never, params: { header } }));
  },
  read: (name) => find(name as string),
  update: (name, changes, header) =>
    answer(api.PUT('/kv', { body: { ...changes, key: name } as never, params: { header } })),
  remove: (name, header) => answer(api.DELETE('/kv', { params: { query: { key: name as string }, header } })),
};
