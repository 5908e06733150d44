import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionMatches } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { NewTask, TaskChanges, TaskQuery } from './tasks.schemas.ts';

const COLUMNS = ['id', 'title', 'description', 'status', 'created_at', 'updated_at'] as const;
const WITH_VERSION = [...COLUMNS, 'version'] as const;

export async function listTasks(db: Kysely<Database>, { status, limit, cursor }: TaskQuery) {
  let query = db
    .selectFrom('tasks')
    .select(COLUMNS)
    .orderBy('id', 'desc')
    .limit(limit + 1);
  if (status) query = query.where('status', '=', status);
  if (cursor) query = query.where('id', '<', cursor[0]);
  return query.execute();
}

const byId = prepared((db, { id }: { id: number }) => db.selectFrom('tasks').select(WITH_VERSION).where('id', '=', id));
const insert = prepared((db, task: NewTask) => db.insertInto('tasks').values(task).returning(WITH_VERSION));

export const findTask = (db: Kysely<Database>, id: number) => byId.executeTakeFirst(db, { id });
export const insertTask = (trx: WriteTransaction, task: NewTask) => insert.executeTakeFirstOrThrow(trx, task);

/** @returns undefined when there is no such task in a version that the precondition allows */
export function updateTask(trx: WriteTransaction, id: number, changes: TaskChanges, precondition: Precondition) {
  return trx
    .updateTable('tasks')
    .set({ ...changes, updated_at: sql`now()`, version: nextVersion })
    .where('id', '=', id)
    .where(versionMatches(precondition))
    .returning(WITH_VERSION)
    .executeTakeFirst();
}

/** @returns the task that was deleted; undefined as for updateTask */
export function deleteTask(trx: WriteTransaction, id: number, precondition: Precondition) {
  return trx
    .deleteFrom('tasks')
    .where('id', '=', id)
    .where(versionMatches(precondition))
    .returning(COLUMNS)
    .executeTakeFirst();
}
