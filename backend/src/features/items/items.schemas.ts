import type { Selectable } from 'kysely';
import type { ItemsTable } from '../../platform/database/schema.ts';
import { Joi, timestamp, uuid } from '../../platform/http/joi.ts';
import { pageQuery, timestampKey } from '../../platform/http/paging.ts';

export type Item = Omit<Selectable<ItemsTable>, 'version'>;
export type ItemStatus = Item['status'];

export interface NewItem {
  title: string;
  description?: string | null;
  status?: ItemStatus;
}
export type ItemChanges = Partial<NewItem>;

export interface ItemQuery {
  status?: ItemStatus;
  limit: number;
  /** created_at and id of the item before the page. */
  cursor?: [created_at: string, id: string];
}

const id = uuid().required();
const title = Joi.string().trimmed().characters(1, 200).example('Water the plants');
const description = Joi.string().characters(0, 4000).allow(null, '').example('All of them, also the cactus');
const status = Joi.string().valid('pending', 'in_progress', 'done');

export const itemParams = Joi.object<{ id: string }, true>({ id });

export const newItem = Joi.object<NewItem, true>({ title: title.required(), description, status });

export const itemChanges = Joi.object<ItemChanges, true>({ title, description, status }).min(1);

export const itemQuery = Joi.object<ItemQuery, true>({ status, ...pageQuery(timestampKey, id) });

export const item = Joi.object<Item, true>({
  id,
  title: title.required(),
  description: description.required(),
  status: status.required(),
  created_at: timestamp().required(),
  updated_at: timestamp().required(),
});
