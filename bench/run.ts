/**
 * Runs all contenders in turn on one PostgreSQL and one Redis, round after round, and prints what each request costs.
 * Two numbers of two runs must not be compared: machines are noisy, and a pair of one round is not. (docs/benchmarks.md)
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  asSuperuser,
  cleanUp,
  postgresProgram,
  type RunningServer,
  startPostgres,
  startRedis,
  temporaryFolder,
} from '../backend/test/support/servers.ts';
import { CONTENDERS, database, makeDatabase, WORKLOADS, type Workload, type World } from './contenders.ts';
import { cpuSeconds } from './cpu.ts';
import { execute, fill, pace, saturate, type Target, weigh } from './load.ts';
import { report, type Sample } from './report.ts';

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
const connections = Number(options.connections);
const WARM_UP_SECONDS = 2;

/** Of one statement or command by itself, without any of us: what it takes at least. @returns microseconds of CPU */
async function limitOf(server: RunningServer, program: string, args: string[], count: RegExp): Promise<string> {
  const before = cpuSeconds([server.pid]);
  const { stdout } = await execute(program, args);
  const operations = Number(count.exec(stdout)?.[1]);
  return (((cpuSeconds([server.pid]) - before) * 1e6) / operations).toFixed(0);
}

async function serverLimits({ postgres, redis }: World, database: string): Promise<string> {
  const pgbench = async (statement: string) => {
    const file = path.join(temporaryFolder('pgbench'), 'statement.sql');
    writeFileSync(file, `\\set id random(1, 500)\n${statement};\n`);
    const args = [
      '-n',
      '-M',
      'prepared',
      '-c',
      options.connections,
      '-T',
      options.seconds,
      '-f',
      file,
      ...asSuperuser(postgres),
      database,
    ];
    return limitOf(postgres, postgresProgram('pgbench'), args, /actually processed: (\d+)/);
  };
  const columns = 'id, title, description, status, created_at, updated_at';
  const read = await pgbench(`select ${columns} from tasks where id = :id`);
  const create = await pgbench(`insert into tasks (title, description) values ('a', 'b') returning ${columns}`);
  const count = 200_000;
  const common = ['-p', `${redis.port}`, '-c', options.connections, '-n', `${count}`, '-t', 'get', '-d', '200'];
  const get = await limitOf(redis, 'redis-benchmark', common, /(\d+) requests completed/);
  return `### Limits\n\nCPU µs by itself: PostgreSQL, a read by id ${read} and an insert ${create} (pgbench, prepared); Redis, GET ${get}\n`;
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
    for (const target of players) await saturate(target, workload, WARM_UP_SECONDS, connections);
    for (let round = 1; round <= Number(options.rounds); round++) {
      // Each begins once: what the one before leaves behind (dirty pages) must not always meet the same one.
      const order = players.map((_, n) => players[(n + round) % players.length] as Target);
      for (const target of order) {
        const sample = await weigh(target, world, () => saturate(target, workload, seconds, connections));
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
  console.log(await serverLimits(world, database(names[0] as string)));
  if (options.out) writeFileSync(options.out, `${JSON.stringify(samples, null, 1)}\n`);
} finally {
  await cleanUp();
}
