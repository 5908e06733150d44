/** The life of an item: created, read, changed, listed, deleted, gone. First once, then by many. */
import { sleep } from 'k6';
import { Trend } from 'k6/metrics';
import { expectAnswer, iteration, json, requireApi, send } from './lib/api.ts';
import { newItem } from './lib/data.ts';
import { options as make, scaled, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { requireApi as setup };

const createDuration = new Trend('custom_create_duration', true);

export const options = make(
  {
    smoke: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '30s' },
    crud_load: {
      executor: 'ramping-vus',
      startTime: `${scaled(5)}s`,
      stages: [
        { duration: time(20), target: 20 },
        { duration: time(50), target: 20 },
        { duration: time(10), target: 0 },
      ],
    },
  },
  { custom_create_duration: ['p(95)<700'], http_req_failed: ['rate<0.02'] },
);

export default iteration(() => {
  const body = newItem();
  const created = send('POST', '/items', { body });
  createDuration.add(created.timings.duration);
  if (!expectAnswer(created, 'created', 201, ({ title }) => title === body.title)) return;
  const path = { id: json(created).id };
  expectAnswer(
    send('GET', '/items/{id}', { path }),
    'read',
    200,
    ({ description }) => description === body.description,
  );
  const changed = send('PUT', '/items/{id}', { path, body: { status: 'in_progress' } });
  expectAnswer(changed, 'changed', 200, ({ status, title }) => status === 'in_progress' && title === body.title);
  expectAnswer(
    send('GET', '/items', { query: { status: 'in_progress', limit: 20 } }),
    'listed',
    200,
    (list) => list.length > 0 && list.every((item: { status: string }) => item.status === 'in_progress'),
  );
  expectAnswer(send('DELETE', '/items/{id}', { path }), 'deleted', 204);
  expectAnswer(send('GET', '/items/{id}', { path, expect: [404] }), 'gone', 404);
  sleep(0.1);
});
