import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionIs, versionsOf } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import { preparedWrite } from '../../platform/database/write-outcomes.ts';
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

export const findItem = (db: Kysely<Database>, id: string) => byId.executeTakeFirst(db, { id });

export const insertItem = preparedWrite((db, item: NewItem) =>
  db.insertInto('items').values(item).returning(WITH_VERSION),
);

const update = preparedWrite(
  (db, { id, versions, ...changes }: ItemChanges & { id: string; versions: readonly string[] | undefined }) =>
    db
      .updateTable('items')
      .set({ ...changes, updated_at: sql`now()`, version: nextVersion })
      .where('id', '=', id)
      .where(versionIs(versions))
      .returning(WITH_VERSION),
);

/** Changes no row when there is none in a version that the precondition allows; the same holds for deleteItem. */
export const updateItem = (id: string, changes: ItemChanges, precondition: Precondition) =>
  update({ ...changes, id, versions: versionsOf(precondition) });

const remove = preparedWrite((db, { id, versions }: { id: string; versions: readonly string[] | undefined }) =>
  db.deleteFrom('items').where('id', '=', id).where(versionIs(versions)).returning('id'),
);

export const deleteItem = (id: string, precondition: Precondition) =>
  remove({ id, versions: versionsOf(precondition) });
