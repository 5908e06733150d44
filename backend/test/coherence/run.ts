/**
 * `npm run test:coherence`: tries to catch the cache lying. First the schedules that other protocols fail at, step by step; then
 * clients at three replicas, directly and through Nginx, while faults happen. A linearizability checker judges what they saw.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { asAdmin } from '../support/api.ts';
import { cleanUp } from '../support/servers.ts';
import { findViolation, formatViolation, type Operation, type Violation } from './checker.ts';
import { hangUp, type Register, runClients, send } from './clients.ts';
import { countFills, faults, startStack, stopStack } from './faults.ts';
import { randomFrom } from './random.ts';
import { runSchedule, schedules } from './schedules.ts';
import { makeVariant, SOURCE, variants } from './variants.ts';
import { createWorld } from './world.ts';

const RESULTS = path.join(import.meta.dirname, '../../../.data/coherence');
/** Clients go on for this long after the last fault, so that it is seen what it left behind. */
const AFTER_MS = 1_500;
const USAGE = `npm run test:coherence -- [option...]
  --seconds N      how long each fault schedule runs (30)
  --faults abc     which (abcdefghklmno; also i and j), or none: ""
  --seed N         of what is asked and when faults happen (random; printed)
  --clients N      how many at once (12)
  --no-schedules   without the step-by-step schedules
  --variant NAME   of the cache broken on purpose (${Object.keys(variants).join(', ')})
  --variants       the step-by-step schedules with every variant: each must be caught
  --replay FILE    judge a history that was written by a run that failed`;

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    faults: { type: 'string', default: 'abcdefghklmno' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 1e9)}` },
    clients: { type: 'string', default: '12' },
    'no-schedules': { type: 'boolean', default: false },
    variant: { type: 'string' },
    variants: { type: 'boolean', default: false },
    replay: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const number = (name: 'seconds' | 'seed' | 'clients') => {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1 on`);
  return value;
};
const say = (line: string) => process.stdout.write(`${line}\n`);

/** Infinity has no JSON. */
function toJson(content: object): string {
  return JSON.stringify(content, (_key, value) => (value === Number.POSITIVE_INFINITY ? 'unknown' : value));
}

function replay(file: string): boolean {
  const { register, history } = JSON.parse(readFileSync(file, 'utf8'), (_key, value) =>
    value === 'unknown' ? Number.POSITIVE_INFINITY : value,
  ) as { register: string; history: Operation[] };
  const violation = findViolation(history);
  say(`${register}: ${history.length} operations, ${violation ? formatViolation(violation) : 'no violation'}`);
  return violation === undefined;
}

/** @returns what was caught, by schedule */
async function runSchedules(source: string): Promise<Map<string, Violation | Error>> {
  const caught = new Map<string, Violation | Error>();
  let world = await createWorld(source);
  for (const name of Object.keys(schedules)) {
    try {
      const violation = await runSchedule(world, name);
      if (violation) caught.set(name, violation);
    } catch (error) {
      caught.set(name, error as Error);
      // What it was doing may go on: it shall not disturb the next.
      await world.stop();
      world = await createWorld(source);
    }
  }
  await world.stop();
  return caught;
}
const textOf = (found: Violation | Error) => (found instanceof Error ? found.message : formatViolation(found));

/** Made anew for each run: a key, a task and a product, the latter two in lists too. */
async function makeRegisters(url: string): Promise<Register[]> {
  const made = await send(url, 'POST', '/tasks', { title: 'task-0' });
  const task = `/tasks/${made.body.task.id}`;
  const registers: Register[] = [
    {
      name: 'key',
      path: '/kv',
      body: (value) => ({ key: 'hot', value }),
      reads: [{ path: '/kv?key=hot', value: (body) => body.data.value }],
    },
    {
      name: 'task',
      path: task,
      body: (title) => ({ title }),
      reads: [
        { path: task, value: (body) => body.task.title },
        { path: '/tasks?limit=5', value: (body) => body.tasks[0].title },
      ],
    },
    {
      name: 'product',
      path: '/products/1',
      headers: asAdmin,
      body: (name) => ({ name }),
      reads: [
        { path: '/products/1', value: (body) => body.name },
        { path: '/products?limit=5', value: (body) => body[0].name },
      ],
    },
  ];
  for (const { name, path, body, headers } of registers) await send(url, 'PUT', path, body(`${name}-0`), headers);
  return registers;
}

/** @returns whether nothing was wrong */
async function runFault(key: string, source: string, seed: number, seconds: number, clients: number): Promise<boolean> {
  const fault = faults[key];
  if (!fault) throw new Error(`no fault schedule "${key}": there are ${Object.keys(faults).join('')}`);
  const random = randomFrom(seed);
  const stack = await startStack(path.dirname(source), fault.pauses ?? '');
  const url = `http://127.0.0.1:${stack.nginx.port}`;
  const registers = await makeRegisters(url);
  const deadline = performance.now() + seconds * 1000;
  const rest = async (ms: number) => {
    await sleep(Math.max(0, Math.min(ms, deadline - performance.now())));
    return performance.now() < deadline;
  };
  let over = false;
  const disturbing = (async () => {
    await fault.run(stack, randomFrom(seed + 1), rest);
    await rest(seconds * 1000);
    await sleep(AFTER_MS);
  })().finally(() => {
    over = true;
  });
  const targets = [url, url, ...stack.replicas.map((replica) => replica.url)];
  const load = { registers, targets, clients: fault.clients ?? clients, writes: fault.writes, random };
  const seen = await runClients({ ...load, until: () => over });
  await disturbing;
  const fills = await countFills(stack);
  hangUp();
  await stopStack(stack);

  const { counts, histories, statuses, refusals } = seen;
  const problems: string[] = [];
  for (const [register, operations] of histories) {
    const first: Operation = { kind: 'write', value: `${register}-0`, invoke: -1, return: -1 };
    const history = [first, ...operations];
    const violation = findViolation(history);
    if (!violation) continue;
    mkdirSync(RESULTS, { recursive: true });
    const file = path.join(RESULTS, `${options.variant ?? 'violation'}-${key}-${register}-${seed}.json`);
    writeFileSync(file, toJson({ fault: fault.what, seed, register, history }));
    problems.push(`${register}: ${formatViolation(violation)}\n    the whole history: ${path.relative('', file)}`);
  }
  if (counts.hits === 0) problems.push('the cache was not in play: no hits');
  if (fault.readsNeverFail && counts.failedReads > 0) problems.push(`${counts.failedReads} reads failed`);
  const refused = refusals.length ? ` at ${spansOf(refusals)}` : '';
  say(
    `(${key}) ${fault.what}\n    ${counts.reads + counts.writes} operations: ${counts.reads} reads (${counts.failedReads} failed, ` +
      `${counts.hits} hits), ${counts.writes} writes (${counts.refusedWrites} refused${refused}; ${counts.unknownWrites} unknown), ` +
      `${fills} fills; ${[...statuses].map(([status, n]) => `${status}: ${n}`).join(', ')}`,
  );
  for (const problem of problems) say(`  VIOLATION ${problem}`);
  return problems.length === 0;
}
/** Times that lie less than a second apart, as spans. */
function spansOf(times: readonly number[]): string {
  const spans: [from: number, to: number][] = [];
  for (const time of times) {
    const last = spans.at(-1);
    if (last && time - last[1] < 1_000) last[1] = time;
    else spans.push([time, time]);
  }
  const seconds = (ms: number) => (ms / 1000).toFixed(1);
  return `${spans.map(([from, to]) => `${seconds(from)}–${seconds(to)}`).join(', ')} s`;
}

async function runVariants(): Promise<boolean> {
  let missed = 0;
  for (const [name, { what }] of Object.entries(variants)) {
    const caught = await runSchedules(makeVariant(name));
    const violations = [...caught].filter(([, found]) => !(found instanceof Error));
    say(`${name}: ${what}`);
    for (const [schedule] of violations) say(`  caught when ${schedule}`);
    if (violations[0]) say(`  the first: ${textOf(violations[0][1])}`);
    if (violations.length === 0) {
      missed++;
      say('  NOT CAUGHT');
    }
  }
  return missed === 0;
}

async function runAll(): Promise<boolean> {
  const source = options.variant ? makeVariant(options.variant) : SOURCE;
  const seed = number('seed');
  let good = true;
  if (!options['no-schedules']) {
    const caught = await runSchedules(source);
    say(`${Object.keys(schedules).length} schedules step by step: ${caught.size} violations`);
    for (const [name, found] of caught) say(`  VIOLATION when ${name}: ${textOf(found)}`);
    good = caught.size === 0;
  }
  for (const key of options.faults) {
    say(`seed ${seed}`);
    good = (await runFault(key, source, seed, number('seconds'), number('clients'))) && good;
  }
  return good;
}

let good = true;
try {
  if (options.help) say(USAGE);
  else if (options.replay) good = replay(options.replay);
  else good = options.variants ? await runVariants() : await runAll();
} finally {
  await cleanUp();
}
process.exit(good ? 0 : 1);
