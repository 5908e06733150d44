import { collectionTags, fieldOf } from '../../platform/cache/tags.ts';
import type { Precondition } from '../../platform/database/precondition.ts';
import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { page } from '../../platform/http/paging.ts';
import { deleteTask, findTask, insertTask, listTasks, updateTask } from './tasks.repository.ts';
import type { NewTask, TaskChanges, TaskQuery } from './tasks.schemas.ts';

const tags = collectionTags('tasks');

export function readTasks({ db, cache }: Deps, query: TaskQuery) {
  const load = async () => page(await listTasks(db, query), query.limit, (row) => [row.id]);
  return cache.read(tags.lists, load, fieldOf(query));
}

/** `value` is null when there is no such task, which is cached too. */
export function readTask({ db, cache }: Deps, id: number) {
  return cache.read(tags.one(id), async () => (await findTask(db, id)) ?? null);
}

export function createTask({ db, cache }: Deps, task: NewTask) {
  return cache.write(db, tags.written, (trx) => insertTask(trx, task));
}

/** @throws HttpError 404 or 412 */
export function changeTask({ db, cache }: Deps, id: number, changes: TaskChanges, precondition: Precondition) {
  return cache.write(db, tags.written, async (trx) => {
    const updated = await updateTask(trx, id, changes, precondition);
    if (!updated) throw await notWritten('task', precondition, () => findTask(trx, id));
    return updated;
  });
}

/** @throws HttpError 404 or 412 */
export function removeTask({ db, cache }: Deps, id: number, precondition: Precondition) {
  return cache.write(db, tags.written, async (trx) => {
    const deleted = await deleteTask(trx, id, precondition);
    if (!deleted) throw await notWritten('task', precondition, () => findTask(trx, id));
    return deleted;
  });
}
