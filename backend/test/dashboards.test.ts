/** Grafana's dashboards, as somebody would import them into a Grafana of their own. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

interface Reference {
  readonly type: string;
  readonly uid: string;
}
interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: Reference;
  readonly targets?: { readonly refId: string; readonly datasource: Reference }[];
  readonly options?: Record<string, unknown>;
}
interface Dashboard {
  readonly __inputs: unknown[];
  readonly __requires: {
    readonly type: string;
    readonly id: string;
    readonly name: string;
    readonly version: string;
  }[];
  readonly id: number | null;
  readonly uid: string;
  readonly title: string;
  readonly templating: {
    readonly list: { name: string; type: string; query: unknown; datasource?: Reference; current: object }[];
  };
  readonly panels: Panel[];
}

const folder = path.join(import.meta.dirname, '../../monitoring/grafana/dashboards');
const files = readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`, 'utf8')] as const);
const dashboards = files.map(([name, text]): [string, Dashboard] => [name, JSON.parse(text)]);

/** Every value of the key `datasource`, wherever it stands. */
function references(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === 'datasource' ? [inner] : references(inner)));
}

test.each(dashboards)(
  '%s names no data source of ours: all are of its variable, which takes any Prometheus',
  (_, dashboard) => {
    const [variable] = dashboard.templating.list;
    expect(variable).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus', current: {} });
    const all = references(dashboard);
    expect(all.length).toBeGreaterThan(dashboard.panels.length / 2);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's, not ours
    const ofVariable = JSON.stringify({ type: 'prometheus', uid: '${datasource}' });
    expect([...new Set(all.map((each) => JSON.stringify(each)))]).toEqual([ofVariable]);
    for (const { type, title, datasource, targets = [] } of dashboard.panels) {
      if (type === 'row') continue;
      expect([title, datasource, ...targets.map((target) => target.datasource)]).not.toContain(undefined);
    }
  },
);

test.each(files)('%s needs nothing that only provisioning, or only an import, fills in', (_, text) => {
  const variables = (JSON.parse(text) as Dashboard).templating.list.map(({ name }) => name);
  const builtIn = ['__rate_interval', '__interval', '__range', '__all'];
  const used = [...text.matchAll(/\$\{?(\w+)\}?/g)].map(([, name]) => name as string);
  expect(used.filter((name) => !variables.includes(name) && !builtIn.includes(name))).toEqual([]);
});

test.each(dashboards)(
  '%s says what it needs, and brings no number of this Grafana',
  (_, { id, __inputs, __requires, panels }) => {
    expect([id, __inputs]).toEqual([null, []]);
    const needs = (type: string) => __requires.filter((each) => each.type === type).map((each) => each.id);
    expect([needs('grafana'), needs('datasource')]).toEqual([['grafana'], ['prometheus']]);
    expect(new Set(needs('panel'))).toEqual(new Set(panels.map(({ type }) => type).filter((type) => type !== 'row')));
    expect(new Set(panels.map((panel) => panel.id)).size).toBe(panels.length);
  },
);

test('their uids are their own, short enough for Grafana, and begin with the name of the project', () => {
  const uids = dashboards.map(([, { uid }]) => uid);
  expect(new Set(uids).size).toBe(uids.length);
  expect(uids.filter((uid) => !/^tandem-[a-z0-9-]{1,33}$/.test(uid))).toEqual([]);
  const titles = dashboards.map(([, { title }]) => title);
  expect(new Set(titles).size).toBe(titles.length);
});
