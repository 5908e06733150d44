import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { Cache } from './cache/cache.ts';
import type { RedisClient } from './cache/redis.ts';
import type { Database } from './database/schema.ts';
import type { Metrics } from './metrics/metrics.ts';

/** What every feature may use. Made in server.ts (or by a test), handed down by app.ts, never imported as a global. */
export interface Deps {
  readonly db: Kysely<Database>;
  /** Connections of the platform's own, for what must not wait behind the requests. */
  readonly control: Kysely<Database>;
  readonly cache: Cache;
  /** null: this replica runs without Redis. */
  readonly redis: RedisClient | null;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** The name that /ping, X-Served-By, the logs and the metrics show. */
  readonly instance: string;
}
