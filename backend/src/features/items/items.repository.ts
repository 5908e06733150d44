import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionMatches } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { ItemChanges, ItemQuery, NewItem } from './items.schemas.ts';

const COLUMNS = ['id', 'title', 'description', 'status', 'created_at', 'updated_at'] as const;
const WITH_VERSION = [...COLUMNS, 'version'] as const;

export async function listItems(db: Kysely<Database>, { status, limit, cursor }: ItemQuery) {
  let query = db
    .selectFrom('items')
    .select(COLUMNS)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1);
  if (status) query = query.where('status', '=', status);
  if (cursor) query = query.where(sql<boolean>`(created_at, id) < (${cursor[0]}::timestamptz, ${cursor[1]}::uuid)`);
  return query.execute();
}

const byId = prepared((db, { id }: { id: string }) => db.selectFrom('items').select(WITH_VERSION).where('id', '=', id));
const insert = prepared((db, item: NewItem) => db.insertInto('items').values(item).returning(WITH_VERSION));

export const findItem = (db: Kysely<Database>, id: string) => byId.executeTakeFirst(db, { id });

export const insertItem = (trx: WriteTransaction, item: NewItem) => insert.executeTakeFirstOrThrow(trx, item);

/** @returns undefined when there is no such item in a version that the precondition allows */
export function updateItem(trx: WriteTransaction, id: string, changes: ItemChanges, precondition: Precondition) {
  return trx
    .updateTable('items')
    .set({ ...changes, updated_at: sql`now()`, version: nextVersion })
    .where('id', '=', id)
    .where(versionMatches(precondition))
    .returning(WITH_VERSION)
    .executeTakeFirst();
}

/** @returns whether a row was deleted */
export async function deleteItem(trx: WriteTransaction, id: string, precondition: Precondition): Promise<boolean> {
  const { numDeletedRows } = await trx
    .deleteFrom('items')
    .where('id', '=', id)
    .where(versionMatches(precondition))
    .executeTakeFirstOrThrow();
  return numDeletedRows > 0n;
}
