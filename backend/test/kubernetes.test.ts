/** What kubernetes/ must agree about with the rest, which no schema can know. The schemas: .ci/kubernetes. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';

// biome-ignore lint/suspicious/noExplicitAny: the shapes are Kubernetes', and .ci/kubernetes checks them
type Any = any;
const repository = path.join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');
const documents = (file: string): Any[] => parseAllDocuments(read(file), { merge: true }).map((each) => each.toJS());
const base = readdirSync(path.join(repository, 'kubernetes/base'))
  .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  .flatMap((file) => documents(`kubernetes/base/${file}`));
const object = (kind: string, name: string) => base.find((each) => each.kind === kind && each.metadata.name === name);
const workloads = [
  ...base.filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job'].includes(kind)),
  ...documents('kubernetes/production/external-postgres/postgres-exporter.yaml'),
  ...documents('kubernetes/production/managed-redis/redis-exporter.yaml').filter(({ kind }) => kind === 'Deployment'),
];
const containersOf = ({ spec }: Any): Any[] => {
  const { initContainers = [], containers } = spec.template.spec;
  return [...initContainers, ...containers];
};
const backend = object('Deployment', 'backend');
const nginx = object('Deployment', 'nginx');
const literals = (name: string): Record<string, string> =>
  Object.fromEntries(
    parse(read('kubernetes/base/kustomization.yaml'))
      .configMapGenerator.find((each: Any) => each.name === name)
      .literals.map((line: string) => line.split(/=(.*)/s, 2)),
  );
const number = (text: string, pattern: RegExp) => Number(pattern.exec(text)?.[1]);
const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);

test('the images are those of .env.example', () => {
  const pinned = [...read('.env.example').matchAll(/^[A-Z_]+_IMAGE=(.+)$/gm)].map(([, image]) => image);
  const used = workloads.flatMap((each) => containersOf(each).map(({ image }) => image));
  expect(used.length).toBeGreaterThan(8);
  for (const image of used) expect([...pinned, 'tandem-backend', 'tandem-nginx']).toContain(image);
  for (const dockerfile of ['backend/Dockerfile', 'frontend/Dockerfile']) {
    for (const [, image] of read(dockerfile).matchAll(/^ARG [A-Z]+_IMAGE=(.+)$/gm)) expect(pinned).toContain(image);
  }
});

test('Redis is set up as in Docker', () => {
  const docker: string = parse(read('docker-compose.yml'), { merge: true }).services.redis.command[2];
  const container = object('StatefulSet', 'redis').spec.template.spec.containers[0];
  expect(container.args[2]).toBe(docker.replaceAll('$$', '$')); // Compose's way to write a $
});

test('Nginx has a value for each name in its template', () => {
  const names = new Set(
    [...read('nginx/nginx.conf.template').matchAll(/\$\{([A-Z_]+)\}/g)].map(([, name]) => name as string),
  );
  const container = nginx.spec.template.spec.containers[0];
  const given = new Set([...Object.keys(literals('nginx')), ...container.env.map(({ name }: Any) => name)]);
  expect([...names].filter((name) => !given.has(name))).toEqual([]);
});

test('a pod has time to end: preStop, and then every phase of its shutdown', () => {
  const { terminationGracePeriodSeconds: grace, containers } = backend.spec.template.spec;
  const phases = [...read('backend/src/server.ts').matchAll(/deadlineMs: ([\d_]+)/g)];
  expect(phases.length).toBeGreaterThan(4);
  const shutdown = sum(phases.map(([, ms]) => Number(ms?.replaceAll('_', '')))) / 1000;
  const wait = containers[0].lifecycle.preStop.sleep.seconds;
  expect(wait).toBeGreaterThan(31); // what DNS and Nginx may remember
  expect(grace).toBeGreaterThanOrEqual(wait + shutdown);

  const edge = nginx.spec.template.spec;
  const patience = number(read('nginx/nginx.conf.template'), /worker_shutdown_timeout (\d+)s/);
  expect(edge.terminationGracePeriodSeconds).toBeGreaterThan(
    edge.containers[0].lifecycle.preStop.sleep.seconds + patience,
  );
});

test('a rollout takes no replica away before the next one serves', () => {
  for (const { spec } of [backend, nginx])
    expect(spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
});

test('as many replicas as there may be: Nginx tries them all, and PostgreSQL has connections for them', () => {
  const { maxReplicas } = object('HorizontalPodAutoscaler', 'backend').spec;
  expect(maxReplicas).toBe(20);
  expect(number(read('nginx/nginx.conf.template'), /proxy_next_upstream_tries (\d+)/)).toBeGreaterThanOrEqual(
    2 * maxReplicas,
  );

  const control = number(read('backend/src/server.ts'), /CONTROL_CONNECTIONS = (\d+)/);
  const each = Number(literals('backend').DATABASE_POOL_MAX?.split(' ')[0]) + control;
  // One more during a rollout, and those that are ending: each keeps its connections for preStop and some 12 s to drain, and the next
  // step comes once the new one is up (3 s at best) and has stayed so.
  const { minReadySeconds, template } = backend.spec;
  const ending = Math.ceil((template.spec.containers[0].lifecycle.preStop.sleep.seconds + 12) / (minReadySeconds + 3));
  const needed = each * (maxReplicas + 1 + ending) + 10;
  const server = object('StatefulSet', 'postgres').spec.template.spec.containers[0].args.join(' ');
  expect(number(server, /max_connections=(\d+)/)).toBeGreaterThanOrEqual(needed);
  const [cluster] = documents('kubernetes/production/cloudnative-pg/cluster.yaml');
  expect(Number(cluster.spec.postgresql.parameters.max_connections)).toBeGreaterThanOrEqual(needed);
});

test('every value of a Secret that a pod asks for is one that secrets.sh makes', () => {
  const script = read('kubernetes/secrets.sh');
  const made = [...script.matchAll(/^secret (\S+) \S+ (.+)$/gm)].flatMap(([, name, keys]) =>
    (keys as string).split(' ').map((key) => `${name}/${key.split('=')[0]}`),
  );
  const asked = workloads
    .flatMap(containersOf)
    .flatMap(({ env = [] }) => env)
    .flatMap(({ valueFrom }: Any) => valueFrom?.secretKeyRef ?? [])
    .map(({ name, key }: Any) => `${name}/${key}`);
  expect([...new Set(asked)].sort()).toEqual([...made].sort());
});

test("only the migration and PostgreSQL know the superuser's password", () => {
  const knows = workloads.filter((each) => JSON.stringify(each).includes('postgres-superuser'));
  expect(knows.map(({ metadata }) => metadata.name).sort()).toEqual(['migrate', 'postgres']);
});

test('every pod is confined, and bounded', () => {
  for (const workload of workloads) {
    const { metadata, spec } = workload;
    const pod = spec.template.spec;
    expect([metadata.name, pod.securityContext]).toMatchObject([
      metadata.name,
      { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    ]);
    expect([metadata.name, pod.automountServiceAccountToken]).toEqual([metadata.name, metadata.name === 'prometheus']);
    for (const container of containersOf(workload)) {
      expect(container).toMatchObject({
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        resources: {
          requests: { cpu: expect.any(String), memory: expect.any(String) },
          limits: { memory: expect.any(String) },
        },
      });
    }
  }
});

test('a probe asks the debug port of a replica, and Nginx no replica', () => {
  const [replica] = backend.spec.template.spec.containers;
  const [edge] = nginx.spec.template.spec.containers;
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    expect(replica[probe].httpGet.port).toBe('metrics');
    expect(edge[probe].httpGet?.path ?? 'connects').toMatch(/^(\/nginx_status|connects)$/);
  }
});

test('Prometheus drops the same figures as elsewhere', () => {
  const rules = (file: string) => parse(read(file)).scrape_configs[0].metric_relabel_configs;
  expect(rules('kubernetes/base/prometheus.yml')).toEqual(rules('monitoring/prometheus/prometheus.yml'));
});
