import { spawn } from 'node:child_process';

/** Runs one of the suites that are programs of their own, as its npm script does. */
export function runSuite(program: string, ...options: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [program, ...options]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output += data;
    });
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}
