import type { RequestHandler } from 'express';
import promBundle from 'express-prom-bundle';
import { Counter, collectDefaultMetrics, Registry } from 'prom-client';

/** The label of every path that no route declares: one series, however many paths a scanner tries. */
export const UNMATCHED = 'unmatched';

export interface Metrics {
  readonly registry: Registry;
  /** Times every request, labelled with its route template. */
  readonly middleware: RequestHandler;
  readonly cacheReads: Counter<'cache' | 'outcome'>;
  readonly cacheFills: Counter<'cache' | 'outcome'>;
  readonly cacheErrors: Counter<'operation'>;
}

/** One registry per app, never the global one: two apps in one process (as in the tests) must not share their counts. */
export function createMetrics(instance: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ instance });
  collectDefaultMetrics({ register: registry });
  const middleware = promBundle({
    promRegistry: registry,
    autoregister: false, // /metrics is a route of the debug port, not of every app
    includeUp: false,
    includeMethod: true,
    includePath: true,
    normalizePath: (request) => request.res?.locals.route ?? UNMATCHED,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  });
  const registers = [registry];
  return {
    registry,
    middleware,
    cacheReads: new Counter({
      name: 'cache_reads_total',
      help: 'Reads that can come from the cache, by outcome: hit, miss (loaded and filled) or bypass (loaded only)',
      labelNames: ['cache', 'outcome'],
      registers,
    }),
    cacheFills: new Counter({
      name: 'cache_fills_total',
      help: 'Answers given to the cache after a miss: stored, or refused because a write came between',
      labelNames: ['cache', 'outcome'],
      registers,
    }),
    cacheErrors: new Counter({
      name: 'cache_errors_total',
      help: 'Redis commands that failed or timed out',
      labelNames: ['operation'],
      registers,
    }),
  };
}
