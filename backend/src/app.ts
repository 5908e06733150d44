import type { RequestListener } from 'node:http';
import express, { type ErrorRequestHandler } from 'express';
import { clientesRoutes } from './features/accounts/clientes.routes.ts';
import { transactionsRoutes } from './features/accounts/transactions.routes.ts';
import { usersRoutes } from './features/accounts/users.routes.ts';
import { cacheAdminRoutes } from './features/cache-admin/cache-admin.routes.ts';
import { docsRoutes } from './features/docs/docs.routes.ts';
import { createFaults } from './features/faults/faults.routes.ts';
import { healthRoutes, probeRoutes } from './features/health/health.routes.ts';
import { itemsRoutes } from './features/items/items.routes.ts';
import { kvRoutes } from './features/kv/kv.routes.ts';
import { shopRoutes } from './features/shop/shop.routes.ts';
import { tasksRoutes } from './features/tasks/tasks.routes.ts';
import type { Deps } from './platform/deps.ts';
import { type MountOptions, mount } from './platform/http/endpoint.ts';
import { errorHandler, unknownRoute } from './platform/http/error-handler.ts';
import { createFastLane } from './platform/http/fast-lane.ts';
import { forExpress, type Handler, type Incoming, type Outgoing } from './platform/http/handler.ts';
import { requestLog } from './platform/http/request-log.ts';
import type { Route } from './platform/http/route.ts';
import type { Lifecycle } from './platform/lifecycle.ts';

export interface AppOptions extends MountOptions {
  readonly faults?: boolean;
  /** Somebody wants to see a request's way through Express. */
  readonly traced?: boolean;
}

/** Every route of the API: one line a feature. */
export function apiRoutes(deps: Deps): Route[] {
  const all: Route[] = [
    ...healthRoutes(deps, () => all),
    ...docsRoutes(() => all),
    ...itemsRoutes(deps),
    ...kvRoutes(deps),
    ...tasksRoutes(deps),
    ...usersRoutes(deps),
    ...transactionsRoutes(deps),
    ...clientesRoutes(deps),
    ...shopRoutes(deps),
    ...cacheAdminRoutes(deps),
  ];
  return all;
}

/**
 * What the two ports of a replica serve. `traffic`: the API, and nothing that is not meant for the world. `debug`: the same
 * routes and, for orchestrators and Prometheus, the probes and the metrics.
 */
export function createApps(deps: Deps, lifecycle: Lifecycle, options: AppOptions) {
  const routes = apiRoutes(deps);
  const faults = options.faults ? createFaults(deps) : undefined;
  const debugRoutes = [...routes, ...probeRoutes(deps, lifecycle), ...(faults?.routes ?? [])];
  return {
    traffic: assemble(deps, lifecycle, routes, options, faults?.middleware),
    debug: assemble(deps, lifecycle, debugRoutes, options),
  };
}

function assemble(
  deps: Deps,
  lifecycle: Lifecycle,
  routes: Route[],
  options: AppOptions,
  fault?: Handler,
): RequestListener {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false); // ETags are the rows' versions; Express would hash every body
  // One spelling of a path, so that Nginx's list of paths and the router never disagree.
  app.set('case sensitive routing', true);
  app.set('strict routing', true);

  const before: Handler[] = [requestLog(deps.logger, deps.instance), deps.metrics.middleware];
  if (fault) before.push(fault);
  before.push((_request, response, next) => {
    if (lifecycle.phase === 'draining') response.setHeader('Connection', 'close');
    next();
  });
  const onError = errorHandler(deps.logger, deps.metrics);

  app.use(...forExpress(...before));
  const lanes = mount(app, routes, deps, options);
  app.use(...forExpress(unknownRoute), onError as unknown as ErrorRequestHandler);

  const take = createFastLane(
    // What Express traces of a request is worth more than its time.
    options.traced ? [] : lanes.map((lane) => ({ ...lane, handlers: [...before, ...lane.handlers] })),
    onError,
  );
  return (request, response) => {
    if (!take(request as Incoming, response as Outgoing)) app(request, response);
  };
}
