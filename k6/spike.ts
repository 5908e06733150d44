/** Ten times the load within two seconds, for half a minute: nothing may fail, and afterwards all is as before. */
import { forgetMix, mixedStep, prepareMix } from './lib/mix.ts';
import { ALL_STARTED, options as make, scaled, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';
export { forgetMix as teardown, mixedStep as default, prepareMix as setup };

const QUIET = 50;
// One client may send 1000 requests a second (LIMIT_RATE); every tenth step sends two.
const SPIKE = 500;
const BEFORE = 20;
const DURING = 34;

const steady = { executor: 'constant-arrival-rate' as const, rate: QUIET, preAllocatedVUs: 50 };

export const options = make(
  {
    before: { ...steady, duration: time(BEFORE) },
    spike: {
      executor: 'ramping-arrival-rate',
      startTime: time(BEFORE),
      startRate: QUIET,
      stages: [
        { duration: time(2), target: SPIKE },
        { duration: time(30), target: SPIKE },
        { duration: time(2), target: QUIET },
      ],
      preAllocatedVUs: 600, // more than a second of it may wait
    },
    after: { ...steady, startTime: `${scaled(BEFORE) + scaled(DURING) + 2}s`, duration: time(20) },
  },
  {
    ...ALL_STARTED,
    http_req_failed: ['rate<0.01'],
    'http_req_duration{scenario:spike}': ['p(95)<1000'],
    'http_req_duration{scenario:after}': ['p(95)<250'],
  },
);
