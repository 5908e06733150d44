/** start.sh and stop.sh in the native way, in a copy of this clone with ports of its own. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
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
}, 60_000);
afterAll(() => clone.remove());

const names = async (count: number) => {
  const seen: string[] = [];
  for (let n = 0; n < count; n++) seen.push((await json(await fetch(`${url}/ping`))).instance);
  return seen;
};
const pidOf = async (replica: number) =>
  /process_start_time_seconds\{.*\} (\d+)/.exec(await (await fetch(`${clone.debugUrl(replica)}/metrics`)).text())?.[1];

test('the first start makes .env with secrets for its owner only, and everything healthy', async () => {
  expect(script('start.sh', '--native')).toMatch(/Made \.env .*backend-2 +healthy.*nginx +healthy.*Ready/s);
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

test('stop keeps the data, and the next start finds it', async () => {
  script('stop.sh');
  await expect(fetch(`${url}/ping`)).rejects.toThrow();
  script('start.sh');
  expect((await json(await fetch(`${url}/items`))).map(({ title }: { title: string }) => title)).toEqual(['kept']);
}, 60_000);

test('a setting that a newer version brings is added to .env, a secret with a value of its own', async () => {
  const before = readFileSync(envFile(), 'utf8');
  writeFileSync(envFile(), before.replace(/^ADMIN_TOKEN=.*\n/m, ''));
  expect(script('start.sh')).toMatch(/Added to \.env .*ADMIN_TOKEN/);
  expect(clone.setting('ADMIN_TOKEN')).toMatch(/^[0-9a-f]{48}$/);
  expect((await clear(clone.setting('ADMIN_TOKEN'))).status).toBe(200);
}, 60_000);

test('bad arguments and an occupied port are named, and nothing is changed', async () => {
  const failing = (...command: Parameters<Clone['script']>) => {
    try {
      return script(...command);
    } catch (error) {
      return (error as { stderr: string }).stderr;
    }
  };
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
}, 60_000);
