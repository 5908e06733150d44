/**
 * `npm run dashboards`: makes Grafana's dashboards of monitoring/grafana/dashboards.yml. With --check it writes nothing and
 * fails when a file is out of date. Grafana's model: https://grafana.com/docs/grafana/latest/reference/dashboard/
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Joi from 'joi';
import { parse } from 'yaml';

interface Panel {
  title: string;
  type: 'timeseries' | 'stat' | 'table' | 'heatmap' | 'alertlist';
  width: number;
  height?: number;
  unit: string;
  help?: string;
  stack: boolean;
  min: number | null;
  /** Colour: the value from which on it is shown; null for the lowest. */
  colors: Record<string, number | null>;
  /** What stands there when there is no data. */
  none?: string;
  /** Legend: PromQL. */
  queries?: Record<string, string>;
}
interface Row {
  title: string;
  repeat?: 'replica';
  panels: Panel[];
}
interface Dashboard {
  uid: string;
  title: string;
  rows: Row[];
}

const text = Joi.string().required();
function withoutOr(expr: string): string {
  if (/\bor\b/i.test(expr)) throw new Error('"or" would hide a misspelt metric from the tests');
  return expr;
}
const dashboard = Joi.object({
  uid: text.pattern(/^tandem-[a-z0-9]+$/),
  title: text,
  rows: Joi.array().items({
    title: text,
    repeat: Joi.string().valid('replica'),
    panels: Joi.array().items({
      title: text,
      type: Joi.string().valid('timeseries', 'stat', 'table', 'heatmap', 'alertlist').default('timeseries'),
      width: Joi.number().integer().min(3).max(24).default(8),
      height: Joi.number().integer().min(2).max(24),
      unit: Joi.string().default('short'),
      min: Joi.number().allow(null).default(0),
      colors: Joi.object().pattern(Joi.string(), Joi.number().allow(null)).default({ text: null }),
      none: Joi.string(),
      help: Joi.string(),
      stack: Joi.boolean().default(false),
      queries: Joi.object()
        .pattern(Joi.string().allow(''), Joi.string().custom(withoutOr))
        .when('type', { not: 'alertlist', then: Joi.object().min(1).required() }),
    }),
  }),
});
const source = Joi.array().items(dashboard).unique('uid');

/**
 * Of a dashboard's own variable, which Grafana fills with its default Prometheus: so the same file can be provisioned here and
 * imported elsewhere. (An input, `${DS_PROMETHEUS}`, is filled by an import only.)
 */
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's, not ours
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };
const datasourceVariable = {
  name: 'datasource',
  label: 'Prometheus',
  type: 'datasource',
  query: 'prometheus',
  refresh: 1,
  regex: '',
  multi: false,
  includeAll: false,
  options: [],
  current: {},
};
const COLUMNS = 24;
const HEIGHT: Record<Panel['type'], number> = { timeseries: 8, stat: 4, table: 6, heatmap: 8, alertlist: 8 };

const heightOf = ({ type, height }: Panel) => height ?? HEIGHT[type];

/** What a panel of this type needs besides its queries. */
function look({ type, stack, unit, min, colors, none }: Panel): object {
  const custom = {
    lineWidth: 1,
    fillOpacity: stack ? 30 : 8,
    showPoints: 'never',
    stacking: { mode: stack ? 'normal' : 'none', group: 'A' },
  };
  const steps = Object.entries(colors).map(([color, value]) => ({ color, value }));
  const defaults = {
    unit,
    // Grafana's own default turns every value red from 80 on.
    thresholds: { mode: 'absolute', steps },
    ...(none && { noValue: none }),
    ...(type === 'timeseries' && { custom, ...(min !== null && { min }) }),
  };
  const options = {
    timeseries: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
    stat: {
      colorMode: 'value',
      graphMode: 'none',
      textMode: 'auto',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
    table: { showHeader: true },
    heatmap: {
      calculate: false,
      yAxis: { unit },
      color: { mode: 'scheme', scheme: 'Oranges', steps: 64 },
      tooltip: { mode: 'single' },
    },
    alertlist: {
      viewMode: 'list',
      groupMode: 'default',
      sortOrder: 1,
      maxItems: 20,
      // Of every data source: it would be a name, in which Grafana replaces no variable.
      stateFilter: { firing: true, pending: true, noData: false, normal: false, error: true },
    },
  }[type];
  // An instant query brings its time and its value (1) along.
  const organize = { id: 'organize', options: { excludeByName: { Time: true, Value: true } } };
  return {
    fieldConfig: { defaults, overrides: [] },
    options,
    ...(type === 'table' && { transformations: [organize] }),
  };
}

function targets({ type, queries = {} }: Panel): object[] {
  const instant = type === 'stat' || type === 'table';
  return Object.entries(queries).map(([legendFormat, expr], index) => ({
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource: DATASOURCE,
    expr: expr.trim(),
    legendFormat,
    ...(instant ? { instant: true, range: false } : { range: true }),
    ...((type === 'heatmap' || type === 'table') && { format: type }),
    // A column for each minute, of the requests of that minute.
    ...(type === 'heatmap' && { interval: '1m' }),
  }));
}

function panelsOf(rows: Row[]): object[] {
  const panels: object[] = [];
  const add = (panel: object) => panels.push({ id: panels.length + 1, ...panel });
  let y = 0;
  for (const row of rows) {
    add({
      type: 'row',
      title: row.title,
      collapsed: false,
      panels: [],
      ...(row.repeat && { repeat: row.repeat }),
      gridPos: { x: 0, y: y++, w: COLUMNS, h: 1 },
    });
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      if (x + panel.width > COLUMNS) {
        y += height;
        x = height = 0;
      }
      add({
        type: panel.type,
        title: panel.title,
        ...(panel.help && { description: panel.help }),
        datasource: DATASOURCE,
        gridPos: { x, y, w: panel.width, h: heightOf(panel) },
        targets: targets(panel),
        ...look(panel),
      });
      x += panel.width;
      height = Math.max(height, heightOf(panel));
    }
    y += height;
  }
  return panels;
}

const REPLICAS = 'label_values(tandem_build_info, instance)';
const replicaVariable = {
  name: 'replica',
  type: 'query',
  datasource: DATASOURCE,
  definition: REPLICAS,
  query: { query: REPLICAS, refId: 'replica' },
  refresh: 2, // whenever the time range changes: a replica that was added shows up
  sort: 3,
  multi: true,
  includeAll: true,
  current: { text: ['All'], value: ['$__all'] },
};

/** Ends the process with the titles of what is wrong. */
function readDashboards(yaml: string): Dashboard[] {
  const parsed = parse(yaml);
  const { value, error } = source.validate(parsed, { abortEarly: false, errors: { label: 'key' } });
  if (!error) return value;
  for (const { path: keys, message } of error.details) {
    const parts = keys.map((_, index) => keys.slice(0, index + 1).reduce((at, key) => at?.[key], parsed)?.title);
    console.error(`dashboards.yml: ${parts.filter(Boolean).join(' > ')}: ${message}`);
  }
  process.exit(1);
}

/** What an import asks for; a provisioned dashboard does not mind. Schema 41 is that of Grafana 12. */
const requirements = (rows: Row[]) => [
  { type: 'grafana', id: 'grafana', name: 'Grafana', version: '12.0.0' },
  { type: 'datasource', id: 'prometheus', name: 'Prometheus', version: '1.0.0' },
  ...[...new Set(rows.flatMap(({ panels }) => panels.map(({ type }) => type)))]
    .sort()
    .map((type) => ({ type: 'panel', id: type, name: type, version: '' })),
];

const toGrafana = ({ uid, title, rows }: Dashboard) => ({
  __inputs: [],
  __requires: requirements(rows),
  id: null, // Grafana's own number
  uid,
  title: `Tandem: ${title}`,
  tags: ['tandem'],
  schemaVersion: 41,
  editable: true,
  graphTooltip: 1, // one crosshair in all panels
  refresh: '10s',
  time: { from: 'now-15m', to: 'now' },
  timezone: 'browser',
  // The other dashboards, as buttons that keep the time range.
  links: [
    {
      type: 'dashboards',
      tags: ['tandem'],
      title: '',
      icon: 'dashboard',
      tooltip: '',
      asDropdown: false,
      targetBlank: false,
      keepTime: true,
      includeVars: false,
    },
  ],
  templating: { list: [datasourceVariable, ...(rows.some(({ repeat }) => repeat) ? [replicaVariable] : [])] },
  annotations: { list: [] },
  panels: panelsOf(rows),
});

const grafana = path.join(import.meta.dirname, '../monitoring/grafana');
const dashboards = readDashboards(readFileSync(`${grafana}/dashboards.yml`, 'utf8'));
const files = new Map(
  dashboards.map((each) => [
    `${each.uid.replace('tandem-', '')}.json`,
    `${JSON.stringify(toGrafana(each), null, 2)}\n`,
  ]),
);
const folder = `${grafana}/dashboards`;
const stored = readdirSync(folder);
if (process.argv.includes('--check')) {
  const stale = [...files].filter(
    ([name, content]) => !stored.includes(name) || readFileSync(`${folder}/${name}`, 'utf8') !== content,
  );
  const names = [...stale.map(([name]) => name), ...stored.filter((name) => !files.has(name))];
  if (names.length > 0) {
    console.error(`monitoring/grafana/dashboards: ${names} out of date: run npm run dashboards and commit it`);
    process.exitCode = 1;
  }
} else {
  for (const name of stored) rmSync(`${folder}/${name}`);
  for (const [name, content] of files) writeFileSync(`${folder}/${name}`, content);
}
