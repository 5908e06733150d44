/** A short run of `npm run test:failover`, which is where to look; the long one is in the nightly workflow. */
import { spawn } from 'node:child_process';
import path from 'node:path';

function run(...options: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'run.ts'), ...options]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output += data;
    });
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}

test('When replicas are killed, hang, are all down, or clients try again, then no request fails and no write happens twice', async () => {
  const { code, output } = await run('--scenarios', 'kill,hang,down,retries', '--rate', '100');
  if (code !== 0) throw new Error(output);
  expect(output).toMatch(/^in all \d+ requests: 0 failed, 0 duplicated, 0 lost, [1-9]\d* replays$/m);
}, 300_000);

test('Where a write that comes again is not recognized, the same kills make writes happen twice', async () => {
  const { code, output } = await run('--scenarios', 'kill', '--without', 'keys');
  expect([code, output]).toEqual([1, expect.stringMatching(/FAILED [1-9]\d* writes happened twice/)]);
});

test('Where Nginx knows each replica once only, the same kills make requests fail', async () => {
  const { code, output } = await run('--scenarios', 'kill', '--without', 'backup');
  expect([code, output]).toEqual([1, expect.stringMatching(/FAILED [1-9]\d* requests failed/)]);
});
