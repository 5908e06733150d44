import type { Deps } from '../../platform/deps.ts';
import { routes } from '../../platform/http/route.ts';
import { cartRoutes } from './carts.routes.ts';
import { productRoutes } from './products.routes.ts';
import { createShopMetrics } from './shop.metrics.ts';

export function shopRoutes(deps: Deps) {
  const metrics = createShopMetrics(deps);
  return routes('Shop', [...productRoutes(deps), ...cartRoutes(deps, metrics)], metrics.observe);
}
