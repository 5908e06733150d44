import promBundle from 'express-prom-bundle';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Handler } from '../http/handler.ts';
import { VERSION } from '../version.ts';

/** The label of every path that no route declares: one series, however many paths a scanner tries. */
export const UNMATCHED = 'unmatched';
/** Node accepts some 30 methods; of those that no route knows one series is enough. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const OTHER_METHOD = '_OTHER';
/** Statuses that a route may answer at any time, and that the error ratio is made of. */
const FAILURES = [500, 503, 504];
/** The values of the cache's labels. */
const CACHE = {
  operations: ['read', 'fill', 'begin', 'end', 'clear', 'gate'],
  reads: ['hit', 'miss', 'bypass'],
  bypasses: ['pending', 'busy', 'closed', 'gate', 'disconnected', 'breaker', 'error'],
  fills: ['stored', 'refused', 'too_large', 'failed'],
  writes: ['announced', 'passed', 'refused'],
  markers: ['over', 'failed'],
} as const;

export interface Metrics {
  readonly registry: Registry;
  /** Counts and times every request, labelled with its route template. */
  readonly middleware: Handler;
  /** Tells which routes and caches there are, so that each has its series before its first event (see createMetrics). */
  declare(routes: readonly { readonly method: string; readonly template: string; readonly cached?: string }[]): void;
  /** A request has found its route; the middleware notices when it is over. */
  begin(method: string, path: string): void;
  /** A request ends with a 5xx because of an error of this type: a code or a class's name, never a message. */
  countException(method: string, path: string, type: string): void;
  /** Shows what a pool of connections is doing whenever somebody asks. */
  watchPool(pool: { totalCount: number; idleCount: number; waitingCount: number }, max: number): void;
  /** Shows whether this replica may use the cache. */
  watchGate(read: () => 0 | 1): void;
  /** Writes that were answered with what came of them the first time. */
  readonly writeReplays: Counter<'scope'>;
  readonly writesUnsettled: Counter;
  readonly writeOutcomesExpired: Counter;
  /** Set by whoever deletes them. */
  readonly oldestWriteOutcome: Gauge;
  readonly cacheReads: Counter<'cache' | 'outcome'>;
  readonly cacheBypasses: Counter<'cache' | 'reason'>;
  readonly cacheCoalesced: Counter<'cache'>;
  readonly cacheFills: Counter<'cache' | 'outcome'>;
  readonly cacheWrites: Counter<'outcome'>;
  readonly cacheMarkers: Counter<'outcome'>;
  readonly cacheOpenings: Counter;
  readonly cacheErrors: Counter<'operation'>;
  readonly cacheCommands: Histogram<'operation'>;
}

/**
 * One registry per app, never the global one: two apps in one process (as in the tests) must not share their counts.
 *
 * A series that appears with its first event is born at 1, and Prometheus sees no increase in it: the first errors of an
 * outage would be missing. So whatever an alert or a comparison rests on is there from the start, at 0.
 */
export function createMetrics(instance: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ instance });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  new Gauge({
    name: 'tandem_build_info',
    help: 'Always 1; the labels say what runs',
    labelNames: ['version', 'node_version'],
    registers,
  }).set({ version: VERSION, node_version: process.version }, 1);

  const requests = new Counter({
    name: 'http_requests_total',
    help: 'Requests that are over. Status 499: the client went away before it had the answer',
    labelNames: ['method', 'path', 'status_code'],
    registers,
  });
  const inProgress = new Gauge({
    name: 'http_requests_in_progress',
    help: 'Requests that have found their route and are not over',
    labelNames: ['method', 'path'],
    registers,
  });
  const exceptions = new Counter({
    name: 'http_exceptions_total',
    help: 'Errors that ended a request with a 5xx, by error code (of PostgreSQL, Node) or else by kind',
    labelNames: ['method', 'path', 'exception_type'],
    registers,
  });
  const middleware = promBundle({
    promRegistry: registry,
    autoregister: false, // /metrics is a route of the debug port, not of every app
    includeUp: false,
    includeMethod: true,
    includePath: true,
    normalizePath: (request) => request.res?.locals.route ?? UNMATCHED,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    // Called once, when the request is over: the same labels serve the counter, and no second listener is needed.
    transformLabels(labels, request, response) {
      labels.method = methodLabel(request.method);
      requests.inc(labels);
      if (response.locals.route) inProgress.dec({ method: labels.method, path: response.locals.route });
    },
  });

  const { declareCache, ...cache } = createCacheMetrics(registry);

  return {
    registry,
    middleware: middleware as unknown as Handler,
    declare(routes) {
      for (const { method, template, cached } of routes) {
        if (cached) declareCache(cached);
        for (const status_code of FAILURES) {
          requests.inc({ method: method.toUpperCase(), path: template, status_code }, 0);
        }
      }
    },
    begin: (method, path) => inProgress.inc({ method: methodLabel(method), path }),
    countException: (method, path, exception_type) =>
      exceptions.inc({ method: methodLabel(method), path, exception_type }),
    watchPool(pool, max) {
      const gauge = (name: string, help: string, read: () => number) =>
        new Gauge({
          name: `db_pool_${name}`,
          help,
          registers,
          collect() {
            this.set(read());
          },
        });
      gauge('max', 'Connections to PostgreSQL that this replica may open', () => max);
      gauge('size', 'Connections that are open', () => pool.totalCount);
      gauge('idle', 'Connections that are open and not in use', () => pool.idleCount);
      gauge('waiting', 'Queries that wait for a connection', () => pool.waitingCount);
    },
    watchGate(read) {
      new Gauge({
        name: 'cache_gate_open',
        help: 'Whether this replica may use the cache: 1, or 0 when writes go on without it or PostgreSQL does not answer',
        registers,
        collect() {
          this.set(read());
        },
      });
    },
    ...createWriteMetrics(registry),
    ...cache,
  };
}

function createWriteMetrics(registry: Registry) {
  const registers = [registry];
  const writeReplays = new Counter({
    name: 'write_replays_total',
    help: 'Writes that came again and were answered as the first time, by who repeated them: attempt (Nginx) or client',
    labelNames: ['scope'],
    registers,
  });
  for (const scope of ['attempt', 'client']) writeReplays.inc({ scope }, 0);
  return {
    writeReplays,
    writesUnsettled: new Counter({
      name: 'writes_unsettled_total',
      help: 'Writes that failed, and nobody could make sure that they will not happen: answered 504',
      registers,
    }),
    writeOutcomesExpired: new Counter({
      name: 'write_outcomes_expired_total',
      help: 'Outcomes of writes that were kept for 24 hours and deleted by this replica',
      registers,
    }),
    oldestWriteOutcome: new Gauge({
      name: 'write_outcomes_oldest_age_seconds',
      help: 'Age of the oldest outcome of a write that is kept; above 24 hours, they are not deleted',
      registers,
    }),
  };
}

function createCacheMetrics(registry: Registry) {
  const registers = [registry];
  const counter = <const L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name: `cache_${name}_total`, help, labelNames: [...labelNames], registers });
  const cacheErrors = counter('errors', 'Commands to Redis that failed or timed out', ['operation']);
  const cacheMarkers = counter(
    'marker_resolutions',
    'Markers of writes that were settled by a reader, by whether that worked: over (and removed), failed',
    ['outcome'],
  );
  const cacheWrites = counter(
    'writes',
    'Writes of cached data: announced to Redis, passed without it (gate closed), or refused with 503',
    ['outcome'],
  );
  const cacheReads = counter(
    'reads',
    'Reads that can come from the cache, by outcome: hit, miss (loaded and filled) or bypass (loaded only)',
    ['cache', 'outcome'],
  );
  const cacheBypasses = counter(
    'bypasses',
    'Reads that went past the cache, by reason: pending (a write is under way), busy (another reader fills, or has not for up to 5 s), closed (the memory is new), gate, disconnected, breaker (Redis is skipped for a moment), error',
    ['cache', 'reason'],
  );
  const cacheCoalesced = counter('coalesced_loads', 'Reads that shared the load of another request', ['cache']);
  const cacheFills = counter(
    'fills',
    'Answers given to the cache after a miss: stored, refused because a write, a clearing or 5 s came between, too_large, or failed',
    ['cache', 'outcome'],
  );
  for (const operation of CACHE.operations) cacheErrors.inc({ operation }, 0);
  for (const outcome of CACHE.markers) cacheMarkers.inc({ outcome }, 0);
  for (const outcome of CACHE.writes) cacheWrites.inc({ outcome }, 0);
  return {
    declareCache(cache: string) {
      for (const outcome of CACHE.reads) cacheReads.inc({ cache, outcome }, 0);
      for (const reason of CACHE.bypasses) cacheBypasses.inc({ cache, reason }, 0);
      for (const outcome of CACHE.fills) cacheFills.inc({ cache, outcome }, 0);
      cacheCoalesced.inc({ cache }, 0);
    },
    cacheReads,
    cacheBypasses,
    cacheCoalesced,
    cacheFills,
    cacheWrites,
    cacheMarkers,
    cacheOpenings: counter('openings', 'Times that this replica found an empty Redis safe to use', []),
    cacheErrors,
    cacheCommands: new Histogram({
      name: 'cache_command_duration_seconds',
      help: 'Duration of the commands to Redis, as the replica sees them',
      labelNames: ['operation'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25],
      registers,
    }),
  };
}

const methodLabel = (method: string) => (METHODS.has(method) ? method : OTHER_METHOD);
