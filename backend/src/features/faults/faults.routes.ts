import { setTimeout as sleep } from 'node:timers/promises';
import type { Deps } from '../../platform/deps.ts';
import type { Handler } from '../../platform/http/handler.ts';
import { Joi } from '../../platform/http/joi.ts';
import { route, routes } from '../../platform/http/route.ts';

/** Time for the answer that announces the hang. */
const BEFORE_HANG_MS = 200;

interface Fault {
  kind: 'none' | 'slow' | 'failing' | 'hung';
  /** How much longer each request takes; only with `slow`. */
  ms?: number;
  /** Only requests whose path begins so; default: all. */
  path?: string;
}

const only = (...kinds: Fault['kind'][]) => ({ is: Joi.valid(...kinds), otherwise: Joi.forbidden() });
const fault = Joi.object<Fault>({
  kind: Joi.valid('none', 'slow', 'failing', 'hung').required().example('slow'),
  ms: Joi.number()
    .integer()
    .min(1)
    .max(60_000)
    .when('kind', { ...only('slow'), then: Joi.number().default(1_000) }),
  path: Joi.string().pattern(/^\//).max(100).when('kind', only('slow', 'failing')),
});

/**
 * Makes this one replica ill, so that people can watch the others take over; asked for on the debug port, and felt on the traffic port.
 * Only with FAULTS=on.
 */
export function createFaults({ logger }: Deps) {
  let current: Fault = { kind: 'none' };

  const middleware: Handler = async (request, response, next) => {
    const { kind, ms, path = '/' } = current;
    if (kind === 'none' || !request.url.startsWith(path)) return next();
    if (kind === 'failing') return void request.socket.destroy(); // as a replica that crashes: no answer at all
    await sleep(ms as number);
    if (!response.destroyed) next();
  };

  function set(wanted: Fault): void {
    current = wanted;
    logger.warn(wanted, 'a fault was asked for');
    if (wanted.kind !== 'hung') return;
    setTimeout(() => {
      // A loop without an end: nothing is answered any more, neither here nor on the debug port, until somebody kills the process.
      for (;;);
    }, BEFORE_HANG_MS);
  }

  return {
    middleware,
    routes: routes('Faults', [
      route({
        method: 'get',
        path: '/debug/fault',
        summary: 'The fault that this replica shows',
        replies: { 200: { description: 'The fault', schema: fault } },
        handle: () => ({ status: 200, body: current }),
      }),
      route({
        method: 'put',
        path: '/debug/fault',
        summary:
          'Make this replica slow, failing (no answer at all) or hung (until it is killed), or well again (none)',
        input: { body: fault },
        replies: { 200: { description: 'The fault', schema: fault } },
        handle({ body }) {
          set(body);
          return { status: 200, body };
        },
      }),
    ]),
  };
}
