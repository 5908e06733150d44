/** What is compared: each with two replicas behind an Nginx of its own, a database of its own, all on one PostgreSQL and one Redis. */
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  asSuperuser,
  freePort,
  type Postgres,
  postgresProgram,
  type RedisServer,
  type RunningServer,
  run,
  startNginx,
  temporaryFolder,
  until,
} from '../backend/test/support/servers.ts';
import { changeCode, copyOfCode, databaseUrl, runMigrations, startReplica } from '../backend/test/support/stack.ts';

export const WORKLOADS = ['ping', 'cached', 'uncached', 'create', 'mix'] as const;
/** The last two are of this project only: transfers to one account, and to five. */
export type Workload = (typeof WORKLOADS)[number] | 'row' | 'rows';

export interface Contender {
  readonly name: string;
  /** What it can do; absent: all. */
  readonly workloads?: readonly Workload[];
  readonly nginx: RunningServer;
  readonly replicas: readonly RunningServer[];
}

export interface World {
  readonly postgres: Postgres;
  readonly redis: RedisServer;
  /** FastAPI's Python, with its requirements installed. */
  readonly python: string;
}

const REPLICAS = ['backend-1', 'backend-2'];

/** What the Nginx of a peer has: connections to the replicas are kept, and each request is logged. */
async function startPlainNginx(ports: readonly number[], location = 'proxy_pass http://api;'): Promise<RunningServer> {
  const folder = temporaryFolder('nginx');
  chmodSync(folder, 0o755); // the workers are another user
  const port = await freePort();
  const servers = ports.map((each) => `server 127.0.0.1:${each};`).join(' ');
  writeFileSync(
    `${folder}/nginx.conf`,
    `${process.getuid?.() === 0 ? 'user www-data;' : ''}
    pid ${folder}/nginx.pid;
    worker_processes auto;
    events { worker_connections 4096; }
    http {
      access_log ${folder}/access.log;
      ${servers && `upstream api { zone api 64k; ${servers} keepalive 32; }`}
      server {
        listen 127.0.0.1:${port} backlog=4096;
        keepalive_requests 10000;
        location / {
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_set_header Host $host;
          proxy_set_header X-Forwarded-For $remote_addr;
          ${location}
        }
      }
    }`,
  );
  const log = `${folder}/error.log`;
  const nginx = run('nginx', ['-c', `${folder}/nginx.conf`, '-e', log, '-g', 'daemon off;'], { log, port });
  await until('Nginx', async () => (await fetch(`http://127.0.0.1:${port}/ping`)).status < 500, log);
  return nginx;
}

type Command = (port: number) => [command: string, ...args: string[]];

/** Two processes of another server, which are told what they need by the environment. */
async function startPeer(
  name: string,
  { postgres, redis }: World,
  command: Command,
  settings: Record<string, string> = {},
): Promise<Contender> {
  const start = async (instance: string) => {
    const port = await freePort();
    const log = path.join(temporaryFolder(name), 'log');
    const [program, ...args] = command(port);
    const server = run(program, args, {
      log,
      port,
      cwd: import.meta.dirname,
      env: {
        NODE_ENV: 'production',
        PORT: `${port}`,
        INSTANCE_NAME: instance,
        DATABASE_URL: databaseUrl(postgres, database(name)),
        REDIS_URL: `${redis.url}/${Object.keys(CONTENDERS).indexOf(name)}`,
        ...settings,
      },
    });
    await until(name, async () => (await fetch(`http://127.0.0.1:${port}/ping`)).ok, log);
    return server;
  };
  const replicas = await Promise.all(REPLICAS.map(start));
  return { name, replicas, nginx: await startPlainNginx(replicas.map(({ port }) => port)) };
}

/** Of a contender. */
export const database = (name: string) => `bench_${name.replaceAll('-', '_')}`;

/** The same tables for all, each in a database of its own. @returns its name */
export function makeDatabase(name: string, postgres: Postgres): string {
  execFileSync(postgresProgram('createdb'), [...asSuperuser(postgres), database(name)]);
  runMigrations(postgres, name === 'before' ? process.env.BEFORE : undefined, database(name));
  return database(name);
}

/** This project's Nginx; all the load comes from one address. */
export const startOwnNginx = (replicas: readonly RunningServer[]) =>
  startNginx(
    replicas.map(({ port }) => port),
    { LIMIT_RATE: '100000r/s', LIMIT_BURST: '100000' },
  );

async function startTandem(
  name: string,
  { postgres, redis }: World,
  folder?: string,
  own: Record<string, string> = {},
): Promise<Contender> {
  const settings = { NODE_ENV: 'production', DATABASE_URL: databaseUrl(postgres, database(name)), ...own };
  const replicas = await Promise.all(
    REPLICAS.map((each) => startReplica(each, postgres, redis, undefined, settings, folder ? { folder } : {})),
  );
  return { name, replicas, nginx: await startOwnNginx(replicas) };
}

/** Writes that come twice happen twice. */
function withoutOutcomes(): string {
  const folder = copyOfCode();
  changeCode(path.join(folder, 'src/platform/database/write-outcomes.ts'), [['        kept(keeping),\n', '']]);
  return folder;
}

const node =
  (file: string): Command =>
  () => [process.execPath, file];
const none = async (name: string, location: string): Promise<Contender> => ({
  name,
  workloads: ['ping'],
  replicas: [],
  nginx: await startPlainNginx([], location),
});

/** By name: how each is started. The limits come last. */
export const CONTENDERS: Record<string, (world: World) => Promise<Contender>> = {
  tandem: (world) => startTandem('tandem', world),
  fastify: (world) => startPeer('fastify', world, node('fastify/server.js')),
  'fastify-bare': (world) => startPeer('fastify-bare', world, node('fastify/server.js'), { BARE: 'on' }),
  express: (world) => startPeer('express', world, node('express/server.js')),
  fastapi: (world) =>
    startPeer('fastapi', world, (port) => [
      world.python,
      '-m',
      'uvicorn',
      '--app-dir',
      'fastapi',
      '--port',
      `${port}`,
      'main:app',
    ]),
  'node-http': async (world) => ({
    ...(await startPeer('node-http', world, node('limits/server.js'))),
    workloads: ['ping'],
  }),
  'nginx-return': () => none('nginx-return', 'return 200 "pong";'),
  // What the guarantees cost: this project without the cache, and without keeping the outcomes of writes.
  'without-redis': (world) => startTandem('without-redis', world, undefined, { REDIS_URL: '' }),
  'without-outcomes': (world) => startTandem('without-outcomes', world, withoutOutcomes()),
  // Another copy of this project, to compare two versions of it: BEFORE is its folder backend/.
  before: (world) => startTandem('before', world, process.env.BEFORE),
};
