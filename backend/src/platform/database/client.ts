import { Kysely, PostgresDialect, sql } from 'kysely';
import { Pool, types } from 'pg';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics/metrics.ts';
import { BatchingClient } from './batching-client.ts';
import type { Database } from './schema.ts';
import { createWire, type Wire } from './wire.ts';

/** Type numbers (oid) of pg_type. */
const INT8 = 20;
const TIMESTAMPTZ = 1184;

/**
 * timestamptz as text: a JavaScript Date would drop the microseconds, and a paging cursor made from it would
 * then skip or repeat rows of the same millisecond. Sessions run in UTC, so PostgreSQL's text ends in "+00".
 */
function parseTimestamp(text: string): string {
  return text.replace(' ', 'T').replace('+00', 'Z');
}

/** bigint as a number, which is exact up to 2^53: input and table checks let no larger one in, no counter gets that far. */
const PARSERS = new Map<number, (text: string) => string | number>([
  [INT8, Number],
  [TIMESTAMPTZ, parseTimestamp],
]);

export interface DatabaseOptions {
  readonly url: string;
  readonly poolMax: number;
  readonly applicationName: string;
  readonly logger: Logger;
  /** Shows the pool's state; absent: nobody asks for it. */
  readonly metrics?: Metrics;
  /** false: no time limits, for migrations, whatever the server or the role has. Default true. */
  readonly bounded?: boolean;
  /** How long a query waits for a connection, in milliseconds. */
  readonly connectionTimeout?: number;
}

const CONNECTION_TIMEOUT_MS = 2000;
/** In milliseconds. All are below Nginx's read timeout of 5 s, so the application gives up first and says why. */
const LIMITS = '-c statement_timeout=4000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=3000';
/** A managed PostgreSQL may give each role or database limits, which an index on a large table would not survive. */
const NO_LIMITS = '-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0';
/** A process that was stopped for longer than outcomes are kept must not send its statement when it wakes. (The pool closes idle ones sooner.) */
const IDLE_TIMEOUT_MS = 600_000;
/** The server's own timeout answers first; this one is for a server that is frozen or cut off. */
const QUERY_TIMEOUT_MS = 4500;

/** Of each database; a transaction or a connection has none. */
export const wires = new WeakMap<object, Wire>();

/** A pool of connections with a bound on every wait: for a connection 2 s (then 503, never a hang), for the rest LIMITS. */
export function createDatabase(options: DatabaseOptions): Kysely<Database> {
  const bounded = options.bounded ?? true;
  const pool = new Pool({
    Client: BatchingClient,
    pipeline: true,
    connectionString: options.url,
    max: options.poolMax,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectionTimeout ?? CONNECTION_TIMEOUT_MS,
    ...(bounded && { query_timeout: QUERY_TIMEOUT_MS }),
    keepAlive: true,
    // One space between them: PgBouncer refuses more.
    options: bounded
      ? `-c timezone=UTC ${LIMITS} -c idle_session_timeout=${IDLE_TIMEOUT_MS}`
      : `-c timezone=UTC ${NO_LIMITS}`,
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') => PARSERS.get(oid) ?? types.getTypeParser(oid, format),
    } as typeof types,
  });
  options.metrics?.watchPool(pool, options.poolMax);
  const onError = (error: Error) => options.logger.info({ err: error }, 'database connection lost');
  // pool.on('error') covers idle connections only; an error event on one in use would end the process.
  pool.on('error', onError);
  pool.on('connect', (client) => client.on('error', onError));
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  wires.set(db, createWire(pool));
  return db;
}

/** @throws when PostgreSQL does not answer */
export async function ping(db: Kysely<Database>): Promise<void> {
  await sql`select 1`.execute(db);
}
