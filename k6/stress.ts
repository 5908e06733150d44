/**
 * How much does the stack take? Steps of twice as many virtual users, each of which sends its next request as soon as the
 * last is answered. Up to the knee more users bring more answers; beyond it they only wait for each other. The knee is
 * where throughput divided by latency, the "power", is largest (L. Kleinrock, Power and deterministic rules of thumb for
 * probabilistic problems in computer communications, ICC 1979).
 */
import { forgetMix, mixedStep, prepareMix } from './lib/mix.ts';
import { options as make, scaled, time } from './lib/options.ts';
import { report, type Summary } from './lib/summary.ts';

export { forgetMix as teardown, mixedStep as default, prepareMix as setup };

const STEPS = [1, 2, 4, 8, 16, 32, 64];
const SECONDS = 20;
const nameOf = (users: number): string => `users_${String(users).padStart(3, '0')}`;

const scenarios = STEPS.map((vus, index) => [
  nameOf(vus),
  {
    executor: 'constant-vus',
    vus,
    startTime: `${index * scaled(SECONDS)}s`,
    duration: time(SECONDS),
    gracefulStop: '0s',
  },
]);
// k6 keeps the figures of a step only if a threshold asks for them.
const durationOf = (vus: number): string => `http_req_duration{scenario:${nameOf(vus)}}`;
const steps = STEPS.map((vus) => [durationOf(vus), ['p(95)<1000']]);

export const options = make(Object.fromEntries(scenarios), {
  http_req_failed: ['rate<0.01'],
  ...Object.fromEntries(steps),
});

export function handleSummary(data: Summary) {
  const rows = STEPS.map((users) => {
    const values = data.metrics[durationOf(users)]?.values ?? {};
    const { count = 0, avg = 0, med = 0, 'p(95)': p95 = 0, 'p(99)': p99 = 0 } = values;
    const rate = count / scaled(SECONDS);
    return { users, rate, power: avg > 0 ? rate / avg : 0, med, p95, p99 };
  });
  const knee = rows.reduce((best, row) => (row.power > best.power ? row : best));
  const most = rows.reduce((best, row) => (row.rate > best.rate ? row : best));
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const lines = rows.map(
    ({ users, rate, med, p95, p99, power }) =>
      `| ${users}${users === knee.users ? ' **knee**' : ''} | ${Math.round(rate)} | ${ms(med)} | ${ms(p95)} | ${ms(p99)} | ${power.toFixed(0)} |`,
  );
  return report(data, [
    `The knee is at ${knee.users} virtual users: ${Math.round(knee.rate)} requests/s, p95 ${ms(knee.p95)}. ` +
      `The most were ${Math.round(most.rate)} requests/s, with ${most.users} virtual users.`,
    '',
    '| virtual users | requests/s | p50 | p95 | p99 | power |',
    '| ---: | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
  ]);
}
