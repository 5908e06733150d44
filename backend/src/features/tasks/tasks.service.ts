import { collectionTags, fieldOf } from '../../platform/cache/tags.ts';
import type { Deps } from '../../platform/deps.ts';
import { page } from '../../platform/http/paging.ts';
import { findTask, listTasks } from './tasks.repository.ts';
import type { TaskQuery } from './tasks.schemas.ts';

export const tags = collectionTags('tasks');

export function readTasks({ db, cache }: Deps, query: TaskQuery) {
  const load = async () => page(await listTasks(db, query), query.limit, (row) => [row.id]);
  return cache.read(tags.lists, load, fieldOf(query));
}

/** `value` is undefined when there is no such task, which is not cached: a create does not know its id beforehand. */
export function readTask({ db, cache }: Deps, id: number) {
  return cache.read(tags.one(id), () => findTask(db, id));
}
