import { sourceOf } from '../../platform/cache/cache.ts';
import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { notFound } from '../../platform/http/errors.ts';
import { oneStatement, route, routes } from '../../platform/http/route.ts';
import { deleteTask, findTask, insertTask, updateTask } from './tasks.repository.ts';
import { newTask, taskChanges, taskParams, taskQuery, taskReply, tasksReply, taskWritten } from './tasks.schemas.ts';
import { readTask, readTasks, tags } from './tasks.service.ts';

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
      write: ({ body }) =>
        oneStatement({
          changed: [tags.lists],
          statement: insertTask(body),
          answer({ version, ...task }) {
            return {
              status: 201,
              body: { message: CREATED, task },
              version,
              headers: { Location: `/tasks/${task.id}` },
            };
          },
        }),
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
      write: ({ params, body, precondition }) =>
        oneStatement({
          changed: tags.written(params.id),
          row: tags.one(params.id),
          statement: updateTask(params.id, body, precondition),
          answer: ({ version, ...task }) => ({ status: 200, body: { message: UPDATED, task }, version }),
          absent: (db) => notWritten('task', precondition, () => findTask(db, params.id)),
        }),
    }),
    route({
      method: 'delete',
      path: '/tasks/:id',
      summary: 'Delete a task',
      input: { params: taskParams },
      conditional: true,
      replies: { 200: { description: 'The task that is gone', schema: taskWritten(DELETED) } },
      problems: missing,
      write: ({ params, precondition }) =>
        oneStatement({
          changed: tags.written(params.id),
          statement: deleteTask(params.id, precondition),
          answer: (task) => ({ status: 200, body: { message: DELETED, task } }),
          absent: (db) => notWritten('task', precondition, () => findTask(db, params.id)),
        }),
    }),
  ]);
