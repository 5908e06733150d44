import { type Kysely, sql } from 'kysely';
import { DatabaseError } from 'pg';
import type { Database } from '../database/schema.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { keysOf, type ScriptedRedis } from './scripts.ts';

/** A write is over sooner, as a rule; asking for it would be wasted. */
const PATIENCE_MS = 250;
/** Markers remembered; the oldest are forgotten, which only delays their end. */
const MAX_REMEMBERED = 1_000;
/** SQLSTATE of "transaction ID is in the future": PostgreSQL has crashed since, and the transaction with it. */
const IN_THE_FUTURE = '22023';

export interface ResolverDeps {
  readonly redis: ScriptedRedis;
  readonly control: Kysely<Database>;
  readonly metrics: Metrics;
  readonly namespace: () => string | undefined;
}

/**
 * Ends the markers of writers that died, or whose END was lost. PostgreSQL says whether the transaction is over, so no
 * timer has to be right: a paused writer keeps its marker however long it is paused.
 */
export function createResolver({ redis, control, metrics, namespace }: ResolverDeps) {
  /** Marker -> when it was first seen here, or last asked for. */
  const seen = new Map<string, number>();

  async function isOver(xid: string): Promise<boolean> {
    try {
      const { rows } = await sql<{ status: string | null }>`select pg_xact_status(${xid}::xid8) as status`.execute(
        control,
      );
      return rows[0]?.status !== 'in progress'; // null: so old that PostgreSQL has forgotten it
    } catch (error) {
      if (error instanceof DatabaseError && error.code === IN_THE_FUTURE) return true;
      throw error;
    }
  }

  async function resolve(ns: string, key: string, token: string): Promise<void> {
    try {
      const over = await isOver(token.split(':', 1)[0] as string);
      metrics.cacheMarkers.inc({ outcome: over ? 'over' : 'in_progress' });
      if (!over || namespace() !== ns) return;
      await redis.srem(key, token);
      seen.delete(`${key} ${token}`);
    } catch {
      metrics.cacheMarkers.inc({ outcome: 'failed' });
    }
  }

  /** Told of every marker that a reader met. */
  return function met(ns: string, tag: string, tokens: readonly string[]): void {
    const [, , key] = keysOf(ns, tag);
    const now = performance.now();
    for (const token of tokens) {
      const name = `${key} ${token}`;
      const since = seen.get(name);
      if (since !== undefined && now - since <= PATIENCE_MS) continue;
      if (since !== undefined) void resolve(ns, key, token);
      else if (seen.size >= MAX_REMEMBERED) seen.delete(seen.keys().next().value as string);
      seen.set(name, now);
    }
  };
}
