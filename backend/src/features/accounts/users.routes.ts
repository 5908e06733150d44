import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { conflicts, notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { page } from '../../platform/http/paging.ts';
import { oneStatement, resource, route, routes } from '../../platform/http/route.ts';
import { deleteUser, findUser, insertUser, listUsers, updateUser } from './accounts.repository.ts';
import { idParams, newUser, user, userChanges, userQuery } from './accounts.schemas.ts';
import { emailTaken, notChanged } from './accounts.service.ts';

const missing = { 404: 'There is no user with this id' };
const taken = { 409: 'Another user has this email' };
const hasTransactions = conflicts({ transactions_user_id_fkey: 'the user has transactions' });

export const usersRoutes = (deps: Deps) =>
  routes('Users', [
    route({
      method: 'get',
      path: '/users',
      summary: 'List users, in the order of their ids',
      input: { query: userQuery },
      replies: { 200: { description: 'A page of users', schema: Joi.array().items(user) } },
      async handle({ query }) {
        const { rows, next } = page(await listUsers(deps.db, query), query.limit, (row) => [row.id]);
        return { status: 200, body: rows, next };
      },
    }),
    route({
      method: 'post',
      path: '/users',
      summary: 'Create a user, with a balance of 0',
      input: { body: newUser },
      replies: { 201: { description: 'The new user', schema: user } },
      problems: taken,
      write: ({ body }) =>
        oneStatement({
          statement: insertUser(body),
          answer: (created) => resource(201, created, { Location: `/users/${created.id}` }),
          refused: emailTaken,
        }),
    }),
    route({
      method: 'get',
      path: '/users/:id',
      summary: 'Read a user and the balance',
      input: { params: idParams },
      conditional: true,
      replies: { 200: { description: 'The user', schema: user } },
      problems: missing,
      async handle({ params }) {
        const found = await findUser(deps.db, params.id);
        if (!found) throw notFound('user');
        return resource(200, found);
      },
    }),
    route({
      method: 'put',
      path: '/users/:id',
      summary: 'Change a user: absent fields stay; 422 when the limit would not cover the balance',
      input: { params: idParams, body: userChanges },
      conditional: true,
      replies: { 200: { description: 'The user as it is now', schema: user } },
      problems: { ...missing, ...taken },
      write: ({ params, body, precondition }) =>
        oneStatement({
          statement: updateUser(params.id, body, precondition),
          answer: (updated) => resource(200, updated),
          absent: (db) => notChanged(db, params.id, body, precondition),
          refused: emailTaken,
        }),
    }),
    route({
      method: 'delete',
      path: '/users/:id',
      summary: 'Delete a user who has no transactions',
      input: { params: idParams },
      conditional: true,
      replies: { 204: { description: 'The user is gone' } },
      problems: { ...missing, 409: 'The user has transactions' },
      write: ({ params, precondition }) =>
        oneStatement({
          statement: deleteUser(params.id, precondition),
          answer: () => ({ status: 204 }),
          absent: (db) => notWritten('user', precondition, () => findUser(db, params.id)),
          refused: hasTransactions,
        }),
    }),
  ]);
