import type { Deps } from '../../platform/deps.ts';
import { notFound } from '../../platform/http/errors.ts';
import { oneStatement, route, routes } from '../../platform/http/route.ts';
import { findStatement, insertTransaction } from './accounts.repository.ts';
import { extratoReply, idParams, newTransacao, transacaoReply } from './accounts.schemas.ts';
import { notMoved } from './accounts.service.ts';

const missing = { 404: 'There is no user with this id' };

/** Users and their transactions once more, as the public contract of the Rinha de Backend 2024-Q1 has them. */
export const clientesRoutes = (deps: Deps) =>
  routes('Rinha', [
    route({
      method: 'post',
      path: '/clientes/:id/transacoes',
      summary:
        'Credit or debit a client (./start.sh seed makes 1 to 5); 422 when the balance would fall below the limit',
      input: { params: idParams, body: newTransacao },
      replies: { 200: { description: 'Limit and balance after the transaction', schema: transacaoReply } },
      problems: missing,
      write({ params, body }) {
        const transaction = { user_id: params.id, ...body };
        return oneStatement({
          row: `users:${params.id}`,
          statement: insertTransaction(transaction),
          answer: ({ limite, saldo }) => ({ status: 200, body: { limite, saldo } }),
          absent: (db) => notMoved(db, transaction),
        });
      },
    }),
    route({
      method: 'get',
      path: '/clientes/:id/extrato',
      summary: 'The balance and the last ten transactions, newest first',
      input: { params: idParams },
      replies: { 200: { description: 'The statement', schema: extratoReply } },
      problems: missing,
      async handle({ params }) {
        const rows = await findStatement(deps.db, params.id);
        const [first] = rows;
        if (!first) throw notFound('user');
        const { saldo: total, limite, data_extrato } = first;
        const ultimas_transacoes = rows
          .filter((row) => row.valor !== null) // a client without transactions is one row without one
          .map(({ valor, tipo, descricao, realizada_em }) => ({ valor, tipo, descricao, realizada_em }));
        return { status: 200, body: { saldo: { total, data_extrato, limite }, ultimas_transacoes } };
      },
    }),
  ]);
