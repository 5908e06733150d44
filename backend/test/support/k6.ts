/** Runs the load tests with the k6 that is on the PATH. No package brings it; where it is missing, what needs it is left out. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from './servers.ts';

export const K6_FOLDER = path.join(import.meta.dirname, '../../../k6');

export const hasK6 = (() => {
  try {
    execFileSync('k6', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

export const SCRIPTS = readdirSync(K6_FOLDER)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replace('.ts', ''));

export interface Run {
  /** Each threshold, "http_req_failed rate<0.01", and whether it held. */
  readonly thresholds: ReadonlyMap<string, boolean>;
  readonly output: string;
}

interface Summary {
  readonly metrics: Record<string, { readonly thresholds?: Record<string, { readonly ok: boolean }> }>;
}

/** @param script a name of SCRIPTS, or the path of a file */
export async function runK6(script: string, environment: Record<string, string>): Promise<Run> {
  const results = temporaryFolder('k6');
  const file = path.isAbsolute(script) ? script : path.join(K6_FOLDER, `${script}.ts`);
  const k6 = spawn('k6', ['run', '--quiet', '--address=', file], {
    env: { ...process.env, SCRIPT: script, RESULTS: results, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [k6.stdout, k6.stderr]) stream.on('data', (data) => (output += data));
  const [code] = await once(k6, 'close');
  // 99: a threshold does not hold.
  if (code !== 0 && code !== 99) throw new Error(`k6 ${script} ended with ${code}\n${output}`);
  const { metrics }: Summary = JSON.parse(readFileSync(`${results}/summary.json`, 'utf8'));
  const thresholds = Object.entries(metrics).flatMap(([metric, { thresholds = {} }]) =>
    Object.entries(thresholds).map(([threshold, { ok }]) => [`${metric} ${threshold}`, ok] as const),
  );
  return { thresholds: new Map(thresholds), output };
}

export interface ScriptRun {
  readonly process: ChildProcess;
  /** Where its summary goes. */
  readonly results: string;
  output: string;
  /** Once nothing is left that could write: neither the script nor k6. */
  readonly code: Promise<number | null>;
}

/** Runs `k6/run.sh` of a clone. */
export function startRunScript(folder: string, args: string[], environment: NodeJS.ProcessEnv): ScriptRun {
  const results = environment.RESULTS ?? temporaryFolder('k6');
  const child = spawn('k6/run.sh', args, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, RESULTS: results, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const run: ScriptRun = { process: child, results, output: '', code: once(child, 'close').then(([code]) => code) };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (run.output += data));
  return run;
}
