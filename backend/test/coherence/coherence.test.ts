/** A short run of `npm run test:coherence`, which is where to look; the long one is in the nightly workflow. */
import path from 'node:path';
import { runSuite } from '../support/run-suite.ts';

const run = (...options: string[]) => runSuite(path.join(import.meta.dirname, 'run.ts'), ...options);

test('No schedule and no fault makes the cache lie', async () => {
  const { code, output } = await run('--seconds', '3', '--faults', 'achkmn');
  if (code !== 0) throw new Error(output);
  expect(output).toContain('schedules step by step: 0 violations');
  expect(output.match(/^\([a-n]\)/gm)).toHaveLength(6);
}, 300_000);

test('Plain cache-aside lies without any fault, and what it is caught with can be judged again', async () => {
  const { code, output } = await run('--variant', 'cache-aside', '--no-schedules', '--faults', 'a', '--seconds', '3');
  expect([code, output]).toEqual([1, expect.stringMatching(/VIOLATION (key|task|product)/)]);
  const file = /the whole history: (.*)/.exec(output)?.[1] as string;
  const again = await run('--replay', file);
  expect([again.code, again.output]).toEqual([1, expect.stringMatching(/(stale|backward) read|no order/)]);
});
