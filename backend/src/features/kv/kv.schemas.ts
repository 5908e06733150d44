import { Joi, timestamp } from '../../platform/http/joi.ts';
import { pageQuery } from '../../platform/http/paging.ts';

export interface Pair {
  key: string;
  value: string;
}

/** With `key`: that pair. Without: a list, by prefix. */
export interface KvQuery {
  key?: string;
  prefix?: string;
  limit: number;
  cursor?: [key: string];
}

const key = Joi.string().bytes(1, 512).required().example('greeting');
const value = Joi.string().allow('').bytes(0, 65_536).required().example('hello');
const source = Joi.string().valid('cache', 'database').required();

export const pair = Joi.object<Pair, true>({ key, value });

export const keyQuery = Joi.object<{ key: string }, true>({ key });

const list = pageQuery(key);

export const kvQuery = Joi.object<KvQuery, true>({
  key: key.optional().description('Read this one pair'),
  prefix: Joi.string().allow('').bytes(0, 512).description('List the pairs whose keys begin so'),
  cursor: list.cursor,
  // Its default would be there beside a key too, so `without` cannot tell whether somebody asked for it.
  limit: list.limit.when('key', { is: Joi.exist(), then: Joi.forbidden() }),
}).without('key', ['prefix', 'cursor']);

export const foundReply = Joi.object({ data: pair.required(), source });
export const listReply = Joi.object({
  data: Joi.array()
    .items(Joi.object({ key, value, updated_at: timestamp().required() }))
    .required(),
});
export const deletedReply = Joi.object({ key, deleted: Joi.boolean().required() });
export const statsReply = Joi.object({ items: Joi.number().integer().min(0).required() });
