import { answer, api } from '../api/client';
import { type Field, PAGE, type Resource } from '../resource';

const nome: Field = { name: 'nome', kind: 'line', required: true };
const email: Field = { name: 'email', kind: 'email', required: true };
const limite: Field = { name: 'limite', kind: 'cents' };

export const users: Resource = {
  name: 'users',
  key: 'id',
  columns: [{ name: 'id', kind: 'integer' }, nome, email, limite, { name: 'saldo', kind: 'cents' }],
  fields: [nome, email, limite],
  list: ({ cursor }) => answer(api.GET('/users', { params: { query: { limit: PAGE, cursor } } })),
  create: (row, header) => answer(api.POST('/users', { body: row as never, params: { header } })),
  read: (id) => answer(api.GET('/users/{id}', { params: { path: { id: id as number } } })),
  update: (id, changes, header) =>
    answer(api.PUT('/users/{id}', { body: changes as never, params: { path: { id: id as number }, header } })),
  remove: (id, header) => answer(api.DELETE('/users/{id}', { params: { path: { id: id as number }, header } })),
};

const user: Field = { name: 'user_id', kind: 'integer', required: true };
const valor: Field = { name: 'valor', kind: 'cents', required: true };
const tipo: Field = { name: 'tipo', kind: 'choice', choices: ['c', 'd'], required: true };
const descricao: Field = { name: 'descricao', kind: 'line', required: true };

/** Money that has moved stays moved: there is neither change nor deletion. */
export const transactions: Resource = {
  name: 'transactions',
  key: 'id',
  columns: [{ name: 'id', kind: 'integer' }, user, tipo, valor, descricao, { name: 'realizada_em', kind: 'time' }],
  fields: [user, tipo, valor, descricao],
  filter: user,
  list: ({ cursor, filter }) => {
    const query = { limit: PAGE, cursor, user_id: filter as never };
    return answer(api.GET('/transactions', { params: { query } }));
  },
  create: (row, header) => answer(api.POST('/transactions', { body: row as never, params: { header } })),
};
