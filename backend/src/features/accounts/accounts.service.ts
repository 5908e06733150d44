import type { Kysely } from 'kysely';
import { isVersion, type Precondition } from '../../platform/database/precondition.ts';
import type { Database } from '../../platform/database/schema.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { conflicts, HttpError, notFound } from '../../platform/http/errors.ts';
import { findUser } from './accounts.repository.ts';
import type { NewTransaction, UserChanges } from './accounts.schemas.ts';

export const emailTaken = conflicts({ users_email_key: 'another user has this email' });

/** Why a user was not changed. @throws HttpError 404, 412, or 422 when the new limit does not cover the balance */
export async function notChanged(db: Kysely<Database>, id: number, changes: UserChanges, precondition: Precondition) {
  const user = await findUser(db, id);
  // Not by a look at the balance: it may have moved since.
  if (user && changes.limite !== undefined && isVersion(precondition, user.version)) {
    throw new HttpError(422, `the balance is ${user.saldo}: the limit must cover it`);
  }
  return notWritten('user', precondition, async () => user);
}

/** Why no money moved. @throws HttpError 404, or 422 when the balance would fall below the limit (or rise above what a JSON number can hold) */
export async function notMoved(db: Kysely<Database>, transaction: NewTransaction): Promise<never> {
  const user = await findUser(db, transaction.user_id);
  if (!user) throw notFound('user');
  throw new HttpError(422, `the balance is ${user.saldo} and the limit ${user.limite}: this would leave its bounds`);
}
