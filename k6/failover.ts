/**
 * A mixed load while replicas are killed (k6/run.sh kills one after the other). The objective is that no request fails: Nginx sends
 * what a dying replica did not answer to another, and a write happens once all the same.
 */
import { Counter } from 'k6/metrics';
import { type Answer, expectAnswer, forgetKeys, iteration, json, keysOf, requireApi, send } from './lib/api.ts';
import { newItem, oneOf, pick } from './lib/data.ts';
import { ALL_STARTED, options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { requireApi as setup };

const KEYS = keysOf(20);

const failedReads = new Counter('failed_reads');
const failedWrites = new Counter('failed_writes');
const unknownWrites = new Counter('failed_writes_unknown');

export const options = make(
  { load: { executor: 'constant-arrival-rate', rate: 100, duration: time(120), preAllocatedVUs: 400 } },
  {
    ...ALL_STARTED,
    http_req_failed: ['rate==0'],
    failed_reads: ['count==0'],
    failed_writes: ['count==0'],
    failed_writes_unknown: ['count==0'],
  },
);

export default iteration(() => {
  const dice = oneOf(10);
  if (dice <= 4) read(send('GET', '/items', { query: { limit: 20 } }), Array.isArray);
  else if (dice <= 6) read(send('GET', '/tasks'), ({ tasks }) => Array.isArray(tasks));
  else if (dice <= 8) write(send('PUT', '/kv', { body: { key: pick(KEYS), value: 'x' } }), 200);
  else createAndDelete();
});

function createAndDelete(): void {
  const created = send('POST', '/items', { body: newItem() });
  if (write(created, 201)) write(send('DELETE', '/items/{id}', { path: { id: json(created).id } }), 204);
}

function read(answer: Answer, holds: Parameters<typeof expectAnswer>[3]): void {
  if (!expectAnswer(answer, 'a read: the answer', 200, holds)) failedReads.add(1);
}

function write(answer: Answer, status: number): boolean {
  if (expectAnswer(answer, 'a write: done', status)) return true;
  failedWrites.add(1);
  if (answer.status !== 503) unknownWrites.add(1);
  return false;
}

export const teardown = (): void => forgetKeys(KEYS);
