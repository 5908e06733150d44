import { DatabaseError } from 'pg';

/**
 * What a database error means to the caller.
 * - `conflict`: a unique or foreign key rule; nothing was written.
 * - `invalid`: a value that PostgreSQL cannot store, or a check; nothing was written.
 * - `unavailable`: no connection, or PostgreSQL gave up before doing anything; nothing was written.
 * - `unknown-outcome`: the connection broke while a statement was under way; a write may or may not have happened.
 * - `bug`: anything else.
 */
export type DatabaseFailure = 'conflict' | 'invalid' | 'unavailable' | 'unknown-outcome' | 'bug';

/** SQLSTATE → meaning: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const BY_CODE: Record<string, DatabaseFailure> = {
  '23503': 'conflict', // foreign_key_violation
  '23505': 'conflict', // unique_violation
  '23502': 'invalid', // not_null_violation
  '23514': 'invalid', // check_violation
  '40001': 'unavailable', // serialization_failure
  '40P01': 'unavailable', // deadlock_detected
  '53300': 'unavailable', // too_many_connections
  '55P03': 'unavailable', // lock_not_available: lock_timeout
  '57014': 'unavailable', // query_canceled: statement_timeout
  '57P03': 'unavailable', // cannot_connect_now: starting or stopping
  '57P05': 'unavailable', // idle_session_timeout: the session had ended before the statement came
  '57P01': 'unknown-outcome', // admin_shutdown while a statement ran
  '57P02': 'unknown-outcome', // crash_shutdown
  '25P03': 'unknown-outcome', // idle_in_transaction_session_timeout
};
const BY_CLASS: Record<string, DatabaseFailure> = {
  '22': 'invalid', // data exception
  '28': 'unavailable', // invalid authorization: not let in, as while a password is rotated
  '53': 'unavailable', // insufficient resources
  '08': 'unknown-outcome', // connection exception
};
/** Errors of the socket before a connection stands; node-postgres gives its own only as text. */
const NOT_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOENT)$|timeout exceeded when trying to connect|Connection terminated due to connection timeout|Cannot use a pool after calling end/;
const CONNECTION_LOST =
  /^(ECONNRESET|EPIPE)$|Connection terminated|Client has encountered a connection error|Query read timeout|not queryable/;

/** The rule of the schema that a write broke, by name ("users_email_key"); undefined for every other error. */
export function violatedConstraint(error: unknown): string | undefined {
  return error instanceof DatabaseError && error.code?.startsWith('23') ? error.constraint : undefined;
}

/** Whether PostgreSQL has not answered yet, as during its start: other than a refusal, it may go away by itself. */
export function isNotUp(error: unknown): boolean {
  const refused = error instanceof DatabaseError && error.code !== '57P03';
  return !refused && classifyDatabaseError(error) === 'unavailable';
}

/** Sorts an error of pg or its pool; undefined when it is not one. */
export function classifyDatabaseError(error: unknown): DatabaseFailure | undefined {
  if (error instanceof DatabaseError) {
    const code = error.code ?? '';
    return BY_CODE[code] ?? BY_CLASS[code.slice(0, 2)] ?? 'bug';
  }
  if (!Error.isError(error)) return undefined;
  // Several addresses were tried (localhost is ::1 and 127.0.0.1): the reasons are inside.
  if (error instanceof AggregateError && error.errors.length > 0) return classifyDatabaseError(error.errors[0]);
  const code = 'code' in error ? String(error.code) : '';
  if (NOT_CONNECTED.test(code) || NOT_CONNECTED.test(error.message)) return 'unavailable';
  if (CONNECTION_LOST.test(code) || CONNECTION_LOST.test(error.message)) return 'unknown-outcome';
  return undefined;
}
