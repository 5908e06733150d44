import type { Selectable } from 'kysely';
import type { TransactionsTable, UsersTable } from '../../platform/database/schema.ts';
import { email, Joi, rowId, timestamp } from '../../platform/http/joi.ts';
import { pageQuery } from '../../platform/http/paging.ts';

export type User = Omit<Selectable<UsersTable>, 'version'>;
export type Transaction = Selectable<TransactionsTable>;

export interface NewUser {
  nome: string;
  email: string;
  limite?: number;
}
export type UserChanges = Partial<NewUser>;
export type NewTransaction = Pick<Transaction, 'user_id' | 'valor' | 'tipo' | 'descricao'>;

export interface UserQuery {
  limit: number;
  /** The id of the user before the page. */
  cursor?: [id: number];
}
export interface TransactionQuery {
  user_id?: number;
  limit: number;
  /** The id of the transaction before the page. */
  cursor?: [id: number];
}

/** An amount in cents. As far as a JSON number is exact; the table's domain `cents` has the same bounds. */
const cents = () => Joi.number().integer().max(Number.MAX_SAFE_INTEGER);

/** Lower ids are kept for clients that a seed makes. */
const FIRST_USER = 1_001;

const id = rowId().required();
const nome = Joi.string().trimmed().characters(1, 200).example('Ana Souza');
const limite = cents().min(0).description('Cents that the balance may fall below zero').example(100_000);
const saldo = cents().min(-Number.MAX_SAFE_INTEGER).required().description('Cents').example(-9_098);
const valor = cents().min(1).required().description('Cents').example(1_000);
const tipo = Joi.string().valid('c', 'd').required().description('c: credit, d: debit');
const descricao = Joi.string().characters(1, 200).required().example('mercado');
const realizada_em = timestamp().required();

export const idParams = Joi.object<{ id: number }, true>({ id });

export const newUser = Joi.object<NewUser, true>({ nome: nome.required(), email: email().required(), limite });
export const userChanges = Joi.object<UserChanges, true>({ nome, email: email(), limite }).min(1);
export const userQuery = Joi.object<UserQuery, true>(pageQuery(id));
export const user = Joi.object<User, true>({
  id: id.example(FIRST_USER),
  nome: nome.required(),
  email: email().required(),
  limite: limite.required(),
  saldo,
  created_at: timestamp().required(),
});

export const newTransaction = Joi.object<NewTransaction, true>({
  user_id: id.example(FIRST_USER),
  valor,
  tipo,
  descricao,
});
export const transactionQuery = Joi.object<TransactionQuery, true>({
  user_id: rowId().description('Only those of this user'),
  ...pageQuery(id),
});
export const transaction = Joi.object<Transaction, true>({
  id,
  user_id: id.example(FIRST_USER),
  valor,
  tipo,
  descricao,
  realizada_em,
});
export const transactionReply = transaction.append({ limite: limite.required(), saldo });

/** The public contract of the Rinha de Backend 2024-Q1 allows ten characters. */
export const newTransacao = Joi.object<Omit<NewTransaction, 'user_id'>, true>({
  valor,
  tipo,
  descricao: Joi.string().characters(1, 10).required().example('mercado'),
});
export const transacaoReply = Joi.object({ limite: limite.required(), saldo });
export const extratoReply = Joi.object({
  saldo: Joi.object({ total: saldo, data_extrato: timestamp().required(), limite: limite.required() }).required(),
  ultimas_transacoes: Joi.array().items(Joi.object({ valor, tipo, descricao, realizada_em })).max(10).required(),
});
