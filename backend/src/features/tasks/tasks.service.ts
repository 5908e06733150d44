import { collectionTags, fieldOf } from '../../platform/cache/tags.ts';
import type { Precondition } from '../../platform/database/precondition.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { page } from '../../platform/http/paging.ts';
import { deleteTask, findTask, listTasks, updateTask } from './tasks.repository.ts';
import type { TaskChanges, TaskQuery } from './tasks.schemas.ts';

export const tags = collectionTags('tasks');

export function readTasks({ db, cache }: Deps, query: TaskQuery) {
  const load = async () => page(await listTasks(db, query), query.limit, (row) => [row.id]);
  return cache.read(tags.lists, load, fieldOf(query));
}

/** `value` is null when there is no such task, which is cached too. */
export function readTask({ db, cache }: Deps, id: number) {
  return cache.read(tags.one(id), async () => (await findTask(db, id)) ?? null);
}

/** @throws HttpError 404 or 412 */
export async function changeTask(trx: WriteTransaction, id: number, changes: TaskChanges, precondition: Precondition) {
  const updated = await updateTask(trx, id, changes, precondition);
  if (!updated) throw await notWritten('task', precondition, () => findTask(trx, id));
  return updated;
}

/** @throws HttpError 404 or 412 */
export async function removeTask(trx: WriteTransaction, id: number, precondition: Precondition) {
  const deleted = await deleteTask(trx, id, precondition);
  if (!deleted) throw await notWritten('task', precondition, () => findTask(trx, id));
  return deleted;
}
