/** What docs/operations.md tells people to do to a running stack, in the native way: no request may fail meanwhile. */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type PeerCertificate } from 'node:tls';
import { Client } from 'pg';
import { type Clone, makeClone } from '../support/clone.ts';
import { until } from '../support/servers.ts';
import { json, sendJson } from '../support/stack.ts';

let clone: Clone;
beforeAll(async () => {
  // All requests come from one address.
  const limits = { LIMIT_RATE: '20000r/s', LIMIT_BURST: '20000', LIMIT_CONNECTIONS: '1000' };
  clone = await makeClone({ FAULTS: 'on', ...limits });
  clone.script('start.sh', '--native');
}, 120_000);
afterAll(() => clone.remove());

/** Requests from a process of their own: the scripts hold this one up. */
function startLoad(): { stop(): Promise<string> } {
  const runner = path.join(import.meta.dirname, '../failover/run.ts');
  const load = spawn(process.execPath, [runner, '--url', clone.url, '--rate', '60', '--seconds', '300']);
  let output = '';
  load.stdout.on('data', (data) => {
    output += data;
  });
  const ended = new Promise((resolve) => load.once('close', resolve));
  return {
    async stop() {
      load.kill();
      await ended;
      return output;
    },
  };
}
const NOTHING_FAILED = /\d+ requests: 0 failed, 0 duplicated, 0 lost/;
const answering = async (times: number) => {
  const names = new Set<string | null>();
  for (let n = 0; n < times; n++) names.add((await fetch(`${clone.url}/ping`)).headers.get('x-served-by'));
  return names.size;
};
const pidOf = async (replica: number) =>
  /process_start_time_seconds\{.*\} (\d+)/.exec(await (await fetch(`${clone.debugUrl(replica)}/metrics`)).text())?.[1];

test('When replicas are added, taken away and replaced, then no request fails', async () => {
  const load = startLoad();
  await sleep(1_000);
  const before = await pidOf(1);
  clone.script('start.sh', '--replicas', '4');
  await until('four replicas', async () => (await answering(12)) === 4);
  clone.script('start.sh', '--replicas', '2');
  expect(await answering(8)).toBe(2);
  expect(await pidOf(1)).toBe(before); // those that stay are left alone
  clone.script('start.sh', '--rolling');
  expect(await pidOf(1)).not.toBe(before);
  expect(await load.stop()).toMatch(NOTHING_FAILED);
}, 300_000);

test('When a replica hangs, then the others serve, and it is killed and comes back', async () => {
  const load = startLoad();
  await sleep(1_000);
  const before = await pidOf(2);
  await sendJson('PUT', `${clone.debugUrl(2)}/debug/fault`, { kind: 'hung' });
  await until('its successor', async () => (await pidOf(2)) !== before, undefined, 60);
  await until('two replicas', async () => (await answering(4)) === 2);
  expect(await load.stop()).toMatch(NOTHING_FAILED);
}, 200_000);

test('The switch that makes a replica ill is felt on its traffic port, and is off by default', async () => {
  const fault = (body: object) => sendJson('PUT', `${clone.debugUrl(1)}/debug/fault`, body);
  expect((await fault({ kind: 'failing', path: '/ping' })).status).toBe(200);
  expect(await answering(6)).toBe(1);
  expect((await fetch(`${clone.debugUrl(1)}/ping`)).status).toBe(200);
  for (const body of [{}, { kind: 'none', ms: 5 }, { kind: 'hung', path: '/' }, { kind: 'slow', ms: 0 }]) {
    expect((await fault(body)).status).toBe(422);
  }
  await fault({ kind: 'none' });
  await until('two replicas', async () => (await answering(4)) === 2);
  expect((await fetch(`${clone.url}/debug/fault`)).status).toBe(404);

  clone.environment = { ...clone.environment, FAULTS: 'off' };
  clone.script('start.sh');
  // The kept connection to its predecessor is one failure.
  await until('no such route', async () => (await fault({ kind: 'failing' })).status === 404);
}, 120_000);

/** Rows and sums, of which each write changes one. */
async function figures(db: Client): Promise<unknown> {
  const { rows } = await db.query(`
    select (select count(*) from items) as items, (select count(*) from tasks) as tasks, (select count(*) from kv) as kv,
      (select count(*) from transactions) as transactions, (select sum(saldo) from users) as saldo,
      (select sum(valor) from transactions) as valor, (select count(*) from write_outcomes) as outcomes`);
  return rows[0];
}
const connectTo = async () => {
  const [port, password] = [Number(clone.environment.POSTGRES_PORT), clone.setting('POSTGRES_PASSWORD')];
  const db = new Client({
    host: '127.0.0.1',
    port,
    database: 'tandem',
    user: 'postgres',
    ...(password && { password }),
  });
  await db.connect();
  return db;
};

test('When the database is backed up under load, dropped and restored, then it is as it was at that moment', async () => {
  const load = startLoad();
  await sleep(3_000);
  const file = path.join(clone.folder, 'tandem.backup');
  const db = await connectTo();
  // The backup sees what this transaction sees.
  await db.query('begin isolation level repeatable read');
  const { rows } = await db.query('select pg_export_snapshot() as name');
  const before = (await figures(db)) as { items: string };
  clone.script('start.sh', 'backup', file, `--snapshot=${rows[0].name}`);
  await db.end();
  expect(() => clone.script('start.sh', 'backup', file)).toThrow(/exists already/);
  await sleep(1_000);
  expect(await load.stop()).toMatch(NOTHING_FAILED);
  expect(Number(before.items)).toBeGreaterThan(0);

  clone.script('stop.sh', '--volumes');
  clone.script('start.sh');
  expect(await json(await fetch(`${clone.url}/items`))).toEqual([]);
  clone.script('start.sh', 'restore', file);
  const restored = await connectTo();
  expect(await figures(restored)).toEqual(before);
  await restored.end();
  expect(await answering(4)).toBe(2);
  expect((await sendJson('POST', `${clone.url}/items`, { title: 'after' })).status).toBe(201);

  // Of a release that did not have the newest table yet: what is missing is migrated.
  const older = path.join(clone.folder, 'older.backup');
  const change = await connectTo();
  await change.query(`
    drop view cache_gate;
    drop function keep_closed, epoch_of_older_release cascade;
    alter table write_gate rename to cache_gate;
    alter table cache_gate drop column timeline;
    drop table gate_peer;
    drop table write_outcomes;
    delete from kysely_migration where name ~ '^000[78]'`);
  await change.end();
  clone.script('start.sh', 'backup', older);
  clone.script('start.sh', 'restore', older);
  expect((await sendJson('POST', `${clone.url}/items`, { title: 'again' })).status).toBe(201);

  // One that lacks something that the API needs, or is none, changes nothing. (.ci/engine tries more of them.)
  const refused = (said: RegExp) => {
    expect(() => clone.script('start.sh', 'restore', older)).toThrow(said);
    rmSync(older);
  };
  for (const [option, said] of [
    ['--exclude-table=write_outcomes', /table, view or sequence public\.write_outcomes.*the database is as it was/s],
    ['--no-acl', /the right of tandem_app to SELECT: public\.users.*the database is as it was/s],
  ] as const) {
    rmSync(older, { force: true });
    clone.script('start.sh', 'backup', older, option);
    refused(said);
  }
  writeFileSync(older, readFileSync(file).subarray(0, 20_000));
  refused(/reading the file|no file that backup made/);
  const newest = async () => (await json(await fetch(`${clone.url}/items`)))[0].title;
  expect(await newest()).toBe('again');

  // Nor does one that is interrupted: what it stopped is brought back.
  for (const [stage, signal] of [
    ['checking it', 'SIGHUP'],
    ['backend-1 ', 'SIGTERM'], // on the new database already
  ] as const) {
    expect(await interrupted(['restore', file], stage, signal)).toMatch(/the database is as it was before/);
    expect(await newest()).toBe('again');
  }
  rmSync(file);
  expect(() => clone.script('start.sh', 'restore', file)).toThrow(/a file that backup made/);
}, 400_000);

/** Ends a command of start.sh when it says `stage`. @returns all that it says */
function interrupted(command: string[], stage: string, signal: NodeJS.Signals): Promise<string> {
  const script = spawn('./start.sh', command, {
    cwd: clone.folder,
    env: clone.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const output of [script.stdout, script.stderr]) {
    output.on('data', (data) => {
      const before = said.includes(stage);
      said += data;
      if (!before && said.includes(stage)) script.kill(signal);
    });
  }
  return new Promise((resolve) => script.once('close', () => resolve(said)));
}

/** What Nginx shows. */
const certificate = (port: string) =>
  new Promise<PeerCertificate>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate());
      socket.end();
    });
    socket.on('error', reject);
  });

test('With TLS=on HTTPS serves, HTTP redirects with the method, and a renewed certificate is taken over', async () => {
  const { environment } = clone;
  const port = `${Number(environment.HTTP_PORT) + 5}`;
  clone.environment = { ...environment, TLS: 'on', HTTPS_PORT: port };
  expect(clone.script('start.sh')).toMatch(new RegExp(`self-signed certificate.*API +https://localhost:${port}`, 's'));
  expect((await certificate(port)).subject.CN).toBe('localhost');
  const redirected = await fetch(`${clone.url}/items?limit=1`, { method: 'POST', redirect: 'manual' });
  expect([redirected.status, redirected.headers.get('location')]).toEqual([
    308,
    `https://127.0.0.1:${port}/items?limit=1`,
  ]);

  const [cert, key] = ['cert', 'key'].map((name) => path.join(clone.folder, `${name}.pem`)) as [string, string];
  clone.environment = { ...clone.environment, TLS_CERT: cert, TLS_KEY: key };
  const make = (name: string) =>
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', key, '-out', cert],
      {
        stdio: 'ignore',
      },
    );
  for (const name of ['first', 'renewed']) {
    make(name);
    clone.script('start.sh');
    await until(`the ${name} certificate`, async () => (await certificate(port)).subject.CN === name);
  }
  writeFileSync(key, 'no key');
  expect(() => clone.script('start.sh')).toThrow(/TLS_KEY=.* is no key/);
  clone.environment = environment;
  clone.script('start.sh');
  expect((await fetch(`${clone.url}/ping`)).status).toBe(200);
}, 120_000);
