import { noRedis } from '../../platform/cache/cache.ts';
import { infoLine } from '../../platform/cache/namespace.ts';
import type { Deps } from '../../platform/deps.ts';
import { HttpError } from '../../platform/http/errors.ts';
import type { CacheCounts } from './cache-admin.schemas.ts';

/** The lines of INFO that the answer shows; all but one are numbers. */
const NUMBERS = ['connected_clients', 'total_commands_processed', 'keyspace_hits', 'keyspace_misses'] as const;

/** @throws HttpError 503 when there is no Redis, or it does not answer */
export async function readStats({ redis, metrics, instance }: Deps) {
  if (!redis) throw noRedis();
  const info = await redis.info('clients', 'memory', 'stats').catch((cause: unknown) => {
    throw new HttpError(503, 'the cache does not answer', { cause });
  });
  const read = (name: string) => infoLine(info, name) ?? '';
  return {
    ...Object.fromEntries(NUMBERS.map((name) => [name, Number(read(name))])),
    used_memory_human: read('used_memory_human'),
    instance,
    caches: await countsOf(metrics),
  };
}

/** What this replica has counted since it started, by cache. */
async function countsOf(metrics: Deps['metrics']): Promise<Record<string, CacheCounts>> {
  const caches: Record<string, CacheCounts> = {};
  const add = (cache: string | number | undefined, field: keyof CacheCounts, value: number) => {
    const counts = caches[`${cache}`] ?? { hits: 0, misses: 0, bypasses: 0, fills_refused: 0 };
    caches[`${cache}`] = { ...counts, [field]: counts[field] + value };
  };
  const FIELDS = { hit: 'hits', miss: 'misses', bypass: 'bypasses' } as const;
  for (const { labels, value } of (await metrics.cacheReads.get()).values) {
    add(labels.cache, FIELDS[labels.outcome as keyof typeof FIELDS], value);
  }
  for (const { labels, value } of (await metrics.cacheFills.get()).values) {
    if (labels.outcome === 'refused') add(labels.cache, 'fills_refused', value);
  }
  return caches;
}
