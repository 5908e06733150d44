/** start.sh and stop.sh in the native way, in a copy of this clone with ports of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { type Clone, makeClone } from '../support/clone.ts';
import { listenAnywhere, until } from '../support/servers.ts';
import { json, sendJson } from '../support/stack.ts';

let clone: Clone;
let url: string;
const script: Clone['script'] = (...command) => clone.script(...command);

beforeAll(async () => {
  clone = await makeClone();
  url = clone.url;
  // An engine that hangs. A native stack never asks it.
  const bin = path.join(clone.folder, 'bin');
  mkdirSync(bin);
  writeFileSync(path.join(bin, 'docker'), '#!/bin/sh\necho "$@" >>"$0.asked"; exec sleep 600\n', { mode: 0o755 });
  clone.environment.PATH = `${bin}:${clone.environment.PATH}`;
  // As somebody has it whose other disk is larger.
  renameSync(path.join(clone.folder, '.data'), path.join(clone.folder, 'elsewhere'));
  symlinkSync('elsewhere', path.join(clone.folder, '.data'));
}, 60_000);
afterAll(() => clone.remove());

/** What a script that fails says. */
const failing = (...command: Parameters<Clone['script']>): string => {
  try {
    return `it did not fail, and said: ${script(...command)}`;
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
};
const names = async (count: number) => {
  const seen: string[] = [];
  for (let n = 0; n < count; n++) seen.push((await json(await fetch(`${url}/ping`))).instance);
  return seen;
};
const pidOf = async (replica: number) =>
  /process_start_time_seconds\{.*\} (\d+)/.exec(await (await fetch(`${clone.debugUrl(replica)}/metrics`)).text())?.[1];

/** What a caller may have in the environment, and what must not matter. */
const ODD = {
  CDPATH: '/tmp:/',
  BASH_ENV: '/nowhere',
  SHELLOPTS: 'noglob:noclobber',
  BASHOPTS: 'nocasematch:failglob',
  'BASH_FUNC_grep%%': '() { echo stray; }',
  GREP_OPTIONS: '--invert-match',
  IFS: 'e',
  LC_ALL: 'xx_XX',
  TMPDIR: '/nowhere',
  NODE_ENV: 'production',
  NODE_OPTIONS: '--no-such-option',
  npm_config_prefix: '/nowhere',
  npm_config_dry_run: 'true',
  PGHOST: '10.255.255.1',
  PGHOSTADDR: '10.255.255.1',
  PGSSLMODE: 'require',
  PGSERVICE: 'nowhere',
  PGOPTIONS: '-c search_path=nowhere',
  PGDATABASE: 'nowhere',
  PGUSER: 'nobody',
  COMPOSE_FILE: '/nowhere',
  COMPOSE_PROJECT_NAME: 'another',
} satisfies NodeJS.ProcessEnv;

test('the first start makes .env with secrets for its owner only, and everything healthy, whatever the environment', async () => {
  const { environment } = clone;
  const { HOME: _, ...withoutHome } = environment;
  const given = { DATABASE_APP_PASSWORD: 'given-by-the-caller', POSTGRES_PASSWORD: 'this-one-too' };
  clone.environment = { ...withoutHome, ...ODD, ...given };
  expect(script('start.sh', '--native')).toMatch(/Made \.env .*backend-2 +healthy.*nginx +healthy.*Ready/s);
  expect(script('start.sh', 'shell', 'postgres', '-Atc', 'select current_user, current_database()')).toBe(
    'postgres|tandem\n',
  );
  clone.environment = environment;
  // Where the next start finds them: the data is made with them.
  for (const [name, value] of Object.entries(given)) expect(clone.setting(name)).toBe(value);
  expect(clone.setting('COMPOSE_PROJECT_NAME')).toMatch(/^tandem-[0-9a-f]{8}$/);
  clone.environment = { ...environment, POSTGRES_PASSWORD: 'another-one' };
  expect(failing('start.sh')).toMatch(/POSTGRES_PASSWORD in the environment is not that of \.env/);
  clone.environment = environment;
  expect(statSync(path.join(clone.folder, '.env')).mode & 0o777).toBe(0o600);
  const [first, second, ...rest] = await names(20);
  expect(new Set([first, second])).toEqual(new Set(['backend-1', 'backend-2']));
  expect(rest).toEqual(Array.from({ length: 18 }, (_, n) => (n % 2 === 0 ? first : second)));
  const created = await sendJson('POST', `${url}/items`, { title: 'kept' });
  expect(created.status).toBe(201);
}, 120_000);

const envFile = () => path.join(clone.folder, '.env');
const clear = (token?: string) =>
  fetch(`${url}/cache/clear`, { method: 'POST', headers: { Authorization: `Bearer ${token}` } });

test('the admin token of .env clears the cache, under the rights that Redis gives the replicas', async () => {
  await fetch(`${url}/tasks`);
  expect((await clear('another-token')).status).toBe(403);
  expect((await clear(clone.setting('ADMIN_TOKEN'))).status).toBe(200);
  expect((await json(await fetch(`${url}/cache/stats`))).used_memory_human).toMatch(/M$/);
}, 60_000);

test('seed makes the clients of the Rinha, and --reset begins anew', async () => {
  const debit = () => sendJson('POST', `${url}/clientes/1/transacoes`, { valor: 5, tipo: 'd', descricao: 'five' });
  const balance = async () => (await json(await fetch(`${url}/clientes/1/extrato`))).saldo;
  script('start.sh', 'seed');
  expect((await debit()).status).toBe(200);
  script('start.sh', 'seed');
  expect(await balance()).toMatchObject({ total: -5, limite: 100_000 });
  script('start.sh', 'seed', '--reset');
  expect(await balance()).toMatchObject({ total: 0, limite: 100_000 });
}, 60_000);

test('a second start changes nothing', async () => {
  const before = [await pidOf(1), await pidOf(2)];
  expect(script('start.sh')).toMatch(/Already running, nothing to change/);
  expect([await pidOf(1), await pidOf(2)]).toEqual(before);
}, 60_000);

test('a killed replica comes back, and reads go on meanwhile', async () => {
  script('start.sh', 'kill', 'backend-1');
  for (let n = 0; n < 10; n++) expect((await fetch(`${url}/items`)).status).toBe(200);
  await until('both replicas', async () => new Set(await names(2)).size === 2);
}, 60_000);

test('the number of replicas follows --replicas', async () => {
  script('start.sh', '--replicas', '3');
  // Nginx 1.22 closes idle client connections when it is reloaded, which one of the first calls may meet.
  await until('rotation over three', async () => new Set(await names(6)).size === 3);
  expect(script('start.sh', 'status')).toMatch(/backend-3 +healthy/);
}, 60_000);

test('stop keeps the data, and the next start finds it, also when what only watches does not start', async () => {
  script('stop.sh');
  await expect(fetch(`${url}/ping`)).rejects.toThrow();
  const other = createServer().unref();
  await new Promise<void>((resolve) => {
    other.listen(Number(clone.environment.PROMETHEUS_PORT), '127.0.0.1', resolve);
  });
  expect(script('start.sh')).not.toMatch(/prometheus +healthy/);
  other.close();
  expect((await json(await fetch(`${url}/items`))).map(({ title }: { title: string }) => title)).toEqual(['kept']);
}, 60_000);

test('a setting that a newer version brings is added to .env, a secret with a value of its own', async () => {
  const before = readFileSync(envFile(), 'utf8');
  writeFileSync(envFile(), before.replace(/^ADMIN_TOKEN=.*\n/m, ''));
  expect(script('start.sh')).toMatch(/Added to \.env .*ADMIN_TOKEN/);
  expect(clone.setting('ADMIN_TOKEN')).toMatch(/^[0-9a-f]{48}$/);
  expect((await clear(clone.setting('ADMIN_TOKEN'))).status).toBe(200);
}, 60_000);

test('a migration that fails leaves the build that serves, and a replica of it that crashes comes back', async () => {
  const migration = path.join(clone.folder, 'backend/src/platform/database/migrations/9999-fails.ts');
  writeFileSync(migration, "export const up = () => Promise.reject(new Error('on purpose'));\n");
  expect(failing('start.sh')).toMatch(/on purpose.*error: the migration failed/s);
  script('start.sh', 'kill', 'backend-1');
  await until('both replicas', async () => new Set(await names(2)).size === 2);
  rmSync(migration);
}, 60_000);

test('whatever is gone of supervisord, the scripts say so, and the stack can be stopped and started', async () => {
  const run = path.join(clone.folder, '.data');
  writeFileSync(path.join(run, 'supervisord.pid'), '1\n');
  // It is found all the same: else nothing would run here.
  await until('everything', async () => failing('start.sh', 'status').includes('did not fail'));
  rmSync(path.join(run, 'run/supervisor.sock'));
  for (const command of ['status', 'restart', 'kill']) {
    expect(failing('start.sh', command, ...(command === 'kill' ? ['backend-1'] : []))).toMatch(
      /does not answer: end .* \.\/stop\.sh/,
    );
  }
  expect(script('start.sh')).toMatch(/Ready/);
  rmSync(path.join(run, 'run'), { recursive: true });
  // The tests' replicas and that of `npm run dev` run in the same folder; they are not the stack's.
  const backend = path.join(clone.folder, 'backend');
  writeFileSync(path.join(backend, 'idle.cjs'), 'setInterval(() => {}, 1000);\n');
  const other = spawn(process.execPath, ['idle.cjs', 'src/server.ts'], { cwd: backend, stdio: 'ignore' });
  script('stop.sh');
  await expect(fetch(`${url}/ping`)).rejects.toThrow();

  // Earlier releases started supervisord in any folder, by the whole path of its configuration.
  mkdirSync(path.join(run, 'run'));
  const configuration = path.join(run, 'run/supervisord.conf');
  writeFileSync(configuration, '[supervisord]\nnodaemon=true\nlogfile=old.log\npidfile=old.pid\n');
  const old = spawn('supervisord', ['-c', configuration], { cwd: clone.folder, stdio: 'ignore' });
  const ended = new Promise((resolve) => old.once('exit', resolve));
  await until('its pid file', () => Promise.resolve(existsSync(path.join(clone.folder, 'old.pid'))));
  expect(failing('start.sh', 'status')).toMatch(/is of an earlier release: end .* \.\/stop\.sh/);
  script('stop.sh');
  await ended;
  expect(script('start.sh')).toMatch(/Ready/);
  expect([other.exitCode, other.signalCode]).toEqual([null, null]);
  other.kill();
}, 120_000);

test('a second run at once is refused, and says who is at work', () => {
  const lock = path.join(clone.folder, '.data/lock');
  const holder = spawn('flock', ['--no-fork', lock, 'sleep', '20'], { stdio: 'ignore' });
  try {
    execFileSync('sh', ['-c', 'while flock -n "$0" true; do sleep 0.05; done', lock], { timeout: 10_000 });
    expect(failing('stop.sh')).toMatch(/another run is at work in this clone: start\.sh up \(pid \d+, since /);
  } finally {
    holder.kill();
  }
}, 60_000);

test('bad arguments and an occupied port are named, and nothing is changed', async () => {
  expect(failing('start.sh', '--replicas', '99')).toMatch(/1 to 16/);
  expect(failing('start.sh', 'restart', 'nobody')).toMatch(/no such service: nobody/);
  expect(failing('start.sh', 'seed', '--all')).toMatch(/seed takes --reset/);
  expect(failing('start.sh', '--docker')).toMatch(/running the other way|no Docker/);
  expect(failing('k6/run.sh', 'nothing')).toMatch(/no such script: nothing. There are: basic /);
  const { environment } = clone;
  const withoutK6 = environment.PATH?.split(':').filter((folder) => !existsSync(`${folder}/k6`));
  clone.environment = { ...environment, PATH: withoutK6?.join(':') };
  expect(failing('k6/run.sh', 'smoke')).toMatch(/k6 is not on the PATH.*go install go\.k6\.io\/k6@v\d/s);
  clone.environment = environment;
  const other = createServer().unref();
  const port = await listenAnywhere(other);
  clone.environment = { ...environment, HTTP_PORT: `${port}` };
  expect(failing('start.sh')).toMatch(new RegExp(`port ${port} is in use by .*HTTP_PORT`));
  clone.environment = environment;
  other.close();
  expect(script('start.sh', 'status')).toMatch(/nginx +healthy/);
  expect(new Set(await names(3)).size).toBe(3);
  expect(existsSync(path.join(clone.folder, 'bin/docker.asked'))).toBe(false);
}, 60_000);
