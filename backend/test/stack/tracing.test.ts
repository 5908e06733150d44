/** Traces, as an OpenTelemetry collector receives them. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import path from 'node:path';
import {
  freePort,
  listenAnywhere,
  type Postgres,
  type RedisServer,
  startNginx,
  startPostgres,
  startRedis,
  until,
} from '../support/servers.ts';
import { type Replica, runMigrations, startReplica } from '../support/stack.ts';

interface Span {
  readonly scope: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: { readonly key: string; readonly value: object }[];
  readonly instance: string;
}
const received: Span[] = [];
let collector: Server;
let postgres: Postgres;
let redis: RedisServer;
let replica: Replica;
let url: string;

beforeAll(async () => {
  collector = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
      const instance = resource.attributes.find(({ key }: { key: string }) => key === 'service.instance.id').value;
      for (const { scope, spans } of scopeSpans) {
        for (const span of spans) received.push({ ...span, scope: scope.name, instance: instance.stringValue });
      }
    }
    response.setHeader('Content-Type', 'application/json').end('{}');
  });
  const port = await listenAnywhere(collector as never);
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  runMigrations(postgres);
  replica = await startReplica('backend-7', postgres, redis, undefined, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
  });
  url = `http://127.0.0.1:${(await startNginx([replica.port])).port}`;
});
afterAll(() => collector.close());

test('a request is one trace through Nginx, Express, PostgreSQL and Redis, and part of its caller', async () => {
  const [traceId, caller] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  const answer = await fetch(`${url}/tasks`, { headers: { traceparent: `00-${traceId}-${caller}-01` } });
  expect(answer.status).toBe(200);
  const ours = () => received.filter((span) => span.traceId === traceId);
  const scopes = () => new Set(ours().map(({ scope }) => scope.replace('@opentelemetry/instrumentation-', '')));
  await until('the spans', () => ['http', 'express', 'pg', 'ioredis'].every((scope) => scopes().has(scope)));
  const [server] = ours().filter(({ scope }) => scope.endsWith('-http'));
  expect(server).toMatchObject({ parentSpanId: caller, instance: 'backend-7' });
  const statement = ours().find(({ scope, name }) => scope.endsWith('-pg') && /select/i.test(name));
  expect(statement).toBeDefined();
});

test('no span holds what clients sent', async () => {
  const count = received.length;
  const body = JSON.stringify({ key: 'secret-key', value: 'secret-value' });
  const headers = {
    'Content-Type': 'application/json',
    'User-Agent': 'secret-agent',
    Authorization: 'Bearer secret-token',
  };
  expect((await fetch(`${url}/kv`, { method: 'PUT', body, headers })).status).toBe(200);
  await fetch(`${url}/kv?key=secret-key`, { headers });
  await fetch(`${url}/items/secret-id`, { headers });
  await until('the spans of all three', () => received.filter(({ scope }) => scope.endsWith('-http')).length >= 4);
  expect(received.length).toBeGreaterThan(count + 5);
  expect(JSON.stringify(received)).not.toContain('secret');
});

test('probes are no traces, and the last spans are sent before the process ends', async () => {
  await fetch(`${replica.debugUrl}/metrics`);
  await fetch(`${url}/ping`);
  replica.signal('SIGTERM');
  await replica.exited;
  const routes = received.filter(({ scope }) => scope.endsWith('-http')).map(({ name }) => name);
  expect(routes.some((name) => name.includes('/ping'))).toBe(true);
  expect(routes.filter((name) => /metrics|health/.test(name))).toEqual([]);
});

test('a collector that is away is said in the log, and harms neither requests nor the end', async () => {
  const lonely = await startReplica('backend-8', postgres, redis, undefined, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
  });
  expect((await fetch(`${lonely.url}/tasks`)).status).toBe(200);
  await until(
    'the warning',
    () => readFileSync(lonely.log, 'utf8').includes('traces were not delivered'),
    lonely.log,
    60,
  );
  expect((await fetch(`${lonely.url}/tasks`)).status).toBe(200);
  await fetch(`${lonely.url}/ping`); // a span is left to send
  lonely.signal('SIGTERM');
  expect(await lonely.exited).toBe(0);
  expect(readFileSync(lonely.log, 'utf8')).not.toContain('"level":"fatal"');
});

test('without a collector nothing of OpenTelemetry is loaded', () => {
  const loaded = (endpoint: string) =>
    Number(
      execFileSync(
        process.execPath,
        [
          ...['--import', './src/tracing.ts', '--input-type=commonjs', '-e'],
          'console.log(Object.keys(require("module")._cache).filter((file) => /opentelemetry|in-the-middle/.test(file)).length)',
        ],
        {
          cwd: path.join(import.meta.dirname, '../..'),
          env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
          encoding: 'utf8',
        },
      ),
    );
  expect(loaded('http://127.0.0.1:9')).toBeGreaterThan(0);
  expect(loaded('')).toBe(0);
});
