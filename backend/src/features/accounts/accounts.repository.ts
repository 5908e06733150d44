import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionIs, versionsOf } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import { preparedWrite } from '../../platform/database/write-outcomes.ts';
import type { NewTransaction, NewUser, TransactionQuery, UserChanges, UserQuery } from './accounts.schemas.ts';

const USER = ['id', 'nome', 'email', 'limite', 'saldo', 'created_at'] as const;
const USER_WITH_VERSION = [...USER, 'version'] as const;
const TRANSACTION = ['id', 'user_id', 'valor', 'tipo', 'descricao', 'realizada_em'] as const;
/** How many transactions a statement shows: the public contract of the Rinha. */
const STATEMENT_LENGTH = 10;

export function listUsers(db: Kysely<Database>, { limit, cursor }: UserQuery) {
  let query = db
    .selectFrom('users')
    .select(USER)
    .orderBy('id')
    .limit(limit + 1);
  if (cursor) query = query.where('id', '>', cursor[0]);
  return query.execute();
}

const userById = prepared((db, { id }: { id: number }) =>
  db.selectFrom('users').select(USER_WITH_VERSION).where('id', '=', id),
);
export const findUser = (db: Kysely<Database>, id: number) => userById.executeTakeFirst(db, { id });
export const insertUser = preparedWrite((db, user: NewUser) =>
  db.insertInto('users').values(user).returning(USER_WITH_VERSION),
);

interface Versions {
  readonly id: number;
  readonly versions: readonly string[] | undefined;
}

const update = preparedWrite((db, { id, versions, ...changes }: UserChanges & Versions) => {
  const query = db
    .updateTable('users')
    .set({ ...changes, version: nextVersion })
    .where('id', '=', id)
    .where(versionIs(versions))
    .returning(USER_WITH_VERSION);
  if (changes.limite === undefined) return query;
  return query.where(sql<boolean>`saldo >= -(${changes.limite}::bigint)`);
});

/** Changes no row when there is no such user in a version that the precondition allows, or the new limit does not cover the balance. */
export const updateUser = (id: number, changes: UserChanges, precondition: Precondition) =>
  update({ ...changes, id, versions: versionsOf(precondition) });

const remove = preparedWrite((db, { id, versions }: Versions) =>
  db.deleteFrom('users').where('id', '=', id).where(versionIs(versions)).returning('id'),
);

/** Changes no row when there is no such user in a version that the precondition allows. */
export const deleteUser = (id: number, precondition: Precondition) =>
  remove({ id, versions: versionsOf(precondition) });

export function listTransactions(db: Kysely<Database>, { user_id, limit, cursor }: TransactionQuery) {
  let query = db
    .selectFrom('transactions')
    .select(TRANSACTION)
    .orderBy('id', 'desc')
    .limit(limit + 1);
  if (user_id !== undefined) query = query.where('user_id', '=', user_id);
  if (cursor) query = query.where('id', '<', cursor[0]);
  return query.execute();
}

const transactionById = prepared((db, { id }: { id: number }) =>
  db.selectFrom('transactions').select(TRANSACTION).where('id', '=', id),
);

export const findTransaction = (db: Kysely<Database>, id: number) => transactionById.executeTakeFirst(db, { id });

const newTransaction = preparedWrite(
  (db, { user_id, valor, tipo, descricao, change }: NewTransaction & { change: number }) =>
    db
      .with('account', (cte) =>
        cte
          .updateTable('users')
          .set((eb) => ({ saldo: eb('saldo', '+', change), version: nextVersion }))
          .where('id', '=', user_id)
          .where(sql<boolean>`saldo + ${change} between -limite and ${Number.MAX_SAFE_INTEGER}`)
          .returning(['id', 'limite', 'saldo']),
      )
      .insertInto('transactions')
      .columns(['user_id', 'valor', 'tipo', 'descricao'])
      .expression((eb) =>
        eb
          .selectFrom('account')
          .select([
            'account.id',
            sql<number>`${valor}::bigint`.as('valor'),
            sql<'c' | 'd'>`${tipo}`.as('tipo'),
            sql<string>`${descricao}`.as('descricao'),
          ]),
      )
      .returning([
        ...TRANSACTION,
        sql<number>`(select limite from account)`.as('limite'),
        sql<number>`(select saldo from account)`.as('saldo'),
      ]),
);

/**
 * Moves money: the balance and the transaction that explains it change in one statement, or neither does. The condition is
 * looked at with the user's row locked, so no debits that run side by side can pass the limit together.
 * Changes no row when there is no such user, or the balance would leave its bounds.
 */
export function insertTransaction(transaction: NewTransaction) {
  const change = transaction.tipo === 'c' ? transaction.valor : -transaction.valor;
  return newTransaction({ ...transaction, change });
}

const statement = prepared((db, { userId }: { userId: number }) =>
  db
    .selectFrom('users')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('transactions')
          .select(TRANSACTION)
          .whereRef('user_id', '=', 'users.id')
          .orderBy('id', 'desc')
          .limit(STATEMENT_LENGTH)
          .as('latest'),
      (join) => join.onTrue(),
    )
    .select(['users.saldo', 'users.limite', sql<string>`now()`.as('data_extrato')])
    .select(['latest.valor', 'latest.tipo', 'latest.descricao', 'latest.realizada_em'])
    .where('users.id', '=', userId)
    .orderBy('latest.id', 'desc'),
);

/** Balance and last transactions as one statement sees them, so that they always fit each other. One row a transaction. */
export const findStatement = (db: Kysely<Database>, userId: number) => statement.execute(db, { userId });
