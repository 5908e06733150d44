/**
 * Twenty minutes of the same load. What must not grow: the old space of the heap (where what is never freed ends up), the
 * database connections and the open files of each replica. They are looked at every five seconds. The least of each minute
 * is what garbage collection and idle connections leave; growth is the slope of a least-squares line through these, after
 * the first quarter of the run, in which caches fill and the heap finds its size.
 */
import { sleep } from 'k6';
import http from 'k6/http';
import { Counter, Gauge } from 'k6/metrics';
import { iteration } from './lib/api.ts';
import { forgetMix, mixedStep, prepareMix } from './lib/mix.ts';
import { ALL_STARTED, options as make, scaled, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { forgetMix as teardown, mixedStep as default };

const SECONDS = 20 * 60;
/** The debug ports, one for each replica. */
const REPLICAS = (__ENV.REPLICA_URLS ?? '').split(/\s+/).filter(Boolean);
if (REPLICAS.length === 0)
  throw new Error('REPLICA_URLS: the debug ports, such as "http://host:8001 http://host:8002"');
const MIB = 1024 * 1024;

/** What is watched: its name on a replica's page of metrics, and the largest growth in an hour that is none. */
const FIGURES = [
  {
    name: 'heap_growth_mib_per_hour',
    line: /^nodejs_heap_space_size_used_bytes\{.*space="old".*\} (\S+)$/m,
    unit: MIB,
    most: 30,
  },
  { name: 'connections_growth_per_hour', line: /^db_pool_size\{.*\} (\S+)$/m, unit: 1, most: 6 },
  { name: 'files_growth_per_hour', line: /^process_open_fds\{.*\} (\S+)$/m, unit: 1, most: 12 },
].map((figure) => ({ ...figure, gauge: new Gauge(figure.name) }));

const STARTED = /^process_start_time_seconds(?:\{.*\})? (\S+)$/m;

/** A page without a figure must not pass for one on which nothing grows, nor a new process for one that has not grown. */
const missing = new Counter('replica_figures_missing');
const restarts = new Counter('replica_restarts');

const objectives = REPLICAS.flatMap((_, index) =>
  FIGURES.map(({ name, most }) => [`${name}{replica:${index + 1}}`, [`value<${most}`]]),
);

export const options = make(
  {
    load: { executor: 'constant-arrival-rate', rate: 100, duration: time(SECONDS), preAllocatedVUs: 100 },
    watch: { executor: 'constant-vus', vus: 1, duration: time(SECONDS), exec: 'watch' },
  },
  {
    ...ALL_STARTED,
    http_req_failed: ['rate<0.001'],
    http_req_duration: ['p(95)<500'],
    replica_figures_missing: ['count==0'],
    replica_restarts: ['count==0'],
    ...Object.fromEntries(objectives),
  },
);

export function setup(): { start: number } {
  prepareMix();
  return { start: Date.now() };
}

/** A least-squares line through (x, y), fed point by point. */
class Line {
  private n = 0;
  private x = 0;
  private y = 0;
  private xx = 0;
  private xy = 0;
  add(x: number, y: number): void {
    this.n += 1;
    this.x += x;
    this.y += y;
    this.xx += x * x;
    this.xy += x * y;
  }
  /** 0 until there are two different x. */
  slope(): number {
    const spread = this.n * this.xx - this.x * this.x;
    return spread > 0 ? (this.n * this.xy - this.x * this.y) / spread : 0;
  }
}

/** A figure of a replica: the least of each minute, and the line through them. */
class Growth {
  private readonly line = new Line();
  private minute = -1;
  private least = Number.POSITIVE_INFINITY;
  add(seconds: number, value: number): void {
    const minute = Math.floor(seconds / scaled(60));
    if (minute !== this.minute) {
      if (this.least !== Number.POSITIVE_INFINITY) this.line.add((this.minute * scaled(60)) / 3600, this.least);
      this.minute = minute;
      this.least = value;
    }
    this.least = Math.min(this.least, value);
  }
  perHour(): number {
    return this.line.slope();
  }
}

const replicas = REPLICAS.map((url, index) => ({
  url,
  tags: { replica: String(index + 1) },
  started: undefined as string | undefined,
  growths: FIGURES.map(() => new Growth()),
}));

export const watch = iteration(({ start }: { start: number }) => {
  const seconds = (Date.now() - start) / 1000;
  const warm = seconds >= scaled(SECONDS) / 4;
  for (const replica of replicas) {
    const { url, tags, growths } = replica;
    const page = String(http.get(`${url}/metrics`, { tags: { name: '/metrics' } }).body);
    const started = STARTED.exec(page)?.[1];
    if (started && replica.started && started !== replica.started) restarts.add(1, tags);
    replica.started = started ?? replica.started;
    FIGURES.forEach(({ line, unit, gauge }, index) => {
      const value = Number(line.exec(page)?.[1]); // NaN: not there
      if (Number.isNaN(value)) missing.add(1, tags);
      else if (warm) growths[index]?.add(seconds, value / unit);
      gauge.add(growths[index]?.perHour() ?? 0, tags);
    });
  }
  sleep(scaled(5));
});
