/** What monitoring refers to must exist. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

const root = path.join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const alerts: { alert: string; annotations: { summary: string; runbook_url: string }; labels: object }[] = parse(
  read('monitoring/prometheus/rules/alerts.yml'),
).groups.flatMap(({ rules }: { rules: object[] }) => rules);

test.each(alerts)('$alert has a runbook', ({ alert, annotations, labels }) => {
  expect(annotations.runbook_url).toBe(`docs/operations.md#${alert.toLowerCase()}`);
  const [, section = ''] = read('docs/operations.md').split(`\n### ${alert}\n`);
  expect(section.split('\n### ')[0]).toMatch(/\*.+\*.*- Look at: .+- Do: /s);
  expect(labels).toMatchObject({ severity: expect.stringMatching(/^(page|ticket)$/) });
});

test('every alert has a unit test in which it fires', () => {
  const files = ['alerts', 'error-budget'].map((name) => parse(read(`monitoring/prometheus/tests/${name}.test.yml`)));
  const tested: { alertname: string; exp_alerts: object[] }[] = files.flatMap(({ tests }) =>
    tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test),
  );
  const fired = tested.filter(({ exp_alerts }) => exp_alerts.length > 0).map(({ alertname }) => alertname);
  expect(new Set(fired)).toEqual(new Set(alerts.map(({ alert }) => alert)));
});

test('plain `docker compose` has the targets that start.sh would write', () => {
  const made = execFileSync(
    'bash',
    ['-c', 'ROOT=$PWD; . native/common.sh; . native/compose.sh; REPLICAS=2; docker_targets | targets_json'],
    { cwd: root, encoding: 'utf8' },
  );
  expect(made).toBe(read('monitoring/prometheus/targets/tandem.json'));
});
