import { gzipSync } from 'node:zlib';
import type supertest from 'supertest';
import { expectProblem, useApi } from './support/api.ts';

const api = useApi();
const ITEM = '/items/0b2f6a3e-5a53-4c55-9d0c-2f1f7c1f9a10';
const JSON_TYPE = ['Content-Type', 'application/json'] as const;

type Send = (client: supertest.Agent) => supertest.Test;
const post = (client: supertest.Agent, body: string | Buffer) =>
  client
    .post('/items')
    .set(...JSON_TYPE)
    .send(body);
/** supertest would turn a Buffer into JSON text unless it is written raw. */
const raw = (client: supertest.Agent, bytes: Buffer) =>
  client
    .post('/items')
    .set(...JSON_TYPE)
    .serialize((body: unknown) => body as string)
    .send(bytes as unknown as object);

const CASES: [string, number, Send][] = [
  ['malformed JSON', 400, (client) => post(client, '{"title": ')],
  ['an empty body', 400, (client) => client.post('/items').set(...JSON_TYPE)],
  ['bytes that are not UTF-8', 400, (client) => raw(client, Buffer.from('{"title":"\xff"}', 'latin1'))],
  ['JSON that is no object', 422, (client) => post(client, '[]')],
  ['a bare JSON string', 422, (client) => post(client, '"title"')],
  ['JSON null', 422, (client) => post(client, 'null')],
  ['__proto__ as a field', 422, (client) => post(client, '{"title":"x","__proto__":{"admin":true}}')],
  ['30,000 nested arrays', 422, (client) => post(client, `{"title":${'['.repeat(30_000)}${']'.repeat(30_000)}}`)],
  ['7,000 unknown fields', 422, (client) => post(client, `{${Array.from({ length: 7_000 }, (_, n) => `"${n}":1`)}}`)],
  ['a body over 64 KiB', 413, (client) => post(client, `{"title":"${'x'.repeat(65_536)}"}`)],
  ['constructor as a field', 422, (client) => post(client, '{"title":"x","constructor":{}}')],
  ['a body of 2 MiB', 413, (client) => client.post('/items').send({ title: 'x'.repeat(2 * 1024 * 1024) })],
  ['no content type', 415, (client) => client.post('/items').unset('Content-Type')],
  ['form data', 415, (client) => client.post('/items').type('form').send({ title: 'x' })],
  ['JSON declared as text', 415, (client) => client.post('/items').type('text').send('{"title":"x"}')],
  [
    'another charset',
    415,
    (client) => client.post('/items').set('Content-Type', 'application/json; charset=utf-16').send('{}'),
  ],
  ['a broken gzip stream', 400, (client) => raw(client, Buffer.from('{"title":"x"}')).set('Content-Encoding', 'gzip')],
  ['an unknown encoding', 415, (client) => post(client, '{"title":"x"}').set('Content-Encoding', 'rot13')],
  [
    'a bomb of 2 MiB in gzip',
    413,
    (client) => raw(client, gzipSync(`{"title":"${'x'.repeat(2 * 1024 * 1024)}"}`)).set('Content-Encoding', 'gzip'),
  ],
  ['a bad uuid', 400, (client) => client.get('/items/1')],
  ['a NUL in the path', 400, (client) => client.get('/items/%00')],
  ['a path that is not UTF-8', 400, (client) => client.get('/items/%ff')],
  ['an unfinished percent sign', 400, (client) => client.get('/items/%')],
  ['a NUL in the query', 400, (client) => client.get('/kv?key=%00')],
  ['a query that is not UTF-8', 400, (client) => client.get('/kv?key=%c3%28')],
  ['a repeated parameter', 400, (client) => client.get('/kv?key=a&key=b')],
  ['an id in exponents', 400, (client) => client.get('/tasks/1e0')],
  ['an id with a leading zero', 400, (client) => client.get('/tasks/01')],
  ['an id with a sign', 400, (client) => client.get('/tasks/+1')],
  ['an id with a space', 400, (client) => client.delete('/tasks/%201')],
  ['an id with a fraction', 400, (client) => client.get('/tasks/1.0')],
  ['an id beyond 2^53', 400, (client) => client.get('/tasks/9007199254740992')],
  ['a limit in exponents', 400, (client) => client.get('/tasks?limit=1e1')],
  ['a malformed If-None-Match', 400, (client) => client.get('/tasks/1').set('If-None-Match', 'x')],
  ['a malformed If-Match', 400, (client) => client.delete(ITEM).set('If-Match', 'x')],
  ['an unknown route', 404, (client) => client.get('/nothing/here')],
  ['another case', 404, (client) => client.get('/Items')],
  ['a trailing slash', 404, (client) => client.get('/items/')],
  ['a doubled slash', 404, (client) => client.get('//items')],
  ['an unknown method', 405, (client) => client.patch('/items')],
  ['a method that only another path has', 405, (client) => client.post(ITEM)],
];

afterEach(() => api.db.deleteFrom('items').execute());

for (const replica of [0, 1] as const) {
  describe(`backend-${replica + 1} answers with a problem and stores nothing`, () => {
    test.each(CASES)('%s: %d', async (_, status, send) => {
      const response = await send(api.replicas[replica].api);
      expectProblem(response, status);
      expect(response.headers['x-served-by']).toBe(`backend-${replica + 1}`);
      expect(await api.db.selectFrom('items').select('title').execute()).toEqual([]);
    });
  });
}

test('a refused read says nothing of the resource', async () => {
  const { headers } = await api.api.get('/tasks/1').set('If-None-Match', 'x');
  expect([headers.etag, headers['x-cache']]).toEqual([undefined, undefined]);
});

test('an unknown method names the known ones, OPTIONS too', async () => {
  expect((await api.api.patch('/items')).headers.allow).toBe('GET, POST, HEAD, OPTIONS');
  const options = await api.api.options(ITEM);
  expect([options.status, options.headers.allow]).toEqual([204, 'GET, PUT, DELETE, HEAD, OPTIONS']);
});

test('a gzipped body and HEAD work as they should', async () => {
  const created = await raw(api.api, gzipSync('{"title":"zipped"}')).set('Content-Encoding', 'gzip');
  expect([created.status, created.body.title]).toEqual([201, 'zipped']);
  const head = await api.api.head(`/items/${created.body.id}`);
  expect([head.status, head.headers.etag, head.text]).toEqual([200, created.headers.etag, undefined]);
});

test('every problem lists all that is wrong, with its place', async () => {
  const response = await api.api.post('/items').send({ title: '', status: 'late', colour: 'red' });
  expectProblem(response, 422);
  expect(response.body.errors.map((error: { path: string }) => error.path).sort()).toEqual([
    'colour',
    'status',
    'title',
  ]);
});
