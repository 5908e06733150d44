import { apiRoutes } from '../src/app.ts';
import type { Deps } from '../src/platform/deps.ts';
import { createMetrics } from '../src/platform/metrics/metrics.ts';
import { openApiDocument } from '../src/platform/openapi/document.ts';
import { exampleOf } from '../src/platform/openapi/example.ts';
import { nginxRoutes } from '../src/platform/openapi/nginx-routes.ts';

const routes = apiRoutes({ metrics: createMetrics('test') } as Deps);
// biome-ignore lint/suspicious/noExplicitAny: the document is JSON
const document = openApiDocument(routes) as any;
const operations = Object.values(document.paths).flatMap((path) => Object.values(path as object));

test('every route is an operation with a summary, an id of its own, and its errors', () => {
  expect(operations).toHaveLength(routes.length);
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(routes.length);
  for (const operation of operations) {
    expect(operation.summary).toMatch(/\S/);
    expect(operation.responses[503]).toBeDefined();
    if (operation.requestBody)
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['400', '413', '415', '422']));
  }
});

test('every body and every reply has an example that fits its schema', () => {
  for (const { template, replies, input } of routes) {
    for (const schema of [input?.body, ...Object.values(replies).map((reply) => reply.schema)]) {
      if (!schema) continue;
      const example = exampleOf(schema);
      expect({ template, example, error: schema.validate(example, { convert: false }).error }).toEqual({
        template,
        example: expect.anything(),
        error: undefined,
      });
    }
  }
});

test('every reference leads somewhere, and what is for administrators says so', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)];
  expect(references.length).toBeGreaterThan(100);
  for (const [, path = ''] of references) {
    const [kind = '', name = ''] = path.split('/');
    expect([path, document.components[kind]?.[name]]).toEqual([path, expect.anything()]);
  }
  const guarded = routes.filter(({ admin }) => admin).map(({ method, template }) => `${method} ${template}`);
  expect(guarded).toEqual(
    expect.arrayContaining(['post /products', 'put /products/{id}', 'delete /products/{id}', 'post /cache/clear']),
  );
  for (const operation of operations.filter(({ security }) => security)) {
    expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['401', '403']));
  }
  expect(operations.filter(({ security }) => security)).toHaveLength(guarded.length);
});

test('every parameter of a path is declared', () => {
  for (const [path, methods] of Object.entries(document.paths)) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    for (const { parameters } of Object.values(
      methods as Record<string, { parameters: { in: string; name: string }[] }>,
    )) {
      expect(parameters.filter((each) => each.in === 'path').map(({ name }) => name)).toEqual(inPath);
    }
  }
});

test('Nginx lets exactly the declared paths pass', () => {
  const entries = [...nginxRoutes(routes).matchAll(/^ {4}"(.+)" "(.+)";$/gm)];
  const templateOf = (path: string) =>
    entries.find(([, pattern = '']) =>
      pattern.startsWith('~') ? new RegExp(pattern.slice(1)).test(path) : pattern === path,
    )?.[2];
  expect(new Set(entries.map((entry) => entry[2]))).toEqual(new Set(routes.map(({ template }) => template)));
  expect(templateOf('/items/123')).toBe('/items/{id}');
  for (const path of ['/metrics', '/health/live', '/items/', '/items/1/2', '/itemsx', '/openapixjson']) {
    expect(templateOf(path)).toBeUndefined();
  }
});
