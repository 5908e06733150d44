/** The whole system as processes of their own: PostgreSQL, Redis, replicas and Nginx, as start.sh runs them. */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  freePort,
  type Nginx,
  type Postgres,
  type RedisServer,
  type RunningServer,
  run,
  startNginx,
  startPostgres,
  startRedis,
  temporaryFolder,
  until,
} from './servers.ts';

const backend = path.join(import.meta.dirname, '../..');
const PASSWORDS = { DATABASE_APP_PASSWORD: 'application', DATABASE_METRICS_PASSWORD: 'statistics' };

export interface Replica extends RunningServer {
  readonly name: string;
  readonly debugUrl: string;
  readonly url: string;
  readonly log: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface Stack {
  postgres: Postgres;
  redis: RedisServer;
  replicas: Replica[];
  nginx: Nginx;
  /** The edge. */
  url: string;
  stop(): Promise<void>;
}

/** @param folder has the source in src/ */
export function runMigrations(postgres: Postgres, folder = backend, database = 'postgres'): void {
  execFileSync(process.execPath, ['src/migrate.ts'], {
    cwd: folder,
    stdio: 'pipe',
    env: { ...PASSWORDS, DATABASE_ADMIN_URL: `${postgres.adminUrl}/${database}` },
  });
}

/** How a replica connects. */
export const databaseUrl = ({ port }: Postgres, database = 'postgres') =>
  `postgres://tandem_app:${PASSWORDS.DATABASE_APP_PASSWORD}@127.0.0.1:${port}/${database}`;

/** The command that ./start.sh seed runs, in the environment of a replica. */
export function seed({ replicas }: Stack, ...options: string[]): void {
  execFileSync(process.execPath, ['src/seed.ts', ...options], {
    cwd: backend,
    stdio: 'pipe',
    env: replicas[0]?.environment as NodeJS.ProcessEnv,
  });
}

/** A copy of the code, to be changed. @returns the folder that has src/ in it */
export function copyOfCode(): string {
  const folder = temporaryFolder('code');
  cpSync(path.join(backend, 'src'), path.join(folder, 'src'), { recursive: true });
  cpSync(path.join(backend, 'package.json'), path.join(folder, 'package.json'));
  symlinkSync(path.join(backend, 'node_modules'), path.join(folder, 'node_modules'));
  return folder;
}

/** Changes a file of such a copy. @throws when it does not have one of the texts exactly once */
export function changeCode(file: string, changes: readonly (readonly [from: string, to: string])[]): void {
  let text = readFileSync(file, 'utf8');
  for (const [from, to] of changes) {
    if (text.split(from).length !== 2) throw new Error(`${path.basename(file)} does not have exactly once: ${from}`);
    text = text.replace(from, () => to);
  }
  writeFileSync(file, text);
}

export interface Program {
  /** The folder that has src/ in it. Default: this one. */
  readonly folder?: string;
  /** A module that is loaded before the program. */
  readonly preload?: string;
}

/** How a replica's heap is held, in production too. */
const HEAP: string[] = JSON.parse(readFileSync(path.join(backend, 'package.json'), 'utf8')).scripts.start.match(
  /--[\w-]+=\d+/g,
);

/** Starts a replica's process; it may still be waiting for its migrations when this returns. */
export async function launchReplica(
  name: string,
  postgres: Postgres,
  redis: RedisServer,
  port?: number,
  settings: Readonly<Record<string, string>> = {},
  program: Program = {},
): Promise<Replica> {
  const [traffic, debug] = [port ?? (await freePort()), await freePort()];
  const log = path.join(temporaryFolder(name), 'log');
  const environment = {
    INSTANCE_NAME: name,
    PORT: `${traffic}`,
    DEBUG_PORT: `${debug}`,
    DATABASE_URL: databaseUrl(postgres),
    REDIS_URL: redis.url,
    ADMIN_TOKEN: 'the-administrator',
    ...settings,
  };
  const preload = program.preload ? ['--import', program.preload] : [];
  const server = run(process.execPath, [...HEAP, ...preload, '--import', './src/tracing.ts', 'src/server.ts'], {
    cwd: program.folder ?? backend,
    log,
    port: traffic,
    stopSignal: 'SIGKILL',
    env: environment,
  });
  const replica = {
    ...server,
    name,
    log,
    environment,
    url: `http://127.0.0.1:${traffic}`,
    debugUrl: `http://127.0.0.1:${debug}`,
  };
  await until(`${name} alive`, async () => (await fetch(`${replica.debugUrl}/health/live`)).ok, log);
  return replica;
}

export async function startReplica(...options: Parameters<typeof launchReplica>): Promise<Replica> {
  const replica = await launchReplica(...options);
  await until(`${replica.name} ready`, async () => (await fetch(`${replica.debugUrl}/health/ready`)).ok, replica.log);
  return replica;
}

export async function startStack(): Promise<Stack> {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  runMigrations(postgres);
  const replicas = await Promise.all(['backend-1', 'backend-2'].map((name) => startReplica(name, postgres, redis)));
  const nginx = await startNginx(replicas.map(({ port }) => port));
  const stack: Stack = {
    postgres,
    redis,
    replicas,
    nginx,
    url: `http://127.0.0.1:${nginx.port}`,
    // Through `stack`: a test may have put restarted servers in the places of the first ones.
    async stop() {
      await stack.nginx.stop();
      await Promise.all(stack.replicas.map((replica) => replica.stop()));
      await Promise.all([stack.redis.stop(), stack.postgres.stop()]);
    },
  };
  return stack;
}

/** Sends `body` as JSON. */
export const sendJson = (method: string, url: string, body: unknown) =>
  fetch(url, { method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });

/** A body of any shape: the assertions are what says which. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export const json = (answer: Response): Promise<any> => answer.json();
