/** What a run leaves behind: summary.json (all figures), summary.md and the same text on the screen. */
import { API_BASE } from './api.ts';

type Values = Record<string, number>;

interface Metric {
  type: 'counter' | 'gauge' | 'rate' | 'trend';
  contains: 'default' | 'time' | 'data';
  values: Values;
  thresholds?: Record<string, { ok: boolean }>;
}

interface Check {
  name: string;
  passes: number;
  fails: number;
}

/** What k6 gives to handleSummary: https://grafana.com/docs/k6/latest/results-output/end-of-test/custom-summary/ */
export interface Summary {
  metrics: Record<string, Metric>;
  state: { testRunDurationMs: number };
  root_group: { checks: Check[] };
}

const round = (value: number): string => String(Number(value.toPrecision(value >= 1000 ? 6 : 4)));

/** A value as people read it: of a trend `1.23 ms`, of a rate `99.9 %`. */
function shown({ type, contains }: Metric, value: number | undefined): string {
  if (value === undefined) return '';
  if (type === 'rate') return `${round(value * 100)} %`;
  return contains === 'time' ? `${round(value)} ms` : round(value);
}

/** Of no samples each statistic is 0, which is below most thresholds. A counter that counts what must not happen has none when all is well. */
const hasSamples = ({ type, values }: Metric): boolean =>
  type === 'trend' ? values.count !== 0 : type !== 'rate' || values.passes !== 0 || values.fails !== 0;

const isMet = (metric: Metric, ok: boolean): boolean => ok && hasSamples(metric);

/** `p(95)<500` speaks of the value p(95). */
function measured(metric: Metric, threshold: string): string {
  if (!hasSamples(metric)) return 'no samples';
  const statistic = threshold.split(/[<>=!]/)[0]?.trim() ?? '';
  return shown(metric, metric.values[statistic]);
}

function objectives(metrics: Summary['metrics']): string[] {
  const rows = Object.entries(metrics).flatMap(([name, metric]) =>
    Object.entries(metric.thresholds ?? {}).map(
      ([threshold, { ok }]) =>
        `| ${name} | ${threshold} | ${measured(metric, threshold)} | ${isMet(metric, ok) ? 'met' : '**not met**'} |`,
    ),
  );
  return ['| objective | | measured | |', '| --- | --- | ---: | --- |', ...rows.sort()];
}

const OTHER_DURATIONS =
  /^(http_req_(?!duration)|http_req_duration\{expected_response|iteration_duration|group_duration)/;
const STATISTICS = ['avg', 'med', 'p(95)', 'p(98)', 'p(99)', 'max'];

function durations(metrics: Summary['metrics']): string[] {
  // k6's own, but of whole requests only: not how long it connected, sent or received.
  const trends = Object.entries(metrics).filter(
    ([name, { type, contains }]) => type === 'trend' && contains === 'time' && !OTHER_DURATIONS.test(name),
  );
  const rows = trends.map(
    ([name, metric]) =>
      `| ${name} | ${STATISTICS.map((statistic) => shown(metric, metric.values[statistic])).join(' | ')} |`,
  );
  return [
    `| duration | ${STATISTICS.join(' | ')} |`,
    `| --- |${STATISTICS.map(() => ' ---: |').join('')}`,
    ...rows.sort(),
  ];
}

function failedChecks({ checks }: Summary['root_group']): string[] {
  const failed = checks.filter(({ fails }) => fails > 0);
  return failed.map(({ name, passes, fails }) => `- failed ${fails} of ${passes + fails} times: ${name}`);
}

/** @returns what handleSummary must return; `lines` are a script's own part of it */
export function report(data: Summary, lines: string[] = []): Record<string, string> {
  const { metrics, state, root_group } = data;
  const passed = Object.values(metrics).every((metric) =>
    Object.values(metric.thresholds ?? {}).every(({ ok }) => isMet(metric, ok)),
  );
  const { count = 0, rate = 0 } = metrics.http_reqs?.values ?? {};
  const refused = metrics.rate_limited?.values.count ?? 0;
  const text = [
    `## k6 ${__ENV.SCRIPT ?? ''}: ${passed ? 'passed' : 'FAILED'}`,
    '',
    `${API_BASE}, ${Math.round(state.testRunDurationMs / 1000)} s until ${new Date().toISOString()}: ${count} requests (${Math.round(rate)}/s), ` +
      `${metrics.http_req_failed?.values.passes ?? 0} failed.`,
    ...(Number(__ENV.TIME_SCALE || 1) < 1
      ? [`A run of ${__ENV.TIME_SCALE} of its length: its objectives are meant for a whole one.`]
      : []),
    ...(refused > 0
      ? [
          `${refused} requests were refused (429): the edge lets one client send no more. Raise LIMIT_RATE, LIMIT_BURST and LIMIT_CONNECTIONS.`,
        ]
      : []),
    '',
    ...(lines.length > 0 ? [...lines, ''] : []),
    ...objectives(metrics),
    '',
    ...durations(metrics),
    '',
    ...failedChecks(root_group),
    '',
  ].join('\n');
  const folder = __ENV.RESULTS;
  return {
    stdout: `\n${text}`,
    ...(folder && { [`${folder}/summary.json`]: `${JSON.stringify(data, null, 2)}\n`, [`${folder}/summary.md`]: text }),
  };
}

export const handleSummary = (data: Summary): Record<string, string> => report(data);
