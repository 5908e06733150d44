/** The simplest question: how fast is a list, for more and more users? */
import { sleep } from 'k6';
import { expectAnswer, iteration, requireApi, send } from './lib/api.ts';
import { options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { requireApi as setup };

export const options = make(
  {
    users: {
      executor: 'ramping-vus',
      stages: [
        { duration: time(20), target: 20 },
        { duration: time(30), target: 50 },
        { duration: time(30), target: 50 },
        { duration: time(10), target: 0 },
      ],
    },
  },
  { http_req_duration: ['p(95)<500'], http_req_failed: ['rate<0.01'] },
);

export default iteration(() => {
  expectAnswer(send('GET', '/items'), 'GET /items: a list', 200, Array.isArray);
  sleep(0.2);
});
