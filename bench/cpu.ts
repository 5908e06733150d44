/** CPU time that processes have used, from /proc (Linux). */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** The fields of /proc/PID/stat after the name, which may itself hold spaces: state is the first. */
function statOf(pid: number | string): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ');
  } catch {
    return undefined; // it has ended
  }
}

/** A process and all of its descendants. */
export function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = Number(statOf(name)?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Seconds of CPU (user and system) of these processes with their descendants, also those that have ended and were waited for. */
export function cpuSeconds(roots: readonly number[]): number {
  let ticks = 0;
  for (const pid of roots.flatMap(treeOf)) {
    for (const field of statOf(pid)?.slice(11, 15) ?? []) ticks += Number(field); // utime stime cutime cstime
  }
  return ticks / TICKS;
}
