import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionIs, versionsOf } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import { preparedWrite } from '../../platform/database/write-outcomes.ts';
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

export const findTask = (db: Kysely<Database>, id: number) => byId.executeTakeFirst(db, { id });

export const insertTask = preparedWrite((db, task: NewTask) =>
  db.insertInto('tasks').values(task).returning(WITH_VERSION),
);

const update = preparedWrite(
  (db, { id, versions, ...changes }: TaskChanges & { id: number; versions: readonly string[] | undefined }) =>
    db
      .updateTable('tasks')
      .set({ ...changes, updated_at: sql`now()`, version: nextVersion })
      .where('id', '=', id)
      .where(versionIs(versions))
      .returning(WITH_VERSION),
);

/** Changes no row when there is none in a version that the precondition allows; the same holds for deleteTask. */
export const updateTask = (id: number, changes: TaskChanges, precondition: Precondition) =>
  update({ ...changes, id, versions: versionsOf(precondition) });

const remove = preparedWrite((db, { id, versions }: { id: number; versions: readonly string[] | undefined }) =>
  db.deleteFrom('tasks').where('id', '=', id).where(versionIs(versions)).returning(COLUMNS),
);

export const deleteTask = (id: number, precondition: Precondition) =>
  remove({ id, versions: versionsOf(precondition) });
