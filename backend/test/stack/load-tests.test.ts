/**
 * The load tests of k6/ themselves: do they run, and does each of their objectives fail when it is broken? With k6 on the
 * PATH; otherwise they are skipped. Each run is a twentieth as long as a real one, so no objective of time must hold.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  FAULTS,
  type Fault,
  type FaultyEdge,
  hangingAfter,
  startFaultyEdge,
  startLeakingReplica,
} from '../support/faulty-edge.ts';
import { hasK6, K6_FOLDER, type Run, runK6, SCRIPTS } from '../support/k6.ts';
import { temporaryFolder } from '../support/servers.ts';
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
        .filter((each) => each !== EXCEPTIONS && !broken.get(script)?.has(each))
        .map((each) => `${script}: ${each}`),
    );
    expect(held).toEqual([]);
  },
  600_000,
);
