/** A short run of `npm run test:failover`, which is where to look; the long one is in the nightly workflow. */
import path from 'node:path';
import { runSuite } from '../support/run-suite.ts';

const run = (...options: string[]) => runSuite(path.join(import.meta.dirname, 'run.ts'), ...options);

test('When replicas are killed, hang, are all down, or clients try again, then no request fails and no write happens twice', async () => {
  const { code, output } = await run('--scenarios', 'kill,hang,down,retries', '--rate', '40');
  if (code !== 0) throw new Error(output);
  expect(output).toMatch(/^in all \d+ requests: 0 failed, 0 duplicated, 0 lost, [1-9]\d* replays$/m);
}, 600_000);

test('Where a write that comes again is not recognized, the same kills make writes happen twice', async () => {
  const { code, output } = await run('--scenarios', 'kill', '--without', 'keys');
  expect([code, output]).toEqual([1, expect.stringMatching(/FAILED [1-9]\d* writes happened twice/)]);
});

test('Where Nginx knows each replica once only, the same kills make requests fail', async () => {
  const { code, output } = await run('--scenarios', 'kill', '--without', 'backup');
  expect([code, output]).toEqual([1, expect.stringMatching(/FAILED [1-9]\d* requests failed/)]);
});
