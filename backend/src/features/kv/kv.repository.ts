import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionMatches } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { KvQuery, Pair } from './kv.schemas.ts';

export async function listPairs(db: Kysely<Database>, { prefix, limit, cursor }: Omit<KvQuery, 'key'>) {
  let query = db
    .selectFrom('kv')
    .select(['key', 'value', 'updated_at'])
    .orderBy('key')
    .limit(limit + 1);
  if (prefix) query = query.where(sql<boolean>`starts_with(key, ${prefix})`);
  if (cursor) query = query.where('key', '>', cursor[0]);
  return query.execute();
}

const byKey = prepared((db, { key }: { key: string }) =>
  db.selectFrom('kv').select(['key', 'value', 'version']).where('key', '=', key),
);

export const findPair = (db: Kysely<Database>, key: string) => byKey.executeTakeFirst(db, { key });

export async function countPairs(db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('kv')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

/** @returns undefined when the precondition forbids the write */
export function putPair(trx: WriteTransaction, { key, value }: Pair, precondition: Precondition) {
  const changes = { value, updated_at: sql`now()`, version: nextVersion };
  // A precondition asks for a pair that is there: then nothing may be inserted.
  const written =
    precondition === undefined
      ? trx
          .insertInto('kv')
          .values({ key, value })
          .onConflict((conflict) => conflict.column('key').doUpdateSet(changes))
          .returning(['key', 'version'])
      : trx
          .updateTable('kv')
          .set(changes)
          .where('key', '=', key)
          .where(versionMatches(precondition))
          .returning(['key', 'version']);
  return written.executeTakeFirst();
}

/** @returns undefined when there is no such pair in a version that the precondition allows */
export function deletePair(trx: WriteTransaction, key: string, precondition: Precondition) {
  return trx
    .deleteFrom('kv')
    .where('key', '=', key)
    .where(versionMatches(precondition))
    .returning('key')
    .executeTakeFirst();
}
