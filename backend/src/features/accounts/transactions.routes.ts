import type { Deps } from '../../platform/deps.ts';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { page } from '../../platform/http/paging.ts';
import { oneStatement, route, routes } from '../../platform/http/route.ts';
import { findTransaction, insertTransaction, listTransactions } from './accounts.repository.ts';
import { idParams, newTransaction, transaction, transactionQuery, transactionReply } from './accounts.schemas.ts';
import { notMoved } from './accounts.service.ts';

export const transactionsRoutes = (deps: Deps) =>
  routes('Transactions', [
    route({
      method: 'get',
      path: '/transactions',
      summary: 'List transactions, of all users or of one, newest first',
      input: { query: transactionQuery },
      replies: { 200: { description: 'A page of transactions', schema: Joi.array().items(transaction) } },
      async handle({ query }) {
        const { rows, next } = page(await listTransactions(deps.db, query), query.limit, (row) => [row.id]);
        return { status: 200, body: rows, next };
      },
    }),
    route({
      method: 'post',
      path: '/transactions',
      summary: 'Credit or debit a user; 422 when the balance would fall below the limit',
      input: { body: newTransaction },
      replies: { 201: { description: 'The transaction, and the balance after it', schema: transactionReply } },
      problems: { 404: 'There is no such user' },
      write: ({ body }) =>
        oneStatement({
          row: `users:${body.user_id}`,
          statement: insertTransaction(body),
          answer: (written) => ({
            status: 201,
            body: written,
            version: written.id,
            headers: { Location: `/transactions/${written.id}` },
          }),
          absent: (db) => notMoved(db, body),
        }),
    }),
    route({
      method: 'get',
      path: '/transactions/:id',
      summary: 'Read a transaction',
      input: { params: idParams },
      conditional: true,
      replies: { 200: { description: 'The transaction', schema: transaction } },
      problems: { 404: 'There is no transaction with this id' },
      async handle({ params }) {
        const found = await findTransaction(deps.db, params.id);
        if (!found) throw notFound('transaction');
        // It never changes, so its number is its version.
        return { status: 200, body: found, version: found.id };
      },
    }),
  ]);
