/**
 * Does what runs arrive in Prometheus? Starts a mixed load on a running stack, lets some queries fail, then asks the stack's own
 * Prometheus for every target, every query of every panel and every rule. See .ci/telemetry.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { hasK6 } from './support/k6.ts';
import { panelQueries, ruleQueries, seriesOf, targets } from './support/prometheus.ts';
import { startLoad } from './support/smoke-load.ts';

const root = path.join(import.meta.dirname, '../..');
const [url, prometheus] = process.argv.slice(2);
if (!url || !prometheus) throw new Error('usage: .ci/telemetry URL PROMETHEUS-URL');

const load = startLoad(url);
// In a process group of its own, so that run.sh and its k6 end together.
const k6 = hasK6
  ? spawn(`${root}/k6/run.sh`, ['basic'], {
      stdio: 'ignore',
      detached: true,
      env: {
        ...process.env,
        API_BASE: url,
        K6_OUT: 'experimental-prometheus-rw',
        K6_PROMETHEUS_RW_SERVER_URL: `${prometheus}/api/v1/write`,
      },
    })
  : undefined;
// Exceptions, for their panel: whoever reads the tasks meanwhile waits for the lock until it gives up (3 s).
const lock = 'begin; lock table tasks in access exclusive mode; select pg_sleep(5); commit';
const locked = promisify(execFile)('./start.sh', ['shell', 'postgres', '-c', lock], { cwd: root });

const dashboards = readdirSync(`${root}/monitoring/grafana/dashboards`).filter((file) => hasK6 || file !== 'k6.json');
const queries = [...panelQueries(dashboards), ...(await ruleQueries(prometheus))];
const counts = await seriesOf(prometheus, queries);
const seen = await targets(prometheus);
const { requests, failed } = await load.stop();
// Whoever asks the stack next must be alone with it.
await locked;
if (k6?.exitCode === null) {
  process.kill(-(k6.pid as number), 'SIGINT');
  await once(k6, 'exit');
}

for (const { name, health, error } of seen) console.log(`${health.padEnd(8)} ${name} ${error}`);
for (const [{ where }, count] of counts) console.log(`${String(count).padStart(4)} series  ${where}`);
const empty = [...counts].filter(([, count]) => count === 0);
const down = seen.filter(({ health }) => health !== 'up');
console.log(`${requests} requests, ${failed} failed with a 5xx (some must: they met a lock)`);
console.log(`${seen.length} targets, ${down.length} not up; ${queries.length} queries, ${empty.length} without data`);
if (!hasK6) console.log('k6 is not installed: its dashboard was left out');
for (const [{ where, expr }] of empty) console.error(`NO DATA: ${where}: ${expr}`);
process.exit(empty.length + down.length > 0 || failed === 0 ? 1 : 0);
