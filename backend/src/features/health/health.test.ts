import { useApi } from '../../../test/support/api.ts';

const api = useApi();

test('GET / names the replica and every endpoint', async () => {
  const { status, body } = await api.api.get('/');
  expect([status, body.name, body.instance]).toEqual([200, 'Tandem', 'backend-1']);
  expect(body.endpoints).toContain('PUT /items/{id}');
  expect(body.endpoints).not.toContain('GET /metrics');
});

test('GET /ping names the replica, in the body and in X-Served-By', async () => {
  for (const [n, replica] of api.replicas.entries()) {
    const { body, headers } = await replica.api.get('/ping');
    const instance = `backend-${n + 1}`;
    expect(body).toEqual({ message: `pong from ${instance}`, host: expect.any(String), instance });
    expect(headers['x-served-by']).toBe(instance);
    expect(headers['cache-control']).toBe('private, no-cache');
  }
});

test('GET /health says that everything is well', async () => {
  const { status, body } = await api.api.get('/health');
  expect([status, body]).toEqual([
    200,
    { status: 'ok', api: 'healthy', database: 'healthy', cache: 'healthy', instance: 'backend-1' },
  ]);
});

test('the probes and the metrics are on the debug port, and only there', async () => {
  const { debug } = api.replicas[0];
  expect((await debug.get('/health/live')).body).toEqual({ status: 'alive' });
  expect((await debug.get('/health/ready')).body).toEqual({ status: 'ready' });
  expect((await debug.get('/health/serving')).body).toEqual({ status: 'serving' });
  expect((await debug.get('/items')).status).toBe(200);
  for (const path of ['/metrics', '/health/live', '/health/ready', '/health/serving']) {
    expect((await api.api.get(path)).status).toBe(404);
  }
});

test('readiness follows the life of the replica', async () => {
  const { debug, lifecycle } = api.replicas[1];
  for (const phase of ['starting', 'draining'] as const) {
    lifecycle.phase = phase;
    expect((await debug.get('/health/ready')).status).toBe(503);
    expect((await debug.get('/health/serving')).status).toBe(503);
    expect((await debug.get('/health/live')).status).toBe(200);
  }
  lifecycle.phase = 'serving';
  expect((await debug.get('/health/ready')).status).toBe(200);
});

test('a draining replica goes on serving and asks to close the connection', async () => {
  const { api: client, lifecycle } = api.replicas[1];
  const connection = async () => {
    const response = await client.get('/ping').set('Connection', 'keep-alive');
    return [response.status, response.headers.connection];
  };
  expect(await connection()).toEqual([200, 'keep-alive']);
  lifecycle.phase = 'draining';
  expect(await connection()).toEqual([200, 'close']);
  lifecycle.phase = 'serving';
});

test('metrics are labelled with the route template, and what no route declares is one series', async () => {
  const { api: client, debug } = api.replicas[1];
  await client.get('/items?limit=1');
  await client.get('/items/not-a-uuid');
  for (const path of ['/a', '/b/c', '/metrics', '/Items']) await client.get(path);
  await client.patch('/items');
  const { text } = await debug.get('/metrics');
  const counts = text.split('\n').filter((line) => line.startsWith('http_request_duration_seconds_count'));
  const paths = new Set(counts.map((line) => /path="([^"]+)"/.exec(line)?.[1]));
  expect(paths).toEqual(
    new Set(['/health/ready', '/health/live', '/health/serving', '/ping', '/items', '/items/{id}', 'unmatched']),
  );
  const refused = counts.filter((line) => line.includes('path="/items/{id}"'));
  expect(refused).toEqual([
    'http_request_duration_seconds_count{instance="backend-2",status_code="400",method="GET",path="/items/{id}"} 1',
  ]);
});

test('the documentation is served by the API itself', async () => {
  const page = await api.api.get('/docs');
  expect([page.status, page.type]).toEqual([200, 'text/html']);
  const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string);
  expect(files).toHaveLength(4);
  for (const file of files) {
    expect(file).toMatch(/^\/docs\//);
    expect((await api.api.get(file)).status).toBe(200);
  }
  const document = await api.api.get('/openapi.json');
  expect(document.body.openapi).toBe('3.1.0');
  expect(
    document.body.paths['/items/{id}'].put.requestBody.content['application/json'].schema.properties.title,
  ).toEqual({
    type: 'string',
    minLength: 1,
    maxLength: 200,
  });
  for (const file of ['/docs/nothing.js', '/docs/toString', '/docs/../app.ts']) {
    expect((await api.api.get(file)).status).toBe(404);
  }
});
