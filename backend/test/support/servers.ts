/** Throwaway PostgreSQL, Redis and Nginx on free ports, with the programs that are installed on this machine. */
import { execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  /** Sends a signal. */
  signal(name: NodeJS.Signals): void;
  /** Ends it (SIGTERM, or the signal that the server calls fast) and waits until it is gone. */
  stop(): Promise<void>;
  readonly exited: Promise<number | null>;
}

const isRoot = process.getuid?.() === 0;

/** Lets a server of the test listen on a free port of loopback. @returns the port */
export function listenAnywhere(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}

/** Whether nobody listens on this port of loopback now. */
export function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** A port that is free now. Another process could take it before it is used; a test run then fails, loudly. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenAnywhere(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const running = new Set<RunningServer>();
const folders: string[] = [];

/** Ends what is still running and removes the temporary folders, also after a test that failed half-way. */
export async function cleanUp(): Promise<void> {
  await Promise.all([...running].map((server) => server.stop()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A new folder under the system's temporary folder; with `owner`, that user's alone. */
export function temporaryFolder(name: string, owner?: Identity): string {
  const folder = mkdtempSync(path.join(tmpdir(), `tandem-${name}-`));
  folders.push(folder);
  if (owner) chownSync(folder, owner.uid, owner.gid);
  return folder;
}

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Root must not run PostgreSQL (it refuses): the package's own user does. Everybody else runs it as themselves. */
function identityOf(user: string): Identity | undefined {
  if (!isRoot) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

interface RunOptions extends SpawnOptions {
  /** A file for its output, which is shown when the program does not come up. */
  readonly log: string;
  readonly port: number;
  /** What stop() sends unless told otherwise. */
  readonly stopSignal?: NodeJS.Signals;
}

export function run(command: string, args: string[], options: RunOptions): RunningServer {
  const { log, port, stopSignal = 'SIGTERM', ...rest } = options;
  const output = openSync(log, 'a');
  const child = spawn(command, args, { ...rest, stdio: ['ignore', output, output] });
  closeSync(output);
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('exit', (code) => resolve(code));
    child.once('error', reject);
  });
  const server: RunningServer = {
    pid: child.pid ?? 0,
    port,
    exited,
    signal: (name) => void child.kill(name),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill(stopSignal);
      await exited;
      running.delete(server);
    },
  };
  running.add(server);
  return server;
}

/** Asks until the answer is true. @throws after `seconds`, with the end of the log */
export async function until(
  what: string,
  ask: () => Promise<boolean> | boolean,
  log?: string,
  seconds = 30,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    if (await Promise.resolve(ask()).catch(() => false)) return;
    await sleep(50);
  }
  const tail = log && existsSync(log) ? readFileSync(log, 'utf8').slice(-2000) : '';
  throw new Error(`${what} did not happen in ${seconds} s\n${tail}`);
}

const succeeds = (command: string, args: string[]) => {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Debian keeps each major version's programs in a folder of its own, off the PATH. */
export function postgresProgram(name: string): string {
  const debian = '/usr/lib/postgresql';
  const majors = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const found = majors.map((major) => `${debian}/${major}/bin/${name}`).find(existsSync);
  return found ?? name;
}

/** Arguments of PostgreSQL's programs: to this server, as its superuser. */
export const asSuperuser = ({ port }: { port: number }) => ['-h', '127.0.0.1', '-p', `${port}`, '-U', 'postgres'];

/** Psql's answer, one row a line. */
export function psql(postgres: Postgres, database: string, statement: string): string {
  const args = [...asSuperuser(postgres), '-d', database, '-XAtqc', statement];
  return execFileSync(postgresProgram('psql'), args, { encoding: 'utf8' });
}

export interface Postgres extends RunningServer {
  /** The superuser's connection string, without a database. */
  readonly adminUrl: string;
  /** Starts it again on the same data and port. */
  restart(): Promise<Postgres>;
}

/** @param settings besides those of launchPostgres, or instead of them */
export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
  const identity = identityOf('postgres');
  const folder = temporaryFolder('postgres', identity);
  execFileSync(
    postgresProgram('initdb'),
    ['-D', `${folder}/data`, '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8'],
    {
      ...identity,
      cwd: '/',
      stdio: 'ignore',
    },
  );
  return launchPostgres(folder, await freePort(), identity, settings);
}

async function launchPostgres(
  folder: string,
  port: number,
  identity: Identity | undefined,
  settings: Readonly<Record<string, string>>,
): Promise<Postgres> {
  const log = `${folder}/log`;
  const all = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    fsync: 'off',
    ...settings,
  };
  const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = run(postgresProgram('postgres'), ['-D', `${folder}/data`, ...args], {
    ...identity,
    cwd: '/',
    log,
    port,
    stopSignal: 'SIGINT', // the fast shutdown: it does not wait for clients to leave
  });
  await until('PostgreSQL', () => succeeds(postgresProgram('pg_isready'), ['-h', '127.0.0.1', '-p', `${port}`]), log);
  return {
    ...server,
    adminUrl: `postgres://postgres@127.0.0.1:${port}`,
    restart: () => launchPostgres(folder, port, identity, settings),
  };
}

export interface RedisServer extends RunningServer {
  readonly url: string;
  /** Where SAVE writes its dump. */
  readonly dump: string;
  /** Starts another on the same port, empty unless it is given a dump. */
  restart(dump?: string): Promise<RedisServer>;
}

export async function startRedis(port?: number, dump?: string): Promise<RedisServer> {
  const chosen = port ?? (await freePort());
  const folder = temporaryFolder('redis');
  if (dump) copyFileSync(dump, `${folder}/dump.rdb`);
  const log = `${folder}/log`;
  const args = ['--port', `${chosen}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
  const server = run('redis-server', args, { log, port: chosen });
  await until('Redis', () => succeeds('redis-cli', ['-p', `${chosen}`, 'ping']), log);
  return {
    ...server,
    url: `redis://127.0.0.1:${chosen}`,
    dump: `${folder}/dump.rdb`,
    restart: (saved) => startRedis(chosen, saved),
  };
}

const repository = path.join(import.meta.dirname, '../../..');
export const NGINX_TEMPLATE = path.join(repository, 'nginx/nginx.conf.template');

export interface Nginx extends RunningServer {
  readonly statusPort: number;
  readonly accessLog: string;
}

/** Nginx with the project's own configuration, perhaps changed, in front of replicas on these ports. */
export async function startNginx(
  replicas: readonly number[],
  settings: Record<string, string> = {},
  change: (configuration: string) => string = (text) => text,
): Promise<Nginx> {
  const folder = temporaryFolder('nginx');
  // As root the workers are another user, who must reach the folder for bodies that do not fit in memory.
  chmodSync(folder, 0o755);
  const [port, statusPort] = [await freePort(), await freePort()];
  const primary = replicas.map((replica) => `server 127.0.0.1:${replica} max_fails=1 fail_timeout=2s;`);
  const backup = replicas.map((replica) => `server 127.0.0.1:${replica} backup max_fails=0;`);
  const values: Record<string, string> = {
    NGINX_USER: isRoot ? 'user www-data;' : '',
    NGINX_WORKERS: 'auto',
    NGINX_RUN_DIR: folder,
    NGINX_LISTEN: `127.0.0.1:${port}`,
    NGINX_STATUS_LISTEN: `127.0.0.1:${statusPort}`,
    NGINX_ACCESS_LOG: `${folder}/access.log`,
    NGINX_ERROR_LOG: `${folder}/error.log`,
    NGINX_ROUTES: path.join(repository, 'nginx/routes.conf'),
    NGINX_CONSOLE: path.join(repository, 'frontend/dist'),
    NGINX_UPSTREAM: [...primary, ...backup].join(' '),
    NGINX_HTTP_EXTRA: '',
    NGINX_TLS: '',
    NGINX_REDIRECT: '',
    LIMIT_RATE: '10000r/s',
    LIMIT_BURST: '10000',
    LIMIT_CONNECTIONS: '1000',
    ...settings,
  };
  const template = readFileSync(NGINX_TEMPLATE, 'utf8');
  const rendered = template.replaceAll(/\$\{([A-Z_]+)\}/g, (whole, name: string) => values[name] ?? whole);
  writeFileSync(`${folder}/nginx.conf`, change(rendered));
  mkdirSync(`${folder}/client_body`, { recursive: true });
  const log = `${folder}/error.log`;
  const server = run('nginx', ['-c', `${folder}/nginx.conf`, '-e', log, '-g', 'daemon off;'], { log, port });
  await until('Nginx', async () => (await fetch(`http://127.0.0.1:${statusPort}/nginx_status`)).ok, log);
  return { ...server, statusPort, accessLog: `${folder}/access.log` };
}
