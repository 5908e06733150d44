import { sourceOf } from '../../platform/cache/cache.ts';
import type { Deps } from '../../platform/deps.ts';
import { preconditionFailed } from '../../platform/http/conditional.ts';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { page } from '../../platform/http/paging.ts';
import { oneStatement, route, routes } from '../../platform/http/route.ts';
import { countPairs, deletePair, listPairs, putPair } from './kv.repository.ts';
import { deletedReply, foundReply, keyQuery, kvQuery, listReply, pair, statsReply } from './kv.schemas.ts';
import { readPair, written } from './kv.service.ts';

export const kvRoutes = (deps: Deps) =>
  routes('Key–value', [
    route({
      method: 'put',
      path: '/kv',
      summary: 'Set a key, new or not',
      input: { body: pair },
      bodyLimit: 512 * 1024, // JSON may write each byte of key and value as six: \u0001
      conditional: true,
      replies: {
        200: {
          description: 'It is stored',
          schema: Joi.object({ status: Joi.valid('ok').required() }),
        },
      },
      write: ({ body, precondition }) =>
        oneStatement({
          changed: written(body.key),
          row: `kv:${body.key}`,
          statement: putPair(body, precondition),
          answer: ({ version }) => ({ status: 200, body: { status: 'ok' }, version }),
          async absent() {
            throw preconditionFailed();
          },
        }),
    }),
    route({
      method: 'get',
      path: '/kv',
      summary: 'Read one key (key), or list keys in order (prefix)',
      input: { query: kvQuery },
      conditional: true,
      cached: 'kv',
      replies: {
        200: {
          description: 'The pair and where it came from, or a page of pairs',
          schema: Joi.alternatives(foundReply, listReply),
        },
      },
      problems: { 404: 'There is no such key' },
      async handle({ query: { key, ...list } }) {
        if (key === undefined) {
          const found = await listPairs(deps.db, list);
          const { rows, next } = page(found, list.limit, (row) => [row.key]);
          return { status: 200, body: { data: rows }, next };
        }
        const { value: found, outcome } = await readPair(deps, key);
        if (!found) throw notFound('key', { 'X-Cache': outcome });
        const { version, ...data } = found;
        return { status: 200, body: { data, source: sourceOf(outcome) }, version, cache: outcome };
      },
    }),
    route({
      method: 'delete',
      path: '/kv',
      summary: 'Delete a key',
      input: { query: keyQuery },
      conditional: true,
      replies: {
        200: {
          description: 'Whether there was one',
          schema: deletedReply,
        },
      },
      write: ({ query: { key }, precondition }) =>
        oneStatement({
          changed: written(key),
          statement: deletePair(key, precondition),
          answer: () => ({ status: 200, body: { key, deleted: true } }),
          async absent() {
            if (precondition !== undefined) throw preconditionFailed();
            return { status: 200, body: { key, deleted: false } };
          },
        }),
    }),
    route({
      method: 'get',
      path: '/kv/stats',
      summary: 'Count the keys',
      replies: { 200: { description: 'How many there are', schema: statsReply } },
      async handle() {
        return { status: 200, body: { items: await countPairs(deps.db) } };
      },
    }),
  ]);
