import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresDialect,
  type PostgresDialectConfig,
  PostgresDriver,
  sql,
  type Transaction,
  type TransactionSettings,
} from 'kysely';
import { Pool, types } from 'pg';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics/metrics.ts';
import { BatchingClient, XID } from './batching-client.ts';
import type { Database } from './schema.ts';

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
  /** Nothing is written but in a transaction: a statement that bypasses one fails. */
  readonly writesInTransactions?: boolean;
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
const READ_ONLY = '-c default_transaction_read_only=on';
/** The server's own timeout answers first; this one is for a server that is frozen or cut off. */
const QUERY_TIMEOUT_MS = 4500;

/**
 * Does not wait for the answer to BEGIN, which then goes with the first statement; if BEGIN fails, PostgreSQL skips that
 * (batching-client.ts). If that comes later, it runs outside of a transaction, where nothing can be written
 * (`writesInTransactions`).
 */
class EagerDriver extends PostgresDriver {
  #begun = new WeakMap<DatabaseConnection, Promise<void>>();

  override async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const begun = super.beginTransaction(connection, { ...settings, accessMode: 'read write' });
    begun.catch(() => {}); // thrown by whatever comes next
    this.#begun.set(connection, begun);
  }

  override async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#begun.get(connection);
    await super.commitTransaction(connection);
  }
}

class EagerDialect extends PostgresDialect {
  readonly #config: PostgresDialectConfig;
  constructor(config: PostgresDialectConfig) {
    super(config);
    this.#config = config;
  }
  override createDriver(): Driver {
    return new EagerDriver(this.#config);
  }
}

/**
 * The number of a transaction (xid8), which PostgreSQL therefore knows as running. It costs no round trip: it is asked for
 * with BEGIN. (Kysely would send the first statement only after its answer.)
 */
export async function xidOf(trx: Transaction<Database>): Promise<string> {
  const { rows } = await trx.executeQuery<{ xid: string }>(CompiledQuery.raw(XID));
  return (rows[0] as { xid: string }).xid;
}

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
    options: ['-c timezone=UTC', bounded ? LIMITS : NO_LIMITS, options.writesInTransactions && READ_ONLY]
      .filter(Boolean)
      .join(' '),
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') => PARSERS.get(oid) ?? types.getTypeParser(oid, format),
    } as typeof types,
  });
  options.metrics?.watchPool(pool, options.poolMax);
  const onError = (error: Error) => options.logger.info({ err: error }, 'database connection lost');
  // pool.on('error') covers idle connections only; an error event on one in use would end the process.
  pool.on('error', onError);
  pool.on('connect', (client) => client.on('error', onError));
  return new Kysely<Database>({ dialect: new EagerDialect({ pool }) });
}

/** @throws when PostgreSQL does not answer */
export async function ping(db: Kysely<Database>): Promise<void> {
  await sql`select 1`.execute(db);
}
