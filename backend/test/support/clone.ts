/** A copy of this clone in which start.sh and stop.sh run in the native way, on ports of its own. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { isFree } from './servers.ts';

export const repository = path.join(import.meta.dirname, '../../..');
// Inside the clone, so that the npm packages can be linked instead of copied.
const parent = path.join(repository, '.data');

export interface Clone {
  readonly folder: string;
  /** Of the scripts; a test may change it. */
  environment: NodeJS.ProcessEnv;
  /** The edge. */
  readonly url: string;
  readonly prometheus: string;
  debugUrl(replica: number): string;
  /** What .env says. */
  setting(name: string): string | undefined;
  /** Runs one of the scripts. @throws when it fails, with its `stderr` */
  script(...command: [name: string, ...args: string[]]): string;
  /** Stops what runs in it and removes it. */
  remove(): void;
}

/**
 * The first of 50 ports that are free, below those that the system gives to whoever asks for any. Clones of two workers are
 * made at the same time, so each worker has a range of its own.
 */
async function freeBlock(): Promise<number> {
  const range = 20_000 + (Number(process.env.JEST_WORKER_ID ?? 1) % 10) * 1000;
  for (let attempt = 0; attempt < 40; attempt++) {
    const base = range + 50 * Math.trunc(Math.random() * 20);
    const ports = Array.from({ length: 50 }, (_, n) => base + n);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base;
  }
  throw new Error(`no 50 free ports in a row from ${range} on`);
}

export async function makeClone(settings: NodeJS.ProcessEnv = {}): Promise<Clone> {
  mkdirSync(parent, { recursive: true });
  // A name that programs' configuration files could take for something else.
  const folder = mkdtempSync(path.join(parent, "test [clone] 50%b#$x it's "));
  const made = [
    '.git',
    '.data',
    '.env',
    'backend/node_modules',
    'backend/dist',
    'backend/coverage',
    'frontend/node_modules',
  ];
  const exclude = made.map((each) => `--exclude=./${each}`).join(' ');
  execFileSync('sh', ['-c', `tar -c ${exclude} . | tar -x -C "$0"`, folder], { cwd: repository });
  for (const part of ['backend', 'frontend']) {
    execFileSync('cp', ['-al', `${part}/node_modules`, path.join(folder, part)], { cwd: repository });
  }
  // The console is built once, not in every clone: what start.sh knows it by.
  mkdirSync(path.join(folder, '.data'));
  copyFileSync(path.join(parent, 'console'), path.join(folder, '.data/console'));
  const base = await freeBlock();
  const clone: Clone = {
    folder,
    environment: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      HTTP_PORT: `${base}`,
      NGINX_STATUS_PORT: `${base + 1}`,
      POSTGRES_PORT: `${base + 2}`,
      REDIS_PORT: `${base + 3}`,
      PROMETHEUS_PORT: `${base + 4}`,
      EXPORTER_PORT_BASE: `${base + 10}`,
      TRAFFIC_PORT_BASE: `${base + 20}`,
      DEBUG_PORT_BASE: `${base + 30}`,
      ...settings,
    },
    url: `http://127.0.0.1:${base}`,
    prometheus: `http://127.0.0.1:${base + 4}`,
    debugUrl: (replica) => `http://127.0.0.1:${base + 30 + replica}`,
    setting: (name) => new RegExp(`^${name}=(.*)$`, 'm').exec(readFileSync(`${folder}/.env`, 'utf8'))?.[1],
    script(name, ...args) {
      return execFileSync(`./${name}`, args, {
        cwd: folder,
        env: clone.environment,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    },
    remove() {
      clone.script('stop.sh', '--volumes');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return clone;
}
