import { sourceOf } from '../../platform/cache/cache.ts';
import type { Deps } from '../../platform/deps.ts';
import { notFound } from '../../platform/http/errors.ts';
import { route, routes } from '../../platform/http/route.ts';
import { insertTask } from './tasks.repository.ts';
import { newTask, taskChanges, taskParams, taskQuery, taskReply, tasksReply, taskWritten } from './tasks.schemas.ts';
import { changeTask, readTask, readTasks, removeTask, tags } from './tasks.service.ts';

const missing = { 404: 'There is no task with this id' };
const CREATED = 'Task created successfully';
const UPDATED = 'Task updated successfully';
const DELETED = 'Task deleted successfully';

export const tasksRoutes = (deps: Deps) =>
  routes('Tasks', [
    route({
      method: 'get',
      path: '/tasks',
      summary: 'List tasks, newest first',
      input: { query: taskQuery },
      cached: 'tasks',
      replies: { 200: { description: 'A page of tasks and where it came from', schema: tasksReply } },
      async handle({ query }) {
        const { value, outcome } = await readTasks(deps, query);
        const { rows: tasks, next } = value;
        const body = { source: sourceOf(outcome), count: tasks.length, tasks };
        return { status: 200, body, next, cache: outcome };
      },
    }),
    route({
      method: 'post',
      path: '/tasks',
      summary: 'Create a task',
      input: { body: newTask },
      replies: { 201: { description: 'The new task', schema: taskWritten(CREATED) } },
      async write({ body }, trx) {
        const { version, ...task } = await insertTask(trx, body);
        const headers = { Location: `/tasks/${task.id}` };
        return { status: 201, body: { message: CREATED, task }, version, headers, changed: tags.written(task) };
      },
    }),
    route({
      method: 'get',
      path: '/tasks/:id',
      summary: 'Read a task',
      input: { params: taskParams },
      conditional: true,
      cached: 'tasks',
      replies: { 200: { description: 'The task and where it came from', schema: taskReply } },
      problems: missing,
      async handle({ params }) {
        const { value, outcome } = await readTask(deps, params.id);
        if (!value) throw notFound('task', { 'X-Cache': outcome });
        const { version, ...task } = value;
        return { status: 200, body: { source: sourceOf(outcome), task }, version, cache: outcome };
      },
    }),
    route({
      method: 'put',
      path: '/tasks/:id',
      summary: 'Change a task: absent fields stay, a null description is cleared',
      input: { params: taskParams, body: taskChanges },
      conditional: true,
      replies: { 200: { description: 'The task as it is now', schema: taskWritten(UPDATED) } },
      problems: missing,
      async write({ params, body, precondition }, trx) {
        const { version, ...task } = await changeTask(trx, params.id, body, precondition);
        return { status: 200, body: { message: UPDATED, task }, version, changed: tags.written(task) };
      },
    }),
    route({
      method: 'delete',
      path: '/tasks/:id',
      summary: 'Delete a task',
      input: { params: taskParams },
      conditional: true,
      replies: { 200: { description: 'The task that is gone', schema: taskWritten(DELETED) } },
      problems: missing,
      async write({ params, precondition }, trx) {
        const task = await removeTask(trx, params.id, precondition);
        return { status: 200, body: { message: DELETED, task }, changed: tags.written(task) };
      },
    }),
  ]);
