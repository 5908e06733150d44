import type { Selectable } from 'kysely';
import type { TasksTable } from '../../platform/database/schema.ts';
import { Joi, rowId, timestamp } from '../../platform/http/joi.ts';
import { pageQuery } from '../../platform/http/paging.ts';

export type Task = Omit<Selectable<TasksTable>, 'version'>;
export type TaskStatus = Task['status'];

export interface NewTask {
  title: string;
  description?: string | null;
  status?: TaskStatus;
}
export type TaskChanges = Partial<NewTask>;

export interface TaskQuery {
  status?: TaskStatus;
  limit: number;
  /** The id of the task before the page. */
  cursor?: [id: number];
}

const id = rowId().required();
const title = Joi.string().trimmed().characters(1, 200).example('Water the plants');
const description = Joi.string().characters(0, 4000).allow(null, '').example('All of them, also the cactus');
const status = Joi.string().valid('pending', 'in_progress', 'completed');
const source = Joi.string().valid('cache', 'database').required();
const message = (text: string) => Joi.string().valid(text).required();

export const taskParams = Joi.object<{ id: number }, true>({ id });
export const newTask = Joi.object<NewTask, true>({ title: title.required(), description, status });
export const taskChanges = Joi.object<TaskChanges, true>({ title, description, status }).min(1);
export const taskQuery = Joi.object<TaskQuery, true>({ status, ...pageQuery(id) });

const task = Joi.object<Task, true>({
  id,
  title: title.required(),
  description: description.required(),
  status: status.required(),
  created_at: timestamp().required(),
  updated_at: timestamp().required(),
}).required();

export const taskReply = Joi.object({ source, task });
export const tasksReply = Joi.object({
  source,
  count: Joi.number().integer().min(0).required().description('Tasks in this answer'),
  tasks: Joi.array().items(task).required(),
});
export const taskWritten = (text: string) => Joi.object({ message: message(text), task });
