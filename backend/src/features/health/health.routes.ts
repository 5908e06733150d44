import { hostname } from 'node:os';
import { Gauge } from 'prom-client';
import { ping } from '../../platform/database/client.ts';
import type { Deps } from '../../platform/deps.ts';
import { HttpError, RETRY_AFTER } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { type Route, route, routes } from '../../platform/http/route.ts';
import type { Lifecycle } from '../../platform/lifecycle.ts';
import { VERSION } from '../../platform/version.ts';

const text = Joi.string().required();
const name = text.example('backend-1');
const state = Joi.string().valid('healthy', 'unhealthy').required();

const healthReply = Joi.object({
  status: Joi.string().valid('ok', 'degraded', 'unavailable').required(),
  api: state,
  database: state,
  // disabled: this replica was started without Redis
  cache: Joi.string().valid('healthy', 'unhealthy', 'disabled').required(),
  instance: name,
});

async function answers(attempt: () => Promise<unknown>): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch {
    return false;
  }
}

/** What a client may ask about the system. `endpoints` is everything that the API serves. */
export function healthRoutes({ db, redis, instance }: Deps, endpoints: () => readonly Route[]) {
  const host = hostname(); // asks the kernel, which took a tenth of a ping
  return routes('Operations', [
    route({
      method: 'get',
      path: '/',
      summary: 'What this is and where everything stands',
      replies: {
        200: {
          description: 'Name, version and endpoints',
          schema: Joi.object({
            name: text.example('Tandem'),
            version: text.example('0.1.0'),
            instance: name,
            endpoints: Joi.array().items(Joi.string().example('GET /ping')).required(),
            links: Joi.object({ docs: text.example('/docs'), openapi: text.example('/openapi.json') }).required(),
          }),
        },
      },
      handle: () => ({
        status: 200,
        body: {
          name: 'Tandem',
          version: VERSION,
          instance,
          endpoints: endpoints().map((each) => `${each.method.toUpperCase()} ${each.template}`),
          links: { docs: '/docs', openapi: '/openapi.json' },
        },
      }),
    }),
    route({
      method: 'get',
      path: '/ping',
      summary: 'Who answers: consecutive calls through Nginx alternate',
      replies: {
        200: {
          description: 'The replica that answered',
          schema: Joi.object({
            message: text.example('pong from backend-1'),
            host: text.example('1f2e3d4c5b6a'),
            instance: name,
          }),
        },
      },
      handle: () => ({ status: 200, body: { message: `pong from ${instance}`, host, instance } }),
    }),
    route({
      method: 'get',
      path: '/health',
      summary: 'Whether PostgreSQL and Redis answer; without Redis the API is degraded, not down',
      replies: {
        200: {
          description: 'PostgreSQL answers',
          schema: healthReply,
        },
        503: { description: 'PostgreSQL does not answer', schema: healthReply },
      },
      async handle() {
        const [database, cache] = await Promise.all([answers(() => ping(db)), answers(async () => redis?.ping())]);
        const word = (healthy: boolean) => (healthy ? 'healthy' : 'unhealthy');
        return {
          status: database ? 200 : 503,
          ...(!database && { headers: { 'Retry-After': RETRY_AFTER } }),
          body: {
            status: !database ? 'unavailable' : cache ? 'ok' : 'degraded',
            api: 'healthy',
            database: word(database),
            cache: redis ? word(cache) : 'disabled',
            instance,
          },
        };
      },
    }),
  ]);
}

/** For orchestrators, on the debug port only. */
export function probeRoutes({ db, metrics }: Deps, lifecycle: Lifecycle) {
  new Gauge({
    name: 'tandem_serving',
    help: '1 while the traffic port is open, 0 while the replica starts or drains',
    registers: [metrics.registry],
    collect() {
      this.set(lifecycle.phase === 'serving' ? 1 : 0);
    },
  });
  const ok = (description: string) => ({ 200: { description, schema: Joi.object({ status: text }) } });
  const expectServing = () => {
    if (lifecycle.phase !== 'serving') throw new HttpError(503, `the replica is ${lifecycle.phase}`);
  };
  return routes('Probes', [
    route({
      method: 'get',
      path: '/health/live',
      summary: 'The process answers; if it does not, kill it',
      replies: ok('Alive'),
      handle: () => ({ status: 200, body: { status: 'alive' } }),
    }),
    route({
      method: 'get',
      path: '/health/ready',
      summary: 'It can take traffic: started (which waits for the migrations), not draining, PostgreSQL reachable',
      replies: ok('Ready'),
      async handle() {
        expectServing();
        await ping(db);
        return { status: 200, body: { status: 'ready' } };
      },
    }),
    route({
      method: 'get',
      path: '/health/serving',
      summary:
        'The traffic port is open, whatever PostgreSQL does: an outage of that must not take away every replica at once',
      replies: ok('Serving'),
      handle() {
        expectServing();
        return { status: 200, body: { status: 'serving' } };
      },
    }),
    route({
      method: 'get',
      path: '/metrics',
      summary: 'Everything that Prometheus collects',
      replies: { 200: { description: 'Prometheus text format', type: 'text/plain' } },
      async handle() {
        const text = await metrics.registry.metrics();
        return { status: 200, body: Buffer.from(text), headers: { 'Content-Type': metrics.registry.contentType } };
      },
    }),
  ]);
}
