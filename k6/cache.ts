/**
 * Hot keys, read through every replica while one writer changes them. Shows how much comes from the cache, and that nobody
 * reads something old: not the writer after its own write, nor a reader something older than it has read before.
 */
import { sleep } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { expectAnswer, forgetKeys, iteration, json, keysOf, requireApi, send, setKeys } from './lib/api.ts';
import { pick } from './lib/data.ts';
import { ALL_STARTED, options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';

const KEYS = keysOf(20);
const SECONDS = 60;

const hits = new Rate('cache_hit_ratio');
const staleReads = new Counter('stale_reads');
/** Without writes no read can be stale. */
const written = new Rate('cache_writes_done');

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
    cache_writes_done: ['rate>0.99'],
    http_req_failed: ['rate<0.01'],
    'http_req_duration{scenario:readers}': ['p(95)<250'],
  },
);

/** @returns the value, or nothing when the answer was wrong, which the checks count */
function get(key: string): number | undefined {
  const answer = send('GET', '/kv', { query: { key } });
  const cached = answer.headers['X-Cache'] === 'HIT';
  hits.add(cached);
  const right = expectAnswer(
    answer,
    'GET /kv: a value, and where it came from',
    200,
    ({ data, source }) => data.key === key && /^\d+$/.test(data.value) && source === (cached ? 'cache' : 'database'),
  );
  return right ? Number(json(answer).data.value) : undefined;
}

export function setup(): void {
  requireApi();
  setKeys(KEYS, '0');
}

/** The newest value that this virtual user has read of each key: the writer only counts upwards. */
const seen = new Map(KEYS.map((key) => [key, 0]));

function observe(key: string): void {
  const newest = seen.get(key) ?? 0;
  const value = get(key) ?? newest;
  if (value < newest) staleReads.add(1);
  seen.set(key, Math.max(value, newest));
}

export const read = iteration(() => observe(pick(KEYS)));

/** Four reads in a row pass through every one of two replicas twice. */
export const write = iteration(() => {
  const key = pick(KEYS);
  const value = (seen.get(key) ?? 0) + 1;
  const answer = send('PUT', '/kv', { body: { key, value: String(value) } });
  const stored = expectAnswer(answer, 'PUT /kv: stored', 200, ({ status }) => status === 'ok');
  written.add(stored);
  if (!stored) return;
  seen.set(key, value);
  for (let reads = 0; reads < 4; reads++) observe(key);
  sleep(0.2);
});

export const teardown = (): void => forgetKeys(KEYS);
