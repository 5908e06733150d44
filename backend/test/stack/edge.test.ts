/** Through a real Nginx, as a client sees it. */
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { connect as connectSocket, createServer } from 'node:net';
import { listenAnywhere, NGINX_TEMPLATE, startNginx, until } from '../support/servers.ts';
import { json, type Stack, sendJson, startStack } from '../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
}, 60_000);
afterAll(() => stack.stop());

const get = (path: string, headers: Record<string, string> = {}) => fetch(stack.url + path, { headers });
const send = (method: string, path: string, body: unknown) => sendJson(method, stack.url + path, body);

/** Sends bytes that fetch would correct or refuse. @returns everything that came back until the server closed */
function raw(text: string, port = stack.nginx.port): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}
const rawGet = (target: string, headers = '') =>
  raw(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n`);

function expectRawProblem(answer: string, status: number): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n', 2);
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(head).toMatch(/content-type: application\/problem\+json/i);
  const id = /^x-request-id: (\w+)/im.exec(head)?.[1];
  expect(JSON.parse(body.replace(/^[0-9a-f]+\r\n|\r\n0\r\n$/g, ''))).toMatchObject({
    type: 'about:blank',
    title: expect.any(String),
    status,
    request_id: id,
  });
}

test('100 sequential pings alternate strictly between the replicas', async () => {
  const names: string[] = [];
  for (let n = 0; n < 100; n++) names.push((await json(await get('/ping'))).instance);
  const [first, second] = names;
  expect(new Set([first, second])).toEqual(new Set(['backend-1', 'backend-2']));
  expect(names).toEqual(Array.from({ length: 100 }, (_, n) => (n % 2 === 0 ? first : second)));
});

test('what one replica stores, the other reads', async () => {
  const created = await send('POST', '/items', { title: 'through the edge' });
  const item = await json(created);
  expect(created.status).toBe(201);
  const answers = [await get(`/items/${item.id}`), await get(`/items/${item.id}`)];
  expect(new Set(answers.map((answer) => answer.headers.get('x-served-by'))).size).toBe(2);
  for (const answer of answers) expect(await answer.json()).toEqual(item);

  await send('PUT', '/kv', { key: 'edge', value: 'one' });
  for (let n = 0; n < 4; n++) {
    expect((await json(await get('/kv?key=edge'))).data.value).toBe('one');
  }
  expect((await fetch(`${stack.url}/kv?key=edge`, { method: 'DELETE' })).status).toBe(200);
  expect((await get('/kv?key=edge')).status).toBe(404);
});

test('the debug port of each replica reaches that replica', async () => {
  for (const replica of stack.replicas) {
    expect((await json(await fetch(`${replica.debugUrl}/ping`))).instance).toBe(replica.name);
    expect((await (await fetch(`${replica.debugUrl}/metrics`)).text()).includes('nodejs_')).toBe(true);
  }
});

test.each([
  '/metrics',
  '/Metrics',
  '/METRICS',
  '/metrics/',
  '//metrics',
  '/./metrics',
  '/%6detrics',
  '/%6Detrics',
  '/metrics%2f',
  '/metrics?x=1',
  '/metrics;x',
  '/ping/../metrics',
  '/ping/..%2fmetrics',
  '/ping%2f..%2fmetrics',
  '/%2e/metrics',
  '/items/%2e%2e/metrics',
  '/docs/..%2fmetrics',
  '/docs/%2e%2e%2fmetrics',
  '/metrics%00',
  '/metrics%20',
  '/\\metrics',
  '/health/live',
  '/health/ready',
  '/health/serving',
  '/Health/Live',
  '/health//live',
  '/health/%6cive',
  '/health/live/',
  '/health%2flive',
  '/nginx_status',
  '/nginx_status/',
  '//nginx_status',
  '/NGINX_STATUS',
  '/%6eginx_status',
  '/_error/503',
  '/_error/404',
])('GET %s does not reach anything internal', async (target) => {
  const answer = await rawGet(target);
  expect(answer).not.toMatch(/nodejs_|Active connections|"alive"|"ready"/);
  // A NUL is refused before any route is looked at.
  expectRawProblem(answer, target.includes('%00') ? 400 : 404);
});

test('an absolute request line and a foreign Host get no further either', async () => {
  expectRawProblem(await rawGet('http://localhost/metrics'), 404);
  expectRawProblem(await raw('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nConnection: close\r\n\r\n'), 404);
});

test('what a client claims about itself is overwritten', async () => {
  const forged = { 'X-Request-ID': 'forged', 'X-Forwarded-For': '6.6.6.6', Forwarded: 'for=6.6.6.6' };
  const answer = await get('/items/nobody', forged);
  const id = answer.headers.get('x-request-id');
  expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect((await json(answer)).request_id).toBe(id);
  expect(answer.headers.get('x-powered-by')).toBeNull();
  expect(answer.headers.get('server')).toBe('nginx');
});

test('the replica gets none of what the client claims, only what Nginx knows', async () => {
  let seen: IncomingHttpHeaders = {};
  const echo = createHttpServer((request, response) => {
    seen = request.headers;
    response.end();
  }).unref();
  const nginx = await startNginx([await listenAnywhere(echo)]);
  const answer = await fetch(`http://127.0.0.1:${nginx.port}/ping`, {
    headers: {
      'X-Request-ID': 'forged',
      'X-Forwarded-For': '6.6.6.6',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'evil',
      Forwarded: 'for=6.6.6.6',
    },
  });
  expect(seen).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' });
  expect(seen['x-request-id']).toBe(answer.headers.get('x-request-id'));
  expect(seen).not.toHaveProperty('x-forwarded-host');
  expect(seen).not.toHaveProperty('forwarded');
  await nginx.stop();
  echo.close();
});

test('a replica that does not answer costs the client a 503, not its patience', async () => {
  const silent = createServer(() => {}).unref();
  const nginx = await startNginx([await listenAnywhere(silent)]);
  const answer = await fetch(`http://127.0.0.1:${nginx.port}/ping`, { signal: AbortSignal.timeout(20_000) });
  expect(answer.status).toBe(503);
  await nginx.stop();
  silent.close();
});

test('Nginx, not the replica, closes an idle connection: the replica keeps it longer', async () => {
  const idle = /keepalive_timeout (\d+)s; +# shorter/.exec(readFileSync(NGINX_TEMPLATE, 'utf8'))?.[1];
  const answer = await fetch(`${stack.replicas[0]?.url}/ping`);
  const offered = /timeout=(\d+)/.exec(answer.headers.get('keep-alive') ?? '')?.[1];
  expect(Number(offered)).toBeGreaterThan(Number(idle));
});

test('the same request id is in the log of Nginx and of the replica, one line a request in each', async () => {
  const answer = await get('/items?limit=1');
  const id = answer.headers.get('x-request-id') as string;
  const replica = stack.replicas.find(({ name }) => name === answer.headers.get('x-served-by'));
  for (const file of [stack.nginx.accessLog, replica?.log as string]) {
    await until('log line', () => readFileSync(file, 'utf8').includes(id));
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.includes(id));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string)).toMatchObject({ request_id: id, route: '/items', status: 200 });
  }
});

describe('bad input is a problem with a request id, through Nginx as directly', () => {
  const cases: [string, number, () => Promise<Response>][] = [
    [
      'malformed JSON',
      400,
      () => fetch(`${stack.url}/items`, { method: 'POST', body: '{', headers: { 'Content-Type': 'application/json' } }),
    ],
    ['a wrong type', 422, () => send('POST', '/items', { title: 5 })],
    ['an unknown field', 422, () => send('POST', '/items', { title: 'x', colour: 1 })],
    ['a NUL character', 422, () => send('PUT', '/kv', { key: 'a\0', value: '' })],
    ['a body of 2 MiB', 413, () => send('POST', '/items', { title: 'x'.repeat(2 * 1024 * 1024) })],
    ['a bad uuid', 400, () => get('/items/1')],
    ['a bad cursor', 400, () => get('/items?cursor=1')],
    ['an unknown route', 404, () => get('/nowhere')],
    ['an unknown method', 405, () => fetch(`${stack.url}/items`, { method: 'PATCH' })],
    ['no content type', 415, () => fetch(`${stack.url}/items`, { method: 'POST', body: new Uint8Array([123, 125]) })],
  ];
  test.each(cases)('%s: %d', async (_, status, request) => {
    const before = (await json(await get('/items'))).length;
    const answer = await request();
    expect([answer.status, answer.headers.get('content-type')?.split(';')[0]]).toEqual([
      status,
      'application/problem+json',
    ]);
    expect(await answer.json()).toMatchObject({ status, request_id: answer.headers.get('x-request-id') });
    expect((await json(await get('/items'))).length).toBe(before);
  });

  test('what Nginx itself refuses has the same shape', async () => {
    expectRawProblem(await raw('GET /\u0001 HTTP/1.1\r\nHost: localhost\r\n\r\n'), 400);
    expectRawProblem(await raw('GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n'), 400);
    expectRawProblem(await rawGet(`/items?status=${'x'.repeat(9000)}`), 414);
    expectRawProblem(await rawGet('/ping', `X-Large: ${'x'.repeat(9000)}\r\n`), 431);
    for (const method of ['FOO', 'BREW', 'PROPFIND']) {
      const unknown = await raw(`${method} /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      expectRawProblem(unknown, 405);
      expect(unknown).toMatch(/^allow: /im);
    }
    const trace = await raw('TRACE /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    expectRawProblem(trace, 405);
    expect(trace).toMatch(/^allow: /im);
  });
});

test('what the parser of a replica refuses has the same shape, through Nginx as directly', async () => {
  for (const port of [stack.nginx.port, stack.replicas[0]?.port as number]) {
    const id = 'X-Request-ID: 0123456789abcdef\r\n';
    const head = (line: string) => raw(`${line}\r\nHost: localhost\r\nConnection: close\r\n${id}\r\n`, port);
    expectRawProblem(await head('GET /kv?key=é HTTP/1.1'), 400);
    expectRawProblem(await head('GET /ping HTTP/1.1\r\nX-Bad: a\u007fb'), 400);
  }
});

test('what a replica refuses on a connection that it has kept is answered too', async () => {
  const socket = connectSocket(stack.replicas[0]?.port as number, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  socket.write('GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until('the first answer', () => answer.includes('pong'));
  answer = '';
  socket.write('GET /kv?key=é HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: 0123456789abcdef\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  expectRawProblem(answer, 400);
  // Nginx keeps its connections: one that is closed without an answer would count as a replica that died.
  for (let n = 0; n < 50; n++) {
    expectRawProblem(await raw('GET /ping?x=é HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'), 400);
  }
});

test('HTTP/1.0 without a Host, and 21 KB of headers, are served', async () => {
  expect(await raw('GET /ping HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 200 /);
  const large = ['A', 'B', 'C'].map((name) => `X-${name}: ${'x'.repeat(7000)}\r\n`).join('');
  expect(await rawGet('/ping', large)).toMatch(/^HTTP\/1.1 200 /);
});

test('the longest cursor there can be fits through Nginx, and counts against no replica', async () => {
  const key = (last: string) => '\u0001'.repeat(511) + last;
  for (const last of ['a', 'b', 'c'])
    expect((await send('PUT', '/kv', { key: key(last), value: '' })).status).toBe(200);
  const seen: string[] = [];
  for (let next: string | undefined = '/kv?limit=1'; next; ) {
    const answer = await get(next);
    expect(answer.status).toBe(200);
    seen.push(...(await json(answer)).data.map((pair: { key: string }) => pair.key));
    next = /^<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  expect(seen).toEqual(expect.arrayContaining(['a', 'b', 'c'].map(key)));
});

test('too many requests get 429 with Retry-After', async () => {
  const strict = await startNginx([stack.replicas[0]?.port as number], { LIMIT_RATE: '1r/s', LIMIT_BURST: '1' });
  const answers = await Promise.all(Array.from({ length: 10 }, () => fetch(`http://127.0.0.1:${strict.port}/ping`)));
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThan(0);
  for (const answer of refused) {
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await answer.json()).toMatchObject({ status: 429, request_id: answer.headers.get('x-request-id') });
  }
  await strict.stop();
});

test('every request is repeated when a replica dies under it, with the same name of Nginx’s own on every attempt', async () => {
  const seen: string[] = [];
  // A replica that takes the request and dies: the worst moment for a write.
  const dying = createServer((socket) => {
    socket.once('data', (bytes) => {
      seen.push(/^x-attempt-key: (.*)\r$/im.exec(bytes.toString())?.[1] ?? 'none');
      socket.destroy();
    });
  }).unref();
  const port = await listenAnywhere(dying);
  for (const method of ['GET', 'POST', 'PUT', 'DELETE'] as const) {
    // A new Nginx each time: one that has seen the replica fail would not try it first.
    const nginx = await startNginx([port]);
    seen.length = 0;
    const headers = { 'X-Attempt-Key': 'forged' };
    const answer = await fetch(`http://127.0.0.1:${nginx.port}/items`, { method, headers });
    // Of a write that was sent nobody knows the outcome, which 503 would deny.
    const status = method === 'GET' ? 503 : 504;
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([status, status === 503 ? '2' : null]);
    expect(await answer.json()).toMatchObject({ status });
    expect(seen).toEqual(Array(2).fill(answer.headers.get('x-request-id')));
    await nginx.stop();
  }
  dying.close();
});
