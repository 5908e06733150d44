/**
 * What most stacks do, behind the interface of ours, for the suite to catch: SET after a miss, DEL after COMMIT. The variant
 * "cache-aside" puts it in the place of coherent-cache.ts.
 */

import { type Cache, withoutXid } from '../../src/platform/cache/cache.ts';
import type { CacheDeps } from '../../src/platform/cache/coherent-cache.ts';
import type { AnnouncedTransaction } from '../../src/platform/database/announced.ts';

export function createCache({ redis, metrics }: CacheDeps): Cache {
  const keyOf = (tag: string) => `c:v:${tag}`;
  return {
    async start() {},
    async read(tag, load, field = '.') {
      const stored = await redis.hget(keyOf(tag), field).catch(() => null);
      if (stored) return { value: JSON.parse(stored), outcome: 'HIT' };
      const value = await load();
      redis
        .hset(keyOf(tag), field, JSON.stringify(value))
        .then(() => metrics.cacheFills.inc({ cache: tag.split(':', 1)[0] as string, outcome: 'stored' }))
        .catch(() => {});
      return { value, outcome: 'MISS' };
    },
    async write(db, written, work) {
      const row = await db.transaction().execute((trx) => work(trx as AnnouncedTransaction));
      if (row) await redis.del(written(row).map(keyOf)).catch(() => {});
      return withoutXid(row);
    },
    async clear() {
      await redis.flushdb();
    },
  };
}
