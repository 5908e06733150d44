import { isVersion, type Precondition } from '../../platform/database/precondition.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { conflicts, HttpError, notFound } from '../../platform/http/errors.ts';
import { findUser, insertTransaction, updateUser } from './accounts.repository.ts';
import type { NewTransaction, UserChanges } from './accounts.schemas.ts';

export const emailTaken = conflicts({ users_email_key: 'another user has this email' });

/** @throws HttpError 404, 409 (the email is taken), 412, or 422 when the new limit does not cover the balance */
export async function changeUser(trx: WriteTransaction, id: number, changes: UserChanges, precondition: Precondition) {
  const updated = await updateUser(trx, id, changes, precondition).catch(emailTaken);
  if (updated) return updated;
  const user = await findUser(trx, id);
  // Not by a look at the balance: it may have moved since.
  if (user && changes.limite !== undefined && isVersion(precondition, user.version)) {
    throw new HttpError(422, `the balance is ${user.saldo}: the limit must cover it`);
  }
  throw await notWritten('user', precondition, async () => user);
}

/** @throws HttpError 404, or 422 when the balance would fall below the limit (or rise above what a JSON number can hold) */
export async function transact(trx: WriteTransaction, transaction: NewTransaction) {
  const written = await insertTransaction(trx, transaction);
  if (written) return written;
  const user = await findUser(trx, transaction.user_id);
  if (!user) throw notFound('user');
  throw new HttpError(422, `the balance is ${user.saldo} and the limit ${user.limite}: this would leave its bounds`);
}
