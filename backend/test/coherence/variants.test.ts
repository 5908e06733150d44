/** Each rule of the protocol is needed: without it the schedules catch the cache lying. (`--variants` tries all; this takes minutes.) */
import path from 'node:path';
import { runSuite } from '../support/run-suite.ts';
import { makeVariant, variants } from './variants.ts';

const run = (...options: string[]) => runSuite(path.join(import.meta.dirname, 'run.ts'), ...options);

test.each(['NOMARK', 'NOGUARD'])('Without the rule %s the schedules catch it', async (variant) => {
  const { code, output } = await run('--variant', variant, '--faults', '');
  expect([code, output]).toEqual([1, expect.stringMatching(/VIOLATION when .*(stale|backward) read/)]);
});

test('Every variant fits the code as it is', () => {
  for (const name of Object.keys(variants)) expect(makeVariant(name)).toMatch(/src$/);
});
