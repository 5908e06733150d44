import type { Kysely } from 'kysely';
import type { Database } from '../database/schema.ts';
import { settleName } from '../database/write-outcomes.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { keysOf, type ScriptedRedis } from './scripts.ts';

/** Longer than a write waits for a connection (2 s) and takes (4 s): settled sooner, one that waits for a row's lock would be refused. */
const PATIENCE_MS = 6_500;
/** Until one that could not be settled is tried again. */
const RETRY_MS = 1_000;
/** Markers remembered; the oldest are forgotten, which only delays their end. */
const MAX_REMEMBERED = 1_000;

export interface ResolverDeps {
  readonly redis: ScriptedRedis;
  readonly control: Kysely<Database>;
  readonly metrics: Metrics;
  /** Whether this is still the memory that the marker was met in. */
  readonly isCurrent: (ns: string) => boolean;
  readonly patience?: number | undefined;
}

/**
 * Ends the markers of writers that died, or whose END was lost. A marker is the name of a write, and its outcome is kept under that
 * name: once somebody has kept "refused" there, the write can never happen, wherever it hangs. So no timer has to be right.
 */
export function createResolver({ redis, control, metrics, isCurrent, patience = PATIENCE_MS }: ResolverDeps) {
  /** Marker -> when it is due to be settled. */
  const due = new Map<string, number>();

  async function resolve(ns: string, key: string, name: string): Promise<void> {
    try {
      await settleName(control, name);
      metrics.cacheMarkers.inc({ outcome: 'over' });
      if (!isCurrent(ns)) return;
      await redis.srem(key, name);
      due.delete(`${key} ${name}`);
    } catch {
      metrics.cacheMarkers.inc({ outcome: 'failed' });
    }
  }

  /** Told of every marker that a reader met. */
  return function met(ns: string, tag: string, names: readonly string[]): void {
    const [, , key] = keysOf(ns, tag);
    const now = performance.now();
    for (const name of names) {
      const marker = `${key} ${name}`;
      const at = due.get(marker);
      if (at === undefined) {
        if (due.size >= MAX_REMEMBERED) due.delete(due.keys().next().value as string);
        due.set(marker, now + patience);
      } else if (now >= at) {
        due.set(marker, now + RETRY_MS);
        void resolve(ns, key, name);
      }
    }
  };
}
