import { STATUS_CODES } from 'node:http';
import { classifyDatabaseError, violatedConstraint } from '../database/errors.ts';

/** One thing that is wrong with the input: where it stands, and why. */
export interface InputError {
  readonly in: 'path' | 'query' | 'header' | 'body';
  /** "title", or "address.street" for nested fields; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

/** Seconds: what every 503 of the application says in Retry-After. */
export const RETRY_AFTER = '2';

/** An RFC 9457 problem. `detail` and `errors` go to the client: no SQL, no stack, no driver's message. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly errors: readonly InputError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    detail: string,
    options: { errors?: readonly InputError[]; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.status = status;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
  }

  toProblem(requestId: string): Record<string, unknown> {
    return {
      type: 'about:blank',
      title: STATUS_CODES[this.status] ?? 'Error',
      status: this.status,
      detail: this.message,
      request_id: requestId,
      ...(this.errors && { errors: this.errors }),
    };
  }
}

/**
 * For `.catch()` of a write: turns the violation of a named constraint into a 409 that says what is in the way.
 * @param reasons what to tell the client, by constraint
 */
export function conflicts(reasons: Readonly<Record<string, string>>) {
  return (error: unknown): never => {
    const reason = reasons[violatedConstraint(error) ?? ''];
    throw reason ? new HttpError(409, reason) : error;
  };
}

export const notFound = (what: string, headers?: Record<string, string>) =>
  new HttpError(404, `no such ${what}`, headers && { headers });

/** @param safe of a read, of which an unknown outcome does no harm */
export function toHttpError(error: unknown, safe = false): HttpError {
  if (error instanceof HttpError) return error;
  const cause = { cause: error };
  switch (classifyDatabaseError(error)) {
    case 'conflict':
      return new HttpError(409, 'this conflicts with what is stored already', cause);
    case 'invalid':
      return new HttpError(422, 'a value cannot be stored', cause);
    case 'unavailable':
      return new HttpError(503, 'the database is not available', cause);
    case 'unknown-outcome':
      // 503 promises that nothing happened, which nobody can know of a write whose connection broke.
      return safe
        ? new HttpError(503, 'the database is not available', cause)
        : new HttpError(504, 'the database was lost during the write: it may or may not have happened', cause);
  }
  // Errors of Express itself (a path that cannot be decoded) carry the status they ask for.
  const status = Error.isError(error) && 'status' in error ? Number(error.status) : 500;
  if (status >= 400 && status < 500) return new HttpError(status, 'malformed request', cause);
  return new HttpError(500, 'unexpected error', cause);
}
