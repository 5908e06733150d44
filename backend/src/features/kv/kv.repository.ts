import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionIs, versionsOf } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import { preparedWrite } from '../../platform/database/write-outcomes.ts';
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

const changes = (value: string) => ({ value, updated_at: sql`now()`, version: nextVersion });

const put = preparedWrite((db, { key, value }: Pair) =>
  db
    .insertInto('kv')
    .values({ key, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet(changes(value)))
    .returning(['key', 'version']),
);

const replace = preparedWrite((db, { key, value, versions }: Pair & { versions: readonly string[] | undefined }) =>
  db
    .updateTable('kv')
    .set(changes(value))
    .where('key', '=', key)
    .where(versionIs(versions))
    .returning(['key', 'version']),
);

/** Changes no row when the precondition forbids it: it asks for a pair that is there, so nothing may be inserted then. */
export const putPair = (pair: Pair, precondition: Precondition) =>
  precondition === undefined ? put(pair) : replace({ ...pair, versions: versionsOf(precondition) });

const remove = preparedWrite((db, { key, versions }: { key: string; versions: readonly string[] | undefined }) =>
  db.deleteFrom('kv').where('key', '=', key).where(versionIs(versions)).returning('key'),
);

/** Changes no row when there is no such pair in a version that the precondition allows. */
export const deletePair = (key: string, precondition: Precondition) =>
  remove({ key, versions: versionsOf(precondition) });
