import type { Deps } from '../../platform/deps.ts';
import { route, routes } from '../../platform/http/route.ts';
import { CLEARED, clearReply, statsReply } from './cache-admin.schemas.ts';
import { readStats } from './cache-admin.service.ts';

export const cacheAdminRoutes = (deps: Deps) =>
  routes('Cache', [
    route({
      method: 'get',
      path: '/cache/stats',
      summary: 'What Redis counts, and what this replica counts of its own caches',
      replies: { 200: { description: 'The counts', schema: statsReply } },
      handle: async () => ({ status: 200, body: await readStats(deps) }),
    }),
    route({
      method: 'post',
      path: '/cache/clear',
      summary: 'Drop every cached answer of this API, and nothing else that Redis holds',
      admin: true,
      replies: { 200: { description: 'They are gone', schema: clearReply } },
      async handle() {
        await deps.cache.clear();
        return { status: 200, body: { message: CLEARED } };
      },
    }),
  ]);
