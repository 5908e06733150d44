import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { nextVersion } from '../../platform/database/precondition.ts';
import type { Database } from '../../platform/database/schema.ts';

/** https://github.com/zanfranceschi/rinha-de-backend-2024-q1: ids 1 to 5 with these limits; id 6 must not exist. */
const LIMITS = [100_000, 80_000, 1_000_000, 10_000_000, 500_000];
const CLIENTS = LIMITS.map((limite, n) => ({
  id: n + 1,
  nome: `Cliente ${n + 1}`,
  // Nobody can guess it, and take it before.
  email: `cliente-${n + 1}-${randomUUID()}@rinha.example`,
  limite,
}));
const IDS = CLIENTS.map(({ id }) => id);

/** @returns the ids of the clients that were missing and are there now */
export async function seedClients(db: Kysely<Database>): Promise<number[]> {
  const made = await db
    .insertInto('users')
    .values(CLIENTS)
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')
    .execute();
  return made.map(({ id }) => id);
}

/** Deletes the clients' transactions and sets their balances and limits back. */
export async function resetClients(db: Kysely<Database>): Promise<void> {
  await db.transaction().execute(async (trx) => {
    // The rows are locked first: a transaction that ran between the two statements would be in neither.
    await trx.selectFrom('users').select('id').where('id', 'in', IDS).orderBy('id').forUpdate().execute();
    await trx.deleteFrom('transactions').where('user_id', 'in', IDS).execute();
    for (const { id, limite } of CLIENTS) {
      await trx.updateTable('users').set({ saldo: 0, limite, version: nextVersion }).where('id', '=', id).execute();
    }
  });
}
