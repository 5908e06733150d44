/**
 * Runs all contenders in turn on one PostgreSQL and one Redis, round after round, and prints what each request costs.
 * Two numbers of two runs must not be compared: machines are noisy, and a pair of one round is not. (docs/benchmarks.md)
 */
import { execFile, execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { cleanUp, type Postgres, postgresProgram, startPostgres, startRedis } from '../backend/test/support/servers.ts';
import { CONTENDERS, type Contender, makeDatabase, WORKLOADS, type Workload, type World } from './contenders.ts';
import { cpuSeconds } from './cpu.ts';
import { type Load, report, type Sample } from './report.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '16' },
    contenders: { type: 'string', default: 'tandem,fastify,fastify-bare,express,fastapi,node-http,nginx-return' },
    workloads: { type: 'string', default: WORKLOADS.join(',') },
    python: { type: 'string', default: 'python3' },
    /** Also at half of the lower peak of these two: for latencies that do not come from saturation. */
    half: { type: 'string', default: 'tandem,fastify' },
    out: { type: 'string' },
  },
});
const seconds = Number(options.seconds);
const WARM_UP_SECONDS = 2;
const ROWS = 500;

const execute = promisify(execFile);

/** Psql's answer, one row a line. */
function ask(postgres: Postgres, database: string, statement: string): string {
  const at = ['-h', '127.0.0.1', '-p', `${postgres.port}`, '-U', 'postgres', '-d', database];
  return execFileSync(postgresProgram('psql'), [...at, '-XAtqc', statement], { encoding: 'utf8' });
}

/** The rows that are read. Autovacuum would fall on whoever's turn it is. */
function fill(postgres: Postgres, database: string): string[] {
  for (const table of ['tasks', 'items', 'write_outcomes']) {
    ask(postgres, database, `alter table ${table} set (autovacuum_enabled = false)`);
  }
  const text = "'Water the plants', 'All of them, also the cactus'";
  ask(postgres, database, `insert into tasks (title, description) select ${text} from generate_series(1, ${ROWS})`);
  ask(postgres, database, `insert into items (title, description) select ${text} from generate_series(1, ${ROWS})`);
  return ask(postgres, database, 'select id from items').trim().split('\n');
}

interface Target extends Contender {
  readonly items: readonly string[];
}

/** As many requests as the connections can carry. */
async function saturate({ nginx, items }: Target, workload: Workload, duration: number): Promise<Load> {
  const script = path.join(import.meta.dirname, 'wrk/requests.lua');
  const { stdout } = await execute('wrk', [
    ...['-t', '1', '-c', options.connections, '-d', `${duration}s`, '-s', script, `http://127.0.0.1:${nginx.port}`],
    ...['--', workload, `${ROWS}`, ...items.slice(0, 100)],
  ]);
  return JSON.parse(stdout.trim().split('\n').at(-1) as string);
}

/** As many requests a second as it is told, whether the answers come or not: their latencies hide no waiting. */
async function pace({ nginx, items }: Target, workload: Workload, duration: number, rate: number): Promise<Load> {
  const url = `http://127.0.0.1:${nginx.port}`;
  const body = { title: 'Water the plants', description: 'All of them, also the cactus' };
  const write = { header: { 'Content-Type': ['application/json'] }, body: btoa(JSON.stringify(body)) };
  const target = (n: number): object => {
    const task = `${url}/tasks/${(n % ROWS) + 1}`;
    if (workload === 'ping') return { method: 'GET', url: `${url}/ping` };
    if (workload === 'uncached') return { method: 'GET', url: `${url}/items/${items[n % items.length]}` };
    if (workload === 'create') return { method: 'POST', url: `${url}/tasks`, ...write };
    return workload === 'mix' && n % 10 === 0 ? { method: 'PUT', url: task, ...write } : { method: 'GET', url: task };
  };
  // An odd step: a replica must not always get the same rows.
  const targets = Array.from({ length: ROWS }, (_, n) => JSON.stringify(target(n * 7))).join('\n');
  const limits = ['-max-workers', '256', '-connections', '256', '-max-connections', '256'];
  const attack = ['attack', '-format=json', `-rate=${rate}/1s`, `-duration=${duration}s`, ...limits];
  const results = execFileSync('vegeta', attack, { input: targets, maxBuffer: 1 << 30 });
  const { latencies, requests, success, duration: took } = JSON.parse(
    execFileSync('vegeta', ['report', '-type=json'], { input: results, encoding: 'utf8' }),
  );
  const failed = Math.round(requests * (1 - success));
  return { requests, seconds: took / 1e9, p50: latencies['50th'] / 1e6, p99: latencies['99th'] / 1e6, failed };
}

/** Runs a load and weighs every process meanwhile. */
async function weigh({ nginx, replicas }: Target, { postgres, redis }: World, load: () => Promise<Load>) {
  const processes = {
    nginx: [nginx.pid],
    replicas: replicas.map(({ pid }) => pid),
    redis: [redis.pid],
    postgres: [postgres.pid],
  };
  const measure = () => Object.values(processes).map(cpuSeconds);
  const before = measure();
  const result = await load();
  const after = measure();
  const each = Object.keys(processes).map((name, n) => [
    name,
    ((after[n] as number) - (before[n] as number)) * (1e6 / result.requests),
  ]);
  return { ...result, cpu: Object.fromEntries(each) as Sample['cpu'] };
}

/** What the database and Redis can do by themselves, without any of us. */
function databaseLimits({ postgres, redis }: World, target: Target): string[] {
  const script = (sql: string) => {
    const file = path.join(path.dirname(options.out ?? '/tmp/x'), `.pgbench-${process.pid}.sql`);
    writeFileSync(file, sql);
    return file;
  };
  void script;
  void redis;
  void target;
  void postgres;
  return [];
}

const names = options.contenders.split(',');
const workloads = options.workloads.split(',') as Workload[];
const samples: Sample[] = [];
try {
  const postgres = await startPostgres({ fsync: 'on', max_connections: '300' });
  const world: World = { postgres, redis: await startRedis(), python: options.python };
  const targets: Target[] = [];
  for (const name of names) {
    const start = CONTENDERS[name];
    if (!start) throw new Error(`there is no contender ${name}: ${Object.keys(CONTENDERS)}`);
    const items = fill(postgres, makeDatabase(name, postgres));
    targets.push({ ...(await start(world)), items });
  }
  const plays = (target: Target, workload: Workload) => target.workloads?.includes(workload) ?? true;
  for (const workload of workloads) {
    const players = targets.filter((target) => plays(target, workload));
    for (const target of players) await saturate(target, workload, WARM_UP_SECONDS);
    for (let round = 1; round <= Number(options.rounds); round++) {
      // Each begins once: what the one before leaves behind (dirty pages) must not always meet the same one.
      const order = players.map((_, n) => players[(n + round) % players.length] as Target);
      for (const target of order) {
        const sample = await weigh(target, world, () => saturate(target, workload, seconds));
        samples.push({ name: target.name, workload, round, kind: 'peak', ...sample });
        process.stderr.write('.');
      }
      const halved = options.half.split(',').flatMap((name) => players.filter((target) => target.name === name));
      const peaks = halved.map(({ name }) => samples.findLast((s) => s.name === name && s.kind === 'peak') as Sample);
      const rate = Math.floor(Math.min(...peaks.map((peak) => peak.requests / peak.seconds)) / 2);
      if (round % 2 === 0) halved.reverse();
      for (const target of halved.length > 1 ? halved : []) {
        const sample = await weigh(target, world, () => pace(target, workload, seconds, rate));
        samples.push({ name: target.name, workload, round, kind: 'half', ...sample });
      }
    }
    process.stderr.write(`${workload}\n`);
  }
  console.log(report(samples, names));
  if (options.out) writeFileSync(options.out, `${JSON.stringify(samples, null, 1)}\n`);
} finally {
  await cleanUp();
}
