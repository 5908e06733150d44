import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { UNMATCHED } from '../metrics/metrics.ts';
import { type Handler, setHeaders } from './handler.ts';

/** What Nginx sends is 32 hex digits; anything else comes from someone at the debug port. */
const REQUEST_ID = /^[\w-]{1,64}$/;

/**
 * Gives the request its id and writes one line when it is over, however it ends. (pino-http would do it too, at 159 µs
 * of CPU a request: several times the rest of the request.)
 */
export function requestLog(logger: Logger, instance: string): Handler {
  return (request, response, next) => {
    const started = performance.now();
    const claimed = request.headers['x-request-id'];
    const requestId = typeof claimed === 'string' && REQUEST_ID.test(claimed) ? claimed : randomUUID();
    response.locals.requestId = requestId;
    setHeaders(response, {
      'X-Request-ID': requestId,
      'X-Served-By': instance,
      // Answers are the caller's own, and fresh: a cache in front would break every promise about them.
      'Cache-Control': 'private, no-cache',
      'X-Content-Type-Options': 'nosniff',
    });
    response.once('close', () => {
      logger.info({
        request_id: requestId,
        method: request.method,
        route: response.locals.route ?? UNMATCHED,
        status: response.statusCode,
        // false: the client went away before it had the answer
        finished: response.writableFinished,
        ms: Math.round((performance.now() - started) * 100) / 100,
      });
    });
    next();
  };
}
