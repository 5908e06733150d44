import type { Logger } from 'pino';
import { classifyDatabaseError } from '../database/errors.ts';
import { type Metrics, UNMATCHED } from '../metrics/metrics.ts';
import { HttpError, RETRY_AFTER, toHttpError } from './errors.ts';
import { type ErrorHandler, type Handler, sendText, setHeaders } from './handler.ts';

/** The one place where an error becomes a response. */
export function errorHandler(logger: Logger, metrics: Metrics): ErrorHandler {
  return (error, request, response, next) => {
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
    response.statusCode = problem.status;
    setHeaders(response, problem.headers);
    if (problem.status === 503) response.setHeader('Retry-After', RETRY_AFTER);
    sendText(response, 'application/problem+json; charset=utf-8', JSON.stringify(problem.toProblem(requestId)));
  };
}

export const unknownRoute: Handler = () => {
  throw new HttpError(404, 'no such route');
};

const isSafe = (method: string) => method === 'GET' || method === 'HEAD';

/** The most telling word for an error that comes from a bounded set: never its message. */
function typeOf(error: unknown): string {
  if (!Error.isError(error)) return typeof error;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return classifyDatabaseError(error) ?? error.name;
}
