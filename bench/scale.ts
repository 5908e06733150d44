/**
 * Does the system scale? Each replica may use a small part of a core, so that 8 of them fit on this machine, and 1, 2, 4 and 8
 * of them carry what they can: what a replica carries must not fall when there are more. Needs root and cgroups.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { cleanUp, startPostgres, startRedis } from '../backend/test/support/servers.ts';
import { databaseUrl, startReplica } from '../backend/test/support/stack.ts';
import { makeDatabase, startOwnNginx, type Workload, type World } from './contenders.ts';
import { fill, saturate, type Target, weigh } from './load.ts';
import { median, PROCESSES, table } from './report.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    /** Percent of a core for each replica. */
    quota: { type: 'string', default: '5' },
    workloads: { type: 'string', default: 'cached,mix' },
  },
});
const COUNTS = [1, 2, 4, 8];
const CONNECTIONS_EACH = 8;
const PERIOD_US = 50_000;
const WARM_UP_SECONDS = 4;

/** Version 1 has a tree for each resource; version 2 has one. */
const root = existsSync('/sys/fs/cgroup/cgroup.controllers') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpu';
const groups: string[] = [];

function limit(pid: number, percent: number): void {
  const group = `${root}/tandem-bench-${pid}`;
  const quota = Math.round((PERIOD_US * percent) / 100);
  mkdirSync(group);
  groups.push(group);
  if (root.endsWith('cpu')) {
    writeFileSync(`${group}/cpu.cfs_period_us`, `${PERIOD_US}`);
    writeFileSync(`${group}/cpu.cfs_quota_us`, `${quota}`);
  } else {
    writeFileSync(`${group}/cpu.max`, `${quota} ${PERIOD_US}`);
  }
  writeFileSync(`${group}/cgroup.procs`, `${pid}`);
}

interface Result {
  readonly count: number;
  readonly workload: Workload;
  readonly rate: number;
  readonly cpu: Awaited<ReturnType<typeof weigh>>['cpu'];
  readonly failed: number;
}

try {
  const postgres = await startPostgres({ fsync: 'on', max_connections: '300' });
  const redis = await startRedis();
  const world: World = { postgres, redis, python: '' };
  const items = fill(postgres, makeDatabase('scale', postgres));
  const settings = { NODE_ENV: 'production', DATABASE_URL: databaseUrl(postgres, 'bench_scale') };
  const most = COUNTS.at(-1) as number;
  const replicas = [];
  for (let n = 1; n <= most; n++) {
    replicas.push(await startReplica(`backend-${n}`, postgres, redis, undefined, settings));
  }
  const targets: Target[] = [];
  for (const count of COUNTS) {
    const some = replicas.slice(0, count);
    targets.push({ name: `${count}`, nginx: await startOwnNginx(some), replicas: some, items });
  }
  const workloads = options.workloads.split(',') as Workload[];
  const all = targets.at(-1) as Target;
  for (const workload of workloads) await saturate(all, workload, WARM_UP_SECONDS, CONNECTIONS_EACH * most);
  for (const { pid } of replicas) limit(pid, Number(options.quota));
  const results: Result[] = [];
  for (const workload of workloads) {
    for (let round = 0; round < Number(options.rounds); round++) {
      for (let n = 0; n < targets.length; n++) {
        const target = targets[(n + round) % targets.length] as Target;
        const count = target.replicas.length;
        const load = () => saturate(target, workload, Number(options.seconds), CONNECTIONS_EACH * count);
        const { requests, seconds, cpu, failed } = await weigh(target, world, load);
        results.push({ count, workload, rate: requests / seconds, cpu, failed });
        process.stderr.write('.');
      }
    }
    process.stderr.write(`${workload}\n`);
  }
  for (const workload of workloads) {
    const of = (count: number) => results.filter((result) => result.workload === workload && result.count === count);
    const one = median(of(1).map(({ rate }) => rate));
    const rows = COUNTS.map((count) => {
      const own = of(count);
      const each = median(own.map(({ rate }) => rate)) / count;
      const cpu = PROCESSES.map((kind) => median(own.map((result) => result.cpu[kind])).toFixed(0));
      const failed = own.reduce((sum, result) => sum + result.failed, 0);
      return [count, (each * count).toFixed(0), each.toFixed(0), (each / one).toFixed(3), ...cpu, failed];
    });
    const head = [
      'replicas',
      'requests/s',
      'each',
      '÷ one',
      'Nginx µs',
      'replicas µs',
      'Redis µs',
      'PostgreSQL µs',
      'failed',
    ];
    console.log(`### ${workload}, ${options.quota} % of a core each\n\n${table([head, ...rows])}\n`);
  }
} finally {
  await cleanUp();
  for (const group of groups) {
    if (readFileSync(`${group}/cgroup.procs`, 'utf8') === '') rmdirSync(group);
  }
}
