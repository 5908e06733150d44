/**
 * The load tests of k6/ themselves: do they run, and does each of their objectives fail when it is broken? With k6 on the
 * PATH; otherwise they are skipped. Each run is a twentieth as long as a real one, so no objective of time must hold.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { repository } from '../support/clone.ts';
import {
  FAULTS,
  type Fault,
  type FaultyEdge,
  hangingAfter,
  startFaultyEdge,
  startLeakingReplica,
} from '../support/faulty-edge.ts';
import { hasK6, K6_FOLDER, type Run, runK6, SCRIPTS, type ScriptRun, startRunScript } from '../support/k6.ts';
import { temporaryFolder, until } from '../support/servers.ts';
import { type Stack, seed, startStack } from '../support/stack.ts';

const withK6 = hasK6 ? test : test.skip;
// Some five minutes long: LOAD_TEST_FAULTS=1 ./test.sh test/stack/load-tests
const withFaults = process.env.LOAD_TEST_FAULTS ? test : test.skip;
if (process.env.LOAD_TEST_FAULTS && !hasK6) throw new Error('LOAD_TEST_FAULTS needs a k6 on the PATH');

let stack: Stack;
let edge: FaultyEdge;
beforeAll(async () => {
  stack = await startStack();
  edge = await startFaultyEdge(stack.url);
}, 60_000);
afterAll(async () => {
  edge.close();
  await stack.stop();
});

/** A twentieth of their length, all at once. The soak's is twenty minutes, and it samples every five seconds. */
async function runAll(scripts: readonly string[], fault: Fault, settings: Record<string, string> = {}) {
  seed(stack, '--reset');
  edge.fault = fault;
  const runs = scripts.map(async (script): Promise<[string, Run]> => {
    const environment = {
      API_BASE: edge.url,
      ADMIN_TOKEN: stack.replicas[0]?.environment.ADMIN_TOKEN ?? '',
      REPLICA_URLS: stack.replicas.map(({ debugUrl }) => debugUrl).join(' '),
      TIME_SCALE: script === 'soak' ? '0.01' : '0.05',
      ...settings,
    };
    return [script, await runK6(script, environment)];
  });
  try {
    return new Map(await Promise.all(runs));
  } finally {
    edge.fault = FAULTS.none;
  }
}

/** How fast something was, or how much of it was done in its time: of a machine that others use too. */
const OF_TIME = /duration|dropped_iterations|in_time|growth/;
/** No answer makes every script throw, so this objective has a test of its own. */
const EXCEPTIONS = 'script_errors count==0';
/** Each script has them for its scenarios, by options.ts; they have a test of their own too. */
const RAN = /^iterations\{scenario:/;
const failedOf = ({ thresholds }: Run) => [...thresholds].filter(([, ok]) => !ok).map(([threshold]) => threshold);

/** Stops both replicas most of the time, as a machine does that has more to do than it can; then they go on. */
async function freezeReplicas(): Promise<void> {
  const all = (name: NodeJS.Signals) => {
    for (const replica of stack.replicas) replica.signal(name);
  };
  for (let n = 0; n < 15; n++) {
    all('SIGSTOP');
    await sleep(1300);
    all('SIGCONT');
    await sleep(50);
  }
}

withK6(
  'Every script runs, and on a stack that works every objective is met that is not one of time',
  async () => {
    const unmet = (run: Run) => failedOf(run).filter((threshold) => !OF_TIME.test(threshold));
    for (const [script, run] of await runAll(SCRIPTS, FAULTS.none)) {
      if (unmet(run).length === 0) continue;
      // All at once are too much for a machine that is busy: Redis then takes over 150 ms, and writes get a 503. Alone it decides.
      const alone = (await runAll([script], FAULTS.none)).get(script) as Run;
      if (unmet(alone).length > 0) throw new Error(`${script}: ${unmet(alone)}\n${alone.output}`);
    }
  },
  240_000,
);

withK6('An iteration that throws, of which k6 itself only writes a line into its log, fails the run', async () => {
  const script = `${temporaryFolder('k6-script')}/throws.ts`;
  const source = `import { iteration } from '${K6_FOLDER}/lib/api.ts';
import { options as make } from '${K6_FOLDER}/lib/options.ts';
export { handleSummary } from '${K6_FOLDER}/lib/summary.ts';
export const options = make({ once: { executor: 'per-vu-iterations' } }, {});
export default iteration(() => { throw new Error('on purpose'); });
`;
  writeFileSync(script, source);
  expect(failedOf(await runK6(script, {}))).toEqual([EXCEPTIONS]);
});

/** A script with two scenarios, and objectives of which nothing is ever measured. */
const IDLE = (lib: string) => `import { Rate, Trend } from 'k6/metrics';
import { iteration } from '${lib}/api.ts';
import { options as make } from '${lib}/options.ts';
export { handleSummary } from '${lib}/summary.ts';
new Rate('failures');
new Trend('waits');
export const options = make({ once: { executor: 'per-vu-iterations' } }, { checks: [], failures: ['rate<0.1'], waits: ['p(95)<100'] });
export default iteration(() => {});
`;

withK6('Where the scenarios are replaced, each of them fails for having not run', async () => {
  const runs = await runAll(['spike', 'crud'], FAULTS.none, { K6_VUS: '1', K6_DURATION: '1s' });
  const ran = [...runs.values()].flatMap((run) => failedOf(run).filter((each) => RAN.test(each)));
  expect(ran.sort()).toEqual(
    ['after', 'before', 'crud_load', 'smoke', 'spike'].map((name) => `iterations{scenario:${name}} count>0`),
  );
});

describe('k6/run.sh', () => {
  const api = () => ({ API_BASE: stack.url, TIME_SCALE: '0.05', K6_OUT: '' });
  const start = (args: string[], environment: NodeJS.ProcessEnv = {}, folder = repository) =>
    startRunScript(folder, args, { ...api(), ...environment });
  const ended = async (run: ScriptRun) => ({ code: await run.code, output: run.output });

  withK6(
    'An objective without a sample is not met, and the run fails',
    async () => {
      const folder = temporaryFolder('k6-clone');
      for (const part of ['k6', 'native', '.env.example']) {
        cpSync(`${repository}/${part}`, `${folder}/${part}`, { recursive: true });
      }
      writeFileSync(`${folder}/k6/idle.ts`, IDLE('./lib'));
      const { code, output } = await ended(start(['idle'], {}, folder));
      expect(output).toMatch('## k6 idle: FAILED');
      for (const row of ['failures | rate<0.1', 'waits | p(95)<100']) {
        expect(output).toMatch(`| ${row} | no samples | **not met** |`);
      }
      expect(output).toMatch('| iterations{scenario:once} | count>0 | 1 | met |');
      expect(code).toBe(99);
    },
    60_000,
  );

  withK6(
    'What would make it another test is refused, and so is what k6 does not understand; the last summary stays',
    async () => {
      const results = temporaryFolder('k6');
      writeFileSync(`${results}/summary.md`, 'the last one');
      const OTHER_TEST = /would make spike another test than its objectives are for/;
      const refused = (reason: string) => new RegExp(`${reason}[^]*k6 refuses this \\(above\\); nothing was changed`);
      const config = `${results}/config.json`;
      writeFileSync(config, '{"vus": 1, "duration": "1s"}');
      const options =
        '--vus 1|-u1|--duration 3s|-d 3s|-i 1|--iterations=1|-s 1s:1|--stage 1s:1|--no-thresholds|--no-setup|--paused|--linger|--rps 1|-e TIME_SCALE=1|--execution-segment 1/2|--system-tags url|--discard-response-bodies|--summary-mode disabled|other.ts|--';
      const variables =
        'VUS=1|DURATION=3s|ITERATIONS=1|STAGES=1s:1|NO_THRESHOLDS=true|NO_SETUP=true|EXECUTION_SEGMENT=1/2|RPS=1|LINGER=true|SYSTEM_TAGS=url|SUMMARY_MODE=disabled';
      const cases: [string[], NodeJS.ProcessEnv, RegExp][] = [
        ...options.split('|').map((each): [string[], NodeJS.ProcessEnv, RegExp] => [each.split(' '), {}, OTHER_TEST]),
        [['-c', config], {}, OTHER_TEST],
        [[`--config=${config}`], {}, OTHER_TEST],
        [[], { K6_CONFIG: config }, OTHER_TEST],
        ...variables.split('|').map((each): [string[], NodeJS.ProcessEnv, RegExp] => {
          const [name, value] = each.split('=');
          return [[], { [`K6_${name}`]: value }, OTHER_TEST];
        }),
        [['--tag'], {}, /--tag needs a value/],
        [['--tag', 'x'], {}, refused('invalid tag')],
        [['-o', 'nowhere'], {}, refused("invalid output type 'nowhere'")],
        [[], { K6_OUT: 'nowhere' }, refused("invalid output type 'nowhere'")],
        [[], { TIME_SCALE: '7' }, refused('TIME_SCALE=7')],
      ];
      for (const [args, environment, reason] of cases) {
        const { code, output } = await ended(start(['spike', ...args], { RESULTS: results, ...environment }));
        expect([args, environment, code, output]).toEqual([args, environment, 1, expect.stringMatching(reason)]);
      }
      for (const help of [['--help'], ['spike', '-h'], ['rinha', '--quiet', '--help']]) {
        const { code, output } = await ended(start(help, { RESULTS: results }));
        expect([help, code, output]).toEqual([help, 0, expect.stringMatching(/^k6\/run\.sh SCRIPT \[option\.\.\.\]/)]);
      }
      expect(readFileSync(`${results}/summary.md`, 'utf8')).toBe('the last one');
    },
    120_000,
  );

  withK6(
    "A configuration in the user's home does not count; options that only say where figures go do",
    async () => {
      const home = temporaryFolder('home');
      mkdirSync(`${home}/.config/k6`, { recursive: true });
      writeFileSync(`${home}/.config/k6/config.json`, '{"vus": 1, "iterations": 1}');
      const csv = `${home}/run.csv`;
      const run = start(['basic', '--tag', 'of=mine', '-o', `csv=${csv}`, '--no-color'], { HOME: home });
      const { output } = await ended(run);
      expect(output).toMatch('## k6 basic:');
      expect(output).toMatch(/iterations\{scenario:users\} \| count>0 \| \d+ \| met/);
      expect(readFileSync(csv, 'utf8')).toMatch('of=mine');
    },
    60_000,
  );

  withK6.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'One %s ends a run, which leaves a summary of what it has',
    async (signal) => {
      const csv = `${temporaryFolder('k6')}/run.csv`;
      const run = start(['spike'], { TIME_SCALE: '1', K6_OUT: `csv=${csv}` });
      const hasFigures = () => existsSync(csv) && statSync(csv).size > 0 && /GET/.test(readFileSync(csv, 'utf8'));
      await until('the first figures', hasFigures);
      run.process.kill(signal);
      const { code, output } = await ended(run);
      expect(output).toMatch(`${signal}: ending the run`);
      expect(output).toMatch('k6 ended with 105, before its time');
      expect(code).toBe(105);
      expect(existsSync(`${run.results}/summary.json`)).toBe(true);
    },
    60_000,
  );
});

withFaults(
  'Each objective of each script fails when it is broken',
  async () => {
    const broken = new Map<string, Set<string>>(SCRIPTS.map((script) => [script, new Set()]));
    const all = new Map<string, Set<string>>(SCRIPTS.map((script) => [script, new Set()]));
    const record = (runs: Map<string, Run>) => {
      for (const [script, run] of runs) {
        for (const threshold of run.thresholds.keys()) all.get(script)?.add(threshold);
        for (const threshold of failedOf(run)) broken.get(script)?.add(threshold);
      }
    };
    record(await runAll(SCRIPTS, FAULTS['wrong bodies']));
    record(await runAll(SCRIPTS, FAULTS.failures));
    record(await runAll(SCRIPTS, FAULTS.refusals));
    // One request after the other: what waits for a frozen replica is too little of all to show.
    const patient = ['smoke', 'stress'];
    const frozen = runAll(
      SCRIPTS.filter((script) => !patient.includes(script)),
      FAULTS.none,
    );
    await freezeReplicas();
    record(await frozen);
    record(await runAll([...patient, 'shop'], FAULTS.delays, { TIME_SCALE: '0.1' }));
    // Nginx gives up on frozen replicas, and its quick refusals free the users that k6 has; these two have many. (The soak's
    // setup may have outlasted the frost.)
    record(await runAll(['spike'], hangingAfter(1500)));
    record(await runAll(['soak'], hangingAfter(1500)));
    record(await runAll(['rinha'], hangingAfter(4000)));
    record(await runAll(['cache'], FAULTS['nothing cached']));
    record(await runAll(['cache'], FAULTS['stale reads']));
    record(await runAll(['rinha'], FAULTS.overdrafts));
    record(await runAll(['shop'], FAULTS['wrong totals'], { TIME_SCALE: '0.2' }));
    const leaking = await startLeakingReplica();
    record(await runAll(['soak'], FAULTS.none, { REPLICA_URLS: `${leaking.url} ${leaking.url}` }));
    leaking.close();

    const held = [...all].flatMap(([script, thresholds]) =>
      [...thresholds]
        .filter((each) => each !== EXCEPTIONS && !RAN.test(each) && !broken.get(script)?.has(each))
        .map((each) => `${script}: ${each}`),
    );
    expect(held).toEqual([]);
  },
  600_000,
);
