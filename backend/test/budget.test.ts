/** docker-compose.budget.yml against docker-compose.yml: does all that runs stay within 1.5 CPUs and 550 MB? */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

interface Service {
  readonly profiles?: string[];
  readonly deploy?: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } };
}
const servicesOf = (file: string): Record<string, Service> =>
  parse(readFileSync(path.join(import.meta.dirname, '../..', file), 'utf8'), { merge: true }).services;

const all = servicesOf('docker-compose.yml');
const budget = servicesOf('docker-compose.budget.yml');
/** What a plain `up` starts; `migrate` has ended before a replica starts. */
const running = Object.keys(all).filter(
  (name) => !all[name]?.profiles && !budget[name]?.profiles && name !== 'migrate',
);

test('What serves runs in it, and monitoring does not', () => {
  expect(running.sort()).toEqual(['backend-1', 'backend-2', 'nginx', 'postgres', 'redis']);
});

test('The limits of all that runs add up to no more than 1.5 CPUs and 550 MB', () => {
  const limits = running.map((name) => budget[name]?.deploy?.resources.limits);
  const sum = (numbers: number[]) => numbers.reduce((total, each) => total + each, 0);
  expect(sum(limits.map((limit) => Math.round(Number(limit?.cpus) * 100)))).toBeLessThanOrEqual(150);
  expect(limits.every((limit) => /^\d+M$/.test(limit?.memory ?? ''))).toBe(true);
  expect(sum(limits.map((limit) => Number.parseInt(limit?.memory ?? '', 10)))).toBeLessThanOrEqual(550);
});

test('The migration needs no more than the replicas that wait for it', () => {
  const { cpus, memory } = budget.migrate?.deploy?.resources.limits ?? {};
  expect([cpus, memory]).toEqual(['0.4', '130M']);
});
