import type { ErrorRequestHandler, RequestHandler } from 'express';
import type { Logger } from 'pino';
import { classifyDatabaseError } from '../database/errors.ts';
import { type Metrics, UNMATCHED } from '../metrics/metrics.ts';
import { HttpError, RETRY_AFTER } from './errors.ts';

/** The one place where an error becomes a response. */
export function errorHandler(logger: Logger, metrics: Metrics): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    const problem = toHttpError(error, isSafe(request.method));
    const requestId = response.locals.requestId as string;
    if (problem.status >= 500) {
      metrics.countException(request.method, response.locals.route ?? UNMATCHED, typeOf(problem.cause ?? problem));
    }
    // An HttpError that a handler threw says all there is to say; what caused one, or a bug, needs its stack.
    if (problem.status >= 500 && problem.cause) {
      const log = { err: problem.cause, request_id: requestId, route: response.locals.route };
      // A dependency that is away is told by /health and the metrics; only a bug needs someone to act.
      if (problem.status === 500) logger.error(log, 'unexpected error');
      else logger.warn(log, problem.message);
    }
    response.locals.problem = problem; // for the route's observer
    if (response.headersSent) return next(error);
    response.status(problem.status).set(problem.headers);
    if (problem.status === 503) response.set('Retry-After', RETRY_AFTER);
    response.type('application/problem+json').send(JSON.stringify(problem.toProblem(requestId)));
  };
}

export const unknownRoute: RequestHandler = () => {
  throw new HttpError(404, 'no such route');
};

const isSafe = (method: string) => method === 'GET' || method === 'HEAD';

/** The most telling word for an error that comes from a bounded set: never its message. */
function typeOf(error: unknown): string {
  if (!Error.isError(error)) return typeof error;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return classifyDatabaseError(error) ?? error.name;
}

function toHttpError(error: unknown, safe: boolean): HttpError {
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
