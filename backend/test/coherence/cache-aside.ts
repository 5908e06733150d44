/**
 * What most stacks do, behind the interface of ours, for the suite to catch: SET after a miss, DEL after COMMIT. The variant
 * "cache-aside" puts it in the place of coherent-cache.ts.
 */

import type { Cache } from '../../src/platform/cache/cache.ts';
import type { CacheDeps } from '../../src/platform/cache/coherent-cache.ts';
import { UNCACHED } from '../../src/platform/database/write-outcomes.ts';

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
    async write(_name, attempt, settle) {
      let changed: readonly string[] = [];
      const value = await attempt(async (tags) => {
        changed = tags;
        return { epoch: UNCACHED };
      }).catch(settle);
      if (changed.length > 0) await redis.del(changed.map(keyOf)).catch(() => {});
      return value;
    },
    async clear() {
      await redis.flushdb();
    },
  };
}
