/**
 * Do the alerts fire, and only then? See .ci/alerts.
 *   clean MINUTES   a mixed load and no fault: no alert may fire, or be about to
 *   faults          each fault that can be made on the running native stack: its alerts must fire
 * The faults end the stack's own services, and fill the error budget's windows for days: not for a stack that somebody uses.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { activeAlerts } from './support/prometheus.ts';
import { startLoad } from './support/smoke-load.ts';

const root = path.join(import.meta.dirname, '../..');
const [url, prometheus, mode, minutes = '10'] = process.argv.slice(2);
if (!url || !prometheus || (mode !== 'clean' && mode !== 'faults')) {
  throw new Error('usage: .ci/alerts URL PROMETHEUS-URL clean [MINUTES] | faults');
}
const setting = (name: string) =>
  process.env[name] ?? new RegExp(`^${name}=(.*)$`, 'm').exec(readFileSync(`${root}/.env`, 'utf8'))?.[1] ?? '';
const supervisor = (...command: string[]) =>
  void execFileSync('supervisorctl', ['-c', `${root}/.data/run/supervisord.conf`, ...command], { stdio: 'ignore' });
const firing = async () => (await activeAlerts(prometheus)).filter((alert) => alert.endsWith(' firing'));

/** Stops services for as long as the fault lasts. */
const without =
  (...services: string[]) =>
  () => {
    supervisor('stop', ...services);
    return () => supervisor('start', ...services);
  };

/** Readers of a table that is locked: each waits 3 s, and all together take every connection. */
async function lockedTable() {
  const locker = await connect();
  await locker.query('begin; lock table items');
  let on = true;
  const reader = async () => {
    while (on) {
      await fetch(`${url}/items`)
        .then((answer) => answer.text())
        .catch(() => {});
    }
  };
  const readers = Array.from({ length: 60 }, reader);
  return async () => {
    on = false;
    await locker.end();
    await Promise.all(readers);
  };
}

async function connect(): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port: Number(setting('POSTGRES_PORT')),
    database: 'tandem',
    user: 'postgres',
    password: setting('POSTGRES_PASSWORD'),
  });
  await client.connect();
  return client;
}

async function manyConnections() {
  const clients = await Promise.all(Array.from({ length: 160 }, connect));
  return () => Promise.all(clients.map((client) => client.end()));
}

/** Killed again and again, and brought back each time by the supervisor. */
async function crashLoop() {
  for (let n = 0; n < 3; n++) {
    supervisor('signal', 'KILL', 'backend-2');
    await sleep(25_000);
  }
  return () => {};
}

/** Nothing of PostgreSQL runs, nothing is refused either. */
function hangingPostgres() {
  const server = readFileSync(`${root}/.data/services/postgres/postmaster.pid`, 'utf8').split('\n', 1)[0] as string;
  const children = execFileSync('pgrep', ['-P', server], { encoding: 'utf8' }).trim().split('\n');
  const signal = (name: NodeJS.Signals) => {
    for (const pid of [server, ...children]) process.kill(Number(pid), name);
  };
  signal('SIGSTOP');
  return () => signal('SIGCONT');
}

const FAULTS: [what: string, make: () => unknown, alerts: string[]][] = [
  ['a replica is gone', without('backend-1'), ['ReplicaDown backend-1']],
  ['an exporter is gone', without('redis-exporter'), ['TargetDown redis']],
  ['Nginx is gone', without('nginx'), ['NginxDown nginx']],
  ['PostgreSQL is full of connections', manyConnections, ['PostgresConnectionsNearLimit']],
  [
    'Redis is gone',
    without('redis'),
    ['RedisDown redis', 'CacheErrors backend-1', 'CacheBypassed backend-2', 'CacheGateClosed backend-1'],
  ],
  [
    'a table is locked',
    lockedTable,
    ['DatabasePoolWaiting backend-1', 'HighLatency backend-1', 'HighErrorRatio backend-1'],
  ],
  ['a replica crashes three times', crashLoop, ['ReplicaRestarting backend-2']],
  ['PostgreSQL hangs', hangingPostgres, ['PostgresNotAnswering postgres']],
  [
    'PostgreSQL is gone',
    without('postgres'),
    ['PostgresDown postgres', 'ErrorBudgetBurn 1h', 'WritesUnsettled backend-1'],
  ],
  [
    'a replica restarts while PostgreSQL is gone',
    () => {
      const end = without('postgres')();
      supervisor('restart', 'backend-2');
      return end;
    },
    ['ReplicaNotServing backend-2'],
  ],
  ['all replicas are gone', without('backend-1', 'backend-2'), ['NoLiveUpstream nginx', 'ReplicaDown backend-2']],
];

/** @returns after how many seconds each of the alerts fired; throws when one does not within four minutes */
async function waitFor(alerts: readonly string[]): Promise<string[]> {
  const started = Date.now();
  const seen = new Map<string, number>();
  while (seen.size < alerts.length) {
    const now = await firing();
    for (const alert of alerts) {
      if (!seen.has(alert) && now.some((each) => each.startsWith(alert))) seen.set(alert, Date.now() - started);
    }
    if (Date.now() - started > 240_000) throw new Error(`did not fire: ${alerts.filter((alert) => !seen.has(alert))}`);
    await sleep(1000);
  }
  return [...seen].map(([alert, ms]) => `${alert} (${Math.round(ms / 1000)} s)`);
}

const load = startLoad(url);
if (mode === 'clean') {
  const deadline = Date.now() + Number(minutes) * 60_000;
  const seen = new Set<string>();
  while (Date.now() < deadline) {
    for (const alert of await activeAlerts(prometheus)) seen.add(alert);
    await sleep(5000);
  }
  const { requests, failed } = await load.stop();
  console.log(
    `${minutes} minutes, ${requests} requests, ${failed} failed with a 5xx; alerts: ${[...seen].join(', ') || 'none'}`,
  );
  process.exit(seen.size > 0 ? 1 : 0);
}
for (const [what, make, alerts] of FAULTS) {
  const end = (await make()) as () => unknown;
  try {
    console.log(`${what}: ${(await waitFor(alerts)).join(', ')}`);
  } finally {
    await end();
  }
  // The next fault begins when this one is over (the error budget remembers for longer).
  const lasting = async () => (await firing()).filter((alert) => !alert.startsWith('ErrorBudgetBurn'));
  for (let n = 0; n < 240 && (await lasting()).length > 0; n++) await sleep(1000);
}
await load.stop();
process.exit(0);
