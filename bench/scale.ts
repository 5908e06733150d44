/**
 * Does the system scale? Each replica may use a small part of a core, so that 8 of them fit on this machine. One is given as much
 * as keeps it busy, then 2, 4 and 8 as many times that: what each answers must not fall. (At a given rate, not as much as they
 * can: whoever sends the next request after the last answer has more of them wait at the one replica, which then does them
 * together, and cheaper.) Needs root and cgroups.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { cleanUp, startPostgres, startRedis } from '../backend/test/support/servers.ts';
import { databaseUrl, startReplica } from '../backend/test/support/stack.ts';
import { makeDatabase, startOwnNginx, type Workload, type World } from './contenders.ts';
import { fill, pace, saturate, type Target, weigh } from './load.ts';
import { type Load, median, PROCESSES, table } from './report.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    /** Percent of a core for each replica. */
    quota: { type: 'string', default: '10' },
    workloads: { type: 'string', default: 'cached,mix' },
  },
});
const COUNTS = [1, 2, 4, 8];
const PERIOD_US = 50_000;
const WARM_UP_SECONDS = 4;
const WARM_UP_CONNECTIONS = 64;
/** What one replica answers when this many requests wait for it, it answers cheaply, because together: each alone costs more. */
const CONNECTIONS = 8;
const SHARE = 0.4;

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

interface Result extends Load {
  readonly count: number;
  readonly workload: Workload;
  readonly cpu: Awaited<ReturnType<typeof weigh>>['cpu'];
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
  for (const workload of workloads) await saturate(all, workload, WARM_UP_SECONDS, WARM_UP_CONNECTIONS);
  for (const { pid } of replicas) limit(pid, Number(options.quota));
  const seconds = Number(options.seconds);
  const run = (target: Target, workload: Workload, rate: number) =>
    weigh(target, world, async () => pace(target, workload, seconds, rate));

  for (const workload of workloads) {
    const most = await saturate(targets[0] as Target, workload, seconds, CONNECTIONS);
    const rate = Math.round((SHARE * most.requests) / most.seconds);
    const results: Result[] = [];
    for (let round = 0; round < Number(options.rounds); round++) {
      for (let n = 0; n < targets.length; n++) {
        const target = targets[(n + round) % targets.length] as Target;
        const count = target.replicas.length;
        results.push({ count, workload, ...(await run(target, workload, rate * count)) });
        process.stderr.write('.');
      }
    }
    process.stderr.write(`${workload}\n`);
    const answered = (count: number) =>
      median(results.filter((it) => it.count === count).map((it) => (it.requests - it.failed) / it.seconds / count));
    const rows = COUNTS.map((count) => {
      const own = results.filter((result) => result.count === count);
      const of = (value: (result: Result) => number) => median(own.map(value)).toFixed(0);
      const cpu = PROCESSES.map((kind) => of((result) => result.cpu[kind]));
      const failed = own.reduce((sum, result) => sum + result.failed, 0);
      const each = answered(count);
      const busy = Number(of((result) => result.cpu.replicas)) * each;
      const used = `${(busy / (Number(options.quota) * 100)).toFixed(0)} %`;
      const latency = [of(({ p50 }) => p50), of(({ p99 }) => p99)];
      return [
        count,
        (each * count).toFixed(0),
        each.toFixed(1),
        (each / answered(1)).toFixed(3),
        used,
        ...cpu,
        ...latency,
        failed,
      ];
    });
    const costs = ['Nginx µs', 'replicas µs', 'Redis µs', 'PostgreSQL µs'];
    const head = ['replicas', 'answers/s', 'each', '÷ one', 'of its quota', ...costs, 'p50 ms', 'p99 ms', 'failed'];
    console.log(`### ${workload}, ${options.quota} % of a core each, ${rate}/s each\n\n${table([head, ...rows])}\n`);
  }
} finally {
  await cleanUp();
  for (const group of groups) {
    if (readFileSync(`${group}/cgroup.procs`, 'utf8') === '') rmdirSync(group);
  }
}
