/**
 * Hot keys, read through every replica while one writer changes them. Shows how much comes from the cache, and that nobody
 * reads something old: not the writer after its own write, nor a reader something older than it has read before.
 */
import { sleep } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { type Answer, expectAnswer, forgetKeys, json, requireApi, send } from './lib/api.ts';
import { oneOf } from './lib/data.ts';
import { ALL_STARTED, options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';

const KEYS = 20;
const SECONDS = 60;

const hits = new Rate('cache_hit_ratio');
const staleReads = new Counter('stale_reads');

export const options = make(
  {
    readers: {
      executor: 'constant-arrival-rate',
      rate: 200,
      duration: time(SECONDS),
      preAllocatedVUs: 50,
      exec: 'read',
    },
    writer: { executor: 'constant-vus', vus: 1, duration: time(SECONDS), exec: 'write' },
  },
  {
    ...ALL_STARTED,
    cache_hit_ratio: ['rate>0.8'],
    stale_reads: ['count==0'],
    http_req_failed: ['rate<0.01'],
    'http_req_duration{scenario:readers}': ['p(95)<250'],
  },
);

const keyOf = (n: number): string => `k6:cache:${n}`;
const put = (n: number, value: number): Answer => send('PUT', '/kv', { body: { key: keyOf(n), value: String(value) } });

function get(n: number): number {
  const answer = send('GET', '/kv', { query: { key: keyOf(n) } });
  hits.add(answer.headers['X-Cache'] === 'HIT');
  expectAnswer(answer, 'GET /kv: the value, and where it came from', 200, ({ data, source }) => {
    return data.key === keyOf(n) && source === (answer.headers['X-Cache'] === 'HIT' ? 'cache' : 'database');
  });
  return Number(json(answer).data?.value);
}

export function setup(): void {
  requireApi();
  for (let n = 1; n <= KEYS; n++) put(n, 0);
}

/** The newest value that this virtual user has read of each key: the writer only counts upwards. */
const seen: number[] = [];

export function read(): void {
  const n = oneOf(KEYS);
  const value = get(n);
  if (value < (seen[n] ?? 0)) staleReads.add(1);
  seen[n] = Math.max(value || 0, seen[n] ?? 0);
}

/** Four reads in a row pass through every one of two replicas twice. */
export function write(): void {
  const n = oneOf(KEYS);
  seen[n] = (seen[n] ?? 0) + 1;
  if (!expectAnswer(put(n, seen[n]), 'PUT /kv: stored', 200, ({ status }) => status === 'ok')) return;
  for (let reads = 0; reads < 4; reads++) if (get(n) < seen[n]) staleReads.add(1);
  sleep(0.2);
}

export const teardown = (): void => forgetKeys(Array.from({ length: KEYS }, (_, n) => keyOf(n + 1)));
