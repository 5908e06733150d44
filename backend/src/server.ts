/** The process: configuration, clients, app, listeners, signals. The only file with side effects, besides migrate.ts. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApps } from './app.ts';
import { loadConfig } from './config.ts';
import { noCache } from './platform/cache/cache.ts';
import { createCache } from './platform/cache/coherent-cache.ts';
import { createGate } from './platform/cache/gate.ts';
import { createRedis } from './platform/cache/redis.ts';
import { createDatabase } from './platform/database/client.ts';
import { isMigrated } from './platform/database/migrate.ts';
import type { Deps } from './platform/deps.ts';
import { answerClientError } from './platform/http/client-error.ts';
import { close, runPhases } from './platform/http/shutdown.ts';
import { expireOutcomes } from './platform/http/write.ts';
import type { Lifecycle } from './platform/lifecycle.ts';
import { createLogger } from './platform/logger.ts';
import { createMetrics } from './platform/metrics/metrics.ts';

/** Longer than Nginx keeps an idle connection (60 s): else the replica closes one just as Nginx sends a request on it. */
const KEEP_ALIVE_MS = 75_000;
/** More than Nginx lets through (4 x 8 KiB) with what it adds: it should refuse, in one way, for all replicas. */
const MAX_HEADER_BYTES = 64 * 1024;

const CONTROL_CONNECTIONS = 2;

const config = loadConfig(process.env);
const instance = config.INSTANCE_NAME;
const logger = createLogger(instance, config.LOG_LEVEL);
// Nobody knows what state the process is in after an error that nobody caught: say it and let the supervisor restart it.
process.on('uncaughtException', (error) => {
  logger.fatal(error, 'uncaught error');
  process.exit(1);
});
const metrics = createMetrics(instance);
const db = createDatabase({
  url: config.DATABASE_URL,
  poolMax: config.DATABASE_POOL_MAX,
  applicationName: instance,
  logger,
  metrics,
});
const redis = config.REDIS_URL ? createRedis(config.REDIS_URL, instance, logger) : null;
// Connections of the cache's own: its questions to PostgreSQL must not wait behind the requests'.
const control = createDatabase({
  url: config.DATABASE_URL,
  poolMax: CONTROL_CONNECTIONS,
  applicationName: instance,
  logger,
});
const gate = redis && createGate({ redis, control, instance, metrics, logger });
const cache = redis && gate ? createCache({ redis, control, gate, metrics }) : noCache;
const deps: Deps = { db, control, cache, redis, metrics, logger, instance };
const lifecycle: Lifecycle = { phase: 'starting' };
const apps = createApps(deps, lifecycle, {
  adminToken: config.ADMIN_TOKEN,
  faults: config.FAULTS === 'on',
  traced: Boolean(config.OTEL_EXPORTER_OTLP_ENDPOINT),
});

function listen(app: RequestListener, port: number, host: string): Promise<Server> {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: MAX_HEADER_BYTES }, app);
  server.on('clientError', answerClientError);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(server));
  });
}

async function waitUntilMigrated(): Promise<void> {
  for (let announced = false; ; announced = true) {
    try {
      if (await isMigrated(db)) return;
      if (!announced) logger.warn('waiting for the migrations, which ./start.sh and npm run dev apply when they start');
    } catch (err) {
      if (!announced) logger.info({ err }, 'waiting for the database');
    }
    await sleep(500);
  }
}

let traffic: Server | undefined;
let debug: Server | undefined;
let expiry: ReturnType<typeof expireOutcomes> | undefined;

async function stop(signal: string): Promise<void> {
  if (lifecycle.phase === 'draining') return;
  if (lifecycle.phase === 'starting') process.exit(0); // nobody has been promised anything yet
  lifecycle.phase = 'draining';
  logger.info({ signal }, 'draining');
  await runPhases(
    [
      // Goes on serving while every answer asks to close its connection (app.ts): Nginx's idle connections are used up then,
      // not cut under a request.
      { name: 'drain', deadlineMs: 2_000, run: () => sleep(1_000) },
      // Longer than Nginx waits for an answer (5 s); whoever is left then is cut off.
      { name: 'traffic', deadlineMs: 10_000, run: async () => traffic && close(traffic) },
      {
        name: 'background',
        deadlineMs: 1_000,
        run: async () => {
          traffic?.closeAllConnections();
          gate?.stop();
          expiry?.stop();
        },
      },
      // The debug port is the last to go: until now it could be asked what goes on.
      { name: 'debug port', deadlineMs: 1_000, run: async () => debug?.close().closeAllConnections() },
      {
        name: 'connections',
        deadlineMs: 3_000,
        run: () => Promise.allSettled([db.destroy(), control.destroy(), redis?.quit()]),
      },
      { name: 'traces', deadlineMs: 2_000, run: stopTracing },
    ],
    logger,
  );
  logger.info('stopped');
  process.exit(0);
}
async function stopTracing(): Promise<void> {
  if (config.OTEL_EXPORTER_OTLP_ENDPOINT) await (await import('./platform/tracing/tracing.ts')).stopTracing();
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

// The debug port answers from the first moment to the last. The traffic port opens only when the replica can serve: a
// closed port is the one signal that Nginx understands at once.
debug = await listen(apps.debug, config.DEBUG_PORT, config.DEBUG_HOST);
await waitUntilMigrated();
await gate?.start();
await cache.start();
expiry = expireOutcomes(deps);
if (lifecycle.phase === 'starting') {
  traffic = await listen(apps.traffic, config.PORT, config.HOST);
  lifecycle.phase = 'serving';
  logger.info({ port: config.PORT, debug_port: config.DEBUG_PORT }, 'serving');
}
