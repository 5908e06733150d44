/**
 * `npm run test:failover`: replicas are killed, stopped, added and taken away behind a real Nginx, while clients that never try again read
 * and write. No request may fail, no write may happen twice, or be lost.
 */
import { parseArgs } from 'node:util';
import { cleanUp } from '../support/servers.ts';
import { describe, failed, type Report, runLoad } from './load.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { startStack, type Without } from './stack.ts';

const USAGE = `npm run test:failover -- [option...]
  --scenarios a,b   which (${Object.keys(scenarios).join(', ')}); default: all
  --times N         how often each is repeated (1)
  --rate N          requests a second (150; with --url 30, because Nginx lets one address have 100 at once)
  --without WHAT    a control, which must fail: "keys" (a write that comes again is not recognized: duplicates), or "backup" (each
                    replica is known to Nginx once only: 503)
  --url URL         only the load, against a stack that runs already, for --seconds N (30) or until SIGTERM; the faults
                    are yours`;

const { values: options } = parseArgs({
  options: {
    scenarios: { type: 'string', default: Object.keys(scenarios).join() },
    times: { type: 'string', default: '1' },
    rate: { type: 'string' },
    without: { type: 'string' },
    url: { type: 'string' },
    seconds: { type: 'string', default: '30' },
    help: { type: 'boolean', default: false },
  },
});
const number = (name: 'times' | 'rate' | 'seconds') => {
  const value = Number(options[name] ?? (options.url ? 30 : 150));
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1 on`);
  return value;
};
const say = (line: string) => process.stdout.write(`${line}\n`);
const total = { requests: 0, failed: 0, duplicated: 0, lost: 0, replays: 0 };

function judge(name: string, report: Report, { outage, replays }: Partial<Scenario>, problems: string[]): boolean {
  if (!outage && failed(report) > 0) problems.push(`${failed(report)} requests failed`);
  if (report.duplicated > 0) problems.push(`${report.duplicated} writes happened twice`);
  if (report.lost > 0) problems.push(`${report.lost} acknowledged writes are not there`);
  if (replays && report.replays === 0) problems.push('no write came a second time: the scenario has missed its point');
  say(`${name}\n    ${describe(report)}`);
  for (const problem of problems) say(`  FAILED ${problem}`);
  total.requests += report.requests;
  total.failed += outage ? 0 : failed(report);
  total.duplicated += report.duplicated;
  total.lost += report.lost;
  total.replays += report.replays;
  return problems.length === 0;
}

async function runScenario(name: string, scenario: Scenario): Promise<boolean> {
  const stack = await startStack({ ...scenario.stack, without: options.without as Without | undefined });
  let over = false;
  const problems: string[] = [];
  const started = Promise.withResolvers<void>();
  const plan = { url: stack.url, perSecond: number('rate'), started: started.resolve, until: () => over };
  const loading = runLoad(plan);
  await started.promise;
  const more = await scenario.run(stack, number('times')).catch((error: Error) => void problems.push(error.message));
  over = true;
  const good = judge(`${name}: ${scenario.what}${more ? ` (${more})` : ''}`, await loading, scenario, problems);
  await stack.stop();
  return good;
}

let good = true;
try {
  if (options.help) say(USAGE);
  else if (options.url) {
    let end = Date.now() + number('seconds') * 1000;
    process.once('SIGTERM', () => {
      end = 0;
    });
    const report = await runLoad({ url: options.url, perSecond: number('rate'), until: () => Date.now() > end });
    good = judge(options.url, report, {}, []);
  } else {
    for (const name of options.scenarios.split(',')) {
      const scenario = scenarios[name];
      if (!scenario) throw new Error(`no scenario "${name}": there are ${Object.keys(scenarios).join(', ')}`);
      good = (await runScenario(name, scenario)) && good;
    }
    const { requests, failed, duplicated, lost, replays } = total;
    say(`in all ${requests} requests: ${failed} failed, ${duplicated} duplicated, ${lost} lost, ${replays} replays`);
  }
} finally {
  await cleanUp();
}
process.exit(good ? 0 : 1);
