/** The load: as much as can be carried, or at a given rate; and what each process used meanwhile. */
import { execFile, execFileSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { type Postgres, psql } from '../backend/test/support/servers.ts';
import type { Contender, Workload, World } from './contenders.ts';
import { cpuSeconds } from './cpu.ts';
import type { Cpu, Load } from './report.ts';

/** Of tasks and of items, all of them read in turn. */
const ROWS = 500;
/** A command line has its limits. */
const ITEMS_READ = 100;
const TEXT = { title: 'Water the plants', description: 'All of them, also the cactus' };

export const execute = promisify(execFile);

/** The rows that are read. Autovacuum would fall on whoever's turn it is. */
export function fill(postgres: Postgres, database: string): string[] {
  for (const table of ['tasks', 'items', 'write_outcomes', 'users', 'transactions']) {
    psql(postgres, database, `alter table ${table} set (autovacuum_enabled = false)`);
  }
  const text = `'${TEXT.title}', '${TEXT.description}'`;
  psql(postgres, database, `insert into tasks (title, description) select ${text} from generate_series(1, ${ROWS})`);
  psql(
    postgres,
    database,
    `insert into users (id, nome, email, limite) select n, n, n || '@example.com', 1000 from generate_series(1, 5) n`,
  );
  psql(postgres, database, `insert into items (title, description) select ${text} from generate_series(1, ${ROWS})`);
  return psql(postgres, database, 'select id from items').trim().split('\n');
}

export interface Target extends Contender {
  readonly items: readonly string[];
}

/** As many requests as the connections can carry. */
export async function saturate(
  { nginx, items }: Target,
  workload: Workload,
  duration: number,
  connections: number,
): Promise<Load> {
  const script = path.join(import.meta.dirname, 'wrk/requests.lua');
  const { stdout } = await execute('wrk', [
    ...['-t', '1', '-c', `${connections}`, '-d', `${duration}s`, '-s', script, `http://127.0.0.1:${nginx.port}`],
    ...['--', workload, `${ROWS}`, ...items.slice(0, ITEMS_READ)],
  ]);
  return JSON.parse(stdout.trim().split('\n').at(-1) as string);
}

/** As many requests a second as it is told, whether the answers come or not: their latencies hide no waiting. */
export async function pace(
  { nginx, items }: Target,
  workload: Workload,
  duration: number,
  rate: number,
): Promise<Load> {
  const url = `http://127.0.0.1:${nginx.port}`;
  const write = { header: { 'Content-Type': ['application/json'] }, body: btoa(JSON.stringify(TEXT)) };
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
  const {
    latencies,
    requests,
    success,
    duration: took,
    wait,
  } = JSON.parse(execFileSync('vegeta', ['report', '-type=json'], { input: results, encoding: 'utf8' }));
  const failed = Math.round(requests * (1 - success));
  return { requests, seconds: (took + wait) / 1e9, p50: latencies['50th'] / 1e6, p99: latencies['99th'] / 1e6, failed };
}

/** Runs a load and weighs every process meanwhile. */
export async function weigh(
  { nginx, replicas }: Target,
  { postgres, redis }: World,
  load: () => Promise<Load>,
): Promise<Load & { cpu: Cpu }> {
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
  return { ...result, cpu: Object.fromEntries(each) as Cpu };
}
