/** Asks a real Prometheus for the data of every panel and rule. Used by the tests and by .ci/telemetry. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const DASHBOARDS = path.join(import.meta.dirname, '../../../monitoring/grafana/dashboards');

/** One PromQL query, and where it stands. */
export interface Query {
  readonly where: string;
  readonly expr: string;
}

// biome-ignore lint/suspicious/noExplicitAny: Prometheus' JSON; what is read of it is asserted
async function ask(prometheus: string, path: string, parameters: Record<string, string> = {}): Promise<any> {
  const answer = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = (await answer.json()) as { status: string; data: unknown; error?: string };
  if (status !== 'success') throw new Error(`${path} ${JSON.stringify(parameters)}: ${error}`);
  return data;
}

/** The instant value of a query, by the labels of its series. NaN (0/0) draws nothing, so it is no data. */
export async function values(prometheus: string, expr: string): Promise<Map<string, number>> {
  const { result, resultType } = await ask(prometheus, 'query', { query: expr });
  if (resultType === 'scalar') return new Map([['', Number(result[1])]]);
  const pairs = (result as { metric: object; value: [number, string] }[]).map(
    ({ metric, value }) => [JSON.stringify(metric), Number(value[1])] as const,
  );
  return new Map(pairs.filter(([, value]) => !Number.isNaN(value)));
}

/** The one number that a query gives. @throws when it gives none, or several */
export async function value(prometheus: string, expr: string): Promise<number> {
  const [first, ...rest] = (await values(prometheus, expr)).values();
  if (first === undefined || rest.length > 0) throw new Error(`${expr} gives ${rest.length + 1} or no values`);
  return first;
}

export interface Target {
  readonly name: string;
  readonly health: string;
  readonly error: string;
}
export async function targets(prometheus: string): Promise<Target[]> {
  const { activeTargets } = await ask(prometheus, 'targets');
  return activeTargets.map((target: { labels: Record<string, string>; health: string; lastError: string }) => ({
    name: `${target.labels.job}/${target.labels.instance}`,
    health: target.health,
    error: target.lastError,
  }));
}

/** What Grafana would put in place of its own variables at the shortest time range. */
const VARIABLES: Record<string, string> = {
  $__rate_interval: '40s',
  $__interval: '1m',
  $__range: '5m',
  $replica: 'backend-1',
};

export function panelQueries(files = readdirSync(DASHBOARDS)): Query[] {
  return files.flatMap((file) => {
    const { panels } = JSON.parse(readFileSync(`${DASHBOARDS}/${file}`, 'utf8'));
    return panels.flatMap((panel: { title: string; targets?: { expr: string; legendFormat: string }[] }) =>
      (panel.targets ?? []).map(({ expr, legendFormat }) => ({
        where: `${file}: ${panel.title} [${legendFormat}]`,
        expr: expr.replaceAll(/\$\w+/g, (name) => VARIABLES[name] ?? name),
      })),
    );
  });
}

/** The alerts that fire or are about to. */
export async function activeAlerts(prometheus: string): Promise<string[]> {
  const { alerts } = await ask(prometheus, 'alerts');
  return alerts.map(
    ({ labels, state }: { labels: Record<string, string>; state: string }) =>
      `${labels.alertname} ${labels.instance ?? labels.window ?? ''} ${state}`,
  );
}

/**
 * An alert's expression gives nothing while all is well. With "bool" its comparisons give 0 or 1 instead, and nothing only
 * when a metric is missing.
 */
export function withoutFilter(expr: string): string {
  // What is asked to be absent should be there; what stands in braces are matchers of labels.
  const parts = expr.replaceAll('absent(', '(').split(/(\{[^}]*\})/);
  return parts.map((part) => (part.startsWith('{') ? part : part.replaceAll(/(==|!=|>=|<=|>|<)/g, '$1 bool'))).join('');
}

export async function ruleQueries(prometheus: string): Promise<Query[]> {
  const { groups } = await ask(prometheus, 'rules');
  return groups.flatMap((group: { rules: { type: string; name: string; query: string }[] }) =>
    group.rules.flatMap(({ type, name, query }) => [
      { where: `${type} rule: ${name}`, expr: type === 'alerting' ? withoutFilter(query) : query },
      ...(type === 'recording' ? [{ where: `what it records: ${name}`, expr: name }] : []),
    ]),
  );
}

/**
 * Asks again and again until each query has given data. @returns the number of series of each; those that never
 * gave any have 0. @throws when Prometheus does not understand a query
 */
export async function seriesOf(
  prometheus: string,
  queries: readonly Query[],
  seconds = 90,
): Promise<Map<Query, number>> {
  const counts = new Map(queries.map((query) => [query, 0]));
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    for (const query of queries) {
      if (counts.get(query) === 0) counts.set(query, (await values(prometheus, query.expr)).size);
    }
    if (Date.now() > deadline || [...counts.values()].every((count) => count > 0)) return counts;
    await sleep(2000);
  }
}
