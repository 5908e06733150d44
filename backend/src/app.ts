import express, { type Express } from 'express';
import { docsRoutes } from './features/docs/docs.routes.ts';
import { healthRoutes, probeRoutes } from './features/health/health.routes.ts';
import { itemsRoutes } from './features/items/items.routes.ts';
import { kvRoutes } from './features/kv/kv.routes.ts';
import type { Deps } from './platform/deps.ts';
import { type MountOptions, mount } from './platform/http/endpoint.ts';
import { errorHandler, unknownRoute } from './platform/http/error-handler.ts';
import { requestLog } from './platform/http/request-log.ts';
import type { Route } from './platform/http/route.ts';
import type { Lifecycle } from './platform/lifecycle.ts';

/** Every route of the API: one line a feature. */
export function apiRoutes(deps: Deps): Route[] {
  const all: Route[] = [
    ...healthRoutes(deps, () => all),
    ...docsRoutes(() => all),
    ...itemsRoutes(deps),
    ...kvRoutes(deps),
  ];
  return all;
}

/** What the traffic port serves: the API, and nothing that is not meant for the world. */
export function createApp(deps: Deps, lifecycle: Lifecycle, options?: MountOptions): Express {
  return assemble(deps, lifecycle, apiRoutes(deps), options);
}

/** What the debug port serves: the API and, for orchestrators and Prometheus, the probes and the metrics. */
export function createDebugApp(deps: Deps, lifecycle: Lifecycle, options?: MountOptions): Express {
  return assemble(deps, lifecycle, [...apiRoutes(deps), ...probeRoutes(deps, lifecycle)], options);
}

function assemble(deps: Deps, lifecycle: Lifecycle, routes: Route[], options?: MountOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false); // ETags are the rows' versions; Express would hash every body
  // One spelling of a path, so that Nginx's list of paths and the router never disagree.
  app.set('case sensitive routing', true);
  app.set('strict routing', true);

  app.use(requestLog(deps.logger, deps.instance));
  app.use(deps.metrics.middleware);
  app.use((_request, response, next) => {
    if (lifecycle.phase === 'draining') response.set('Connection', 'close');
    next();
  });
  mount(app, routes, options);
  app.use(unknownRoute);
  app.use(errorHandler(deps.logger));
  return app;
}
