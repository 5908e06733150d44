import { Counter, Gauge, Histogram } from 'prom-client';
import type { Deps } from '../../platform/deps.ts';
import type { Observation } from '../../platform/http/route.ts';
import { countActiveCarts } from './carts.repository.ts';

/** Prometheus' scrape interval: asking the database more often would show nothing more. */
const SCRAPE_INTERVAL_MS = 10_000;
/**
 * Products with a series of their own. A label's values must be bounded, or a growing catalogue fills Prometheus; and must
 * be the same on every replica and after a restart, so that sums over them make sense. Hence by number, not by "first seen".
 */
const LABELLED_PRODUCTS = 100;

export type ShopMetrics = ReturnType<typeof createShopMetrics>;

/** The shop's own metrics. A counter is raised by its caller, after COMMIT. */
export function createShopMetrics({ metrics: { registry }, db, logger }: Deps) {
  const registers = [registry];
  const additions = new Counter({
    name: 'ecommerce_cart_additions_total',
    help: `Items added to carts, by product; products above number ${LABELLED_PRODUCTS} are "other"`,
    labelNames: ['product_id'],
    registers,
  });
  const productLabel = (id: number) => (id <= LABELLED_PRODUCTS ? `${id}` : 'other');
  // From 0, not from the first addition, in which Prometheus would see no increase (see createMetrics).
  for (let id = 1; id <= LABELLED_PRODUCTS + 1; id++) additions.inc({ product_id: productLabel(id) }, 0);
  const orders = new Counter({ name: 'ecommerce_orders_total', help: 'Carts checked out', registers });
  const errors = new Counter({
    name: 'ecommerce_errors_total',
    help: 'Requests of the shop that were not answered with a success',
    labelNames: ['error_type', 'endpoint', 'status_code'],
    registers,
  });
  const durations = new Histogram({
    name: 'ecommerce_request_duration_seconds',
    help: 'Duration of the requests of the shop',
    labelNames: ['method', 'endpoint', 'status_code'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const sessions = new Gauge({
    name: 'ecommerce_active_sessions',
    help: 'Open carts touched in the last 30 minutes, counted in the database: each replica shows the same',
    registers,
    collect: () => counted(),
  });
  let askedAt = Number.NEGATIVE_INFINITY;
  let counting = Promise.resolve();
  /** Scrapes that come meanwhile wait for the same count; a failure too is asked about once an interval. */
  function counted(): Promise<void> {
    if (performance.now() - askedAt < SCRAPE_INTERVAL_MS) return counting;
    askedAt = performance.now();
    counting = countActiveCarts(db).then(
      (count) => sessions.set(count),
      (err) => {
        // No sample is the truth when nobody can count; the other metrics must go on.
        sessions.remove();
        logger.info({ err }, 'active carts not counted');
      },
    );
    return counting;
  }

  return {
    countAddition: (productId: number) => additions.inc({ product_id: productLabel(productId) }),
    countOrder: () => orders.inc(),
    observe({ method, template: endpoint, status, seconds, problem }: Observation) {
      durations.observe({ method, endpoint, status_code: status }, seconds);
      if (problem) errors.inc({ error_type: errorType(problem), endpoint, status_code: status });
    },
  };
}

function errorType({ status, errors }: NonNullable<Observation['problem']>): string {
  if (status === 500) return 'internal';
  if (status > 500) return 'unavailable';
  if (status === 404) return 'not_found';
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 409 || status === 412) return 'conflict';
  return status === 422 && !errors ? 'business_rule' : 'validation';
}
