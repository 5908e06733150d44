/** Draws the samples of a run (--out FILE): `node chart.ts FILE > ../docs/benchmarks.svg`. CPU a request, by process. */
import { readFileSync } from 'node:fs';
import { type Cpu, median, type Sample } from './report.ts';

const PROCESSES: Record<keyof Cpu, string> = {
  nginx: '#7b8794',
  replicas: '#2f7d6d',
  redis: '#c4472f',
  postgres: '#3a67a8',
};
const WIDTH = 760;
const LABEL = 110;
const BAR = 15;
const GAP = 5;

const samples = (JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as Sample[]).filter(
  (sample) => sample.kind === 'peak',
);
const workloads = [...new Set(samples.map(({ workload }) => workload))];
const names = [...new Set(samples.map(({ name }) => name))];
const order = Object.keys(PROCESSES) as (keyof Cpu)[];
const costs = (workload: string, name: string): number[] | undefined => {
  const own = samples.filter((sample) => sample.workload === workload && sample.name === name);
  return own.length > 0 ? order.map((kind) => median(own.map(({ cpu }) => cpu[kind]))) : undefined;
};

const parts: string[] = [];
let y = 30;
order.forEach((kind, n) => {
  parts.push(`<rect x="${LABEL + n * 120}" y="8" width="11" height="11" fill="${PROCESSES[kind]}"/>`);
  parts.push(`<text x="${LABEL + n * 120 + 16}" y="18">${kind}</text>`);
});
for (const workload of workloads) {
  const rows = names.flatMap((name) => {
    const cost = costs(workload, name);
    return cost ? [{ name, cost, total: cost.reduce((sum, each) => sum + each, 0) }] : [];
  });
  const scale = (WIDTH - LABEL - 60) / Math.max(...rows.map(({ total }) => total));
  parts.push(`<text x="0" y="${y + 14}" font-weight="bold">${workload}</text>`);
  y += 22;
  for (const { name, cost, total } of rows.sort((a, b) => a.total - b.total)) {
    const bold = name === 'tandem' ? ' font-weight="bold"' : '';
    parts.push(`<text x="${LABEL - 8}" y="${y + 12}" text-anchor="end"${bold}>${name}</text>`);
    let x = LABEL;
    cost.forEach((each, n) => {
      const fill = PROCESSES[order[n] as keyof Cpu];
      parts.push(
        `<rect x="${x.toFixed(1)}" y="${y}" width="${(each * scale).toFixed(1)}" height="${BAR}" fill="${fill}"/>`,
      );
      x += each * scale;
    });
    parts.push(`<text x="${(x + 6).toFixed(1)}" y="${y + 12}">${total.toFixed(0)} µs</text>`);
    y += BAR + GAP;
  }
  y += 10;
}
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="12">
<title>CPU time a request, by process</title><rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>`);
