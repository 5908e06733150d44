/** Tables of the medians, and the ratios of the pairs. */

export interface Load {
  readonly requests: number;
  readonly seconds: number;
  /** In milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
}

export const PROCESSES = ['nginx', 'replicas', 'redis', 'postgres'] as const;
/** In microseconds a request, of all processes of that kind. */
export type Cpu = Readonly<Record<(typeof PROCESSES)[number], number>>;

export interface Sample extends Load {
  readonly name: string;
  readonly workload: string;
  readonly round: number;
  /** As many requests as possible, or half of them. */
  readonly kind: 'peak' | 'half';
  readonly cpu: Cpu;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]] as [number, number];
  return (low + high) / 2;
}

const total = ({ cpu }: { readonly cpu: Cpu }) => cpu.nginx + cpu.replicas + cpu.redis + cpu.postgres;

export const table = (rows: readonly (readonly (string | number)[])[]) =>
  rows.map((row, n) => `| ${row.join(' | ')} |${n === 0 ? `\n|${row.map(() => '---|').join('')}` : ''}`).join('\n');

/** @param names in the order of the rows; the first is compared with the others */
export function report(samples: readonly Sample[], names: readonly string[]): string {
  const workloads = [...new Set(samples.map(({ workload }) => workload))];
  return workloads
    .map((workload) =>
      section(
        samples.filter((s) => s.workload === workload),
        workload,
        names,
      ),
    )
    .join('\n');
}

function section(samples: readonly Sample[], workload: string, names: readonly string[]): string {
  const of = (name: string, kind: Sample['kind']) => samples.filter((s) => s.name === name && s.kind === kind);
  const [first] = names as [string];
  const row = (name: string) => {
    const [peak, half] = [of(name, 'peak'), of(name, 'half')];
    if (peak.length === 0) return [];
    const mid = (read: (sample: Sample) => number, digits = 0) => median(peak.map(read)).toFixed(digits);
    const ratios = of(first, 'peak').flatMap((own) => {
      const pair = peak.find(({ round }) => round === own.round);
      return pair ? [total(own) / total(pair)] : [];
    });
    const cpu = PROCESSES.map((kind) => mid((s) => s.cpu[kind]));
    const low = Math.min(...peak.map(total)).toFixed(0);
    const high = Math.max(...peak.map(total)).toFixed(0);
    const failed = [...peak, ...half].reduce((sum, s) => sum + s.failed, 0);
    return [
      [
        name,
        mid((s) => s.requests / s.seconds),
        mid((s) => s.p50, 1),
        mid((s) => s.p99, 1),
        `${mid(total)} (${low}–${high})`,
        ...cpu,
        name === first ? '' : median(ratios).toFixed(2),
        half.length > 0
          ? `${median(half.map((s) => s.p99)).toFixed(1)} @ ${median(half.map((s) => s.requests / s.seconds)).toFixed(0)}`
          : '',
        failed,
      ],
    ];
  };
  const head = [
    '',
    'requests/s',
    'p50 ms',
    'p99 ms',
    'CPU µs',
    'Nginx',
    'replicas',
    'Redis',
    'PostgreSQL',
    `${first} ÷ it`,
    'p99 ms @ half',
    'failed',
  ];
  return `### ${workload}\n\n${table([head, ...names.flatMap(row)])}\n`;
}
