import { STATUS_CODES } from 'node:http';
import { violatedConstraint } from '../database/errors.ts';

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
