import { STATUS_CODES } from 'node:http';
import type { ObjectSchema, Schema } from 'joi';
import { headersOf, type Route } from '../http/route.ts';
import { VERSION } from '../version.ts';
import { exampleOf } from './example.ts';

type Json = Record<string, unknown>;

const toJsonSchema = (schema: Schema): Json =>
  schema['~standard'].jsonSchema.input({ target: 'draft-2020-12' }) as Json;

const refTo = (kind: 'headers' | 'responses' | 'schemas', name: string) => ({ $ref: `#/components/${kind}/${name}` });
const headers = (...names: (keyof typeof HEADERS)[]) =>
  Object.fromEntries(names.map((name) => [name, refTo('headers', name)]));

/** The API as OpenAPI 3.1. Everything in it comes from the declarations that validate the requests. */
export function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.template] ??= {};
    (paths[route.template] as Json)[route.method] = operation(route, routes);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tandem',
      version: VERSION,
      description: 'A horizontally scaled stateless HTTP API. Every answer of a replica names it in X-Served-By.',
      license: { name: 'Unlicense', identifier: 'Unlicense' },
    },
    servers: [{ url: '/' }],
    security: [],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: { Problem: PROBLEM },
      headers: HEADERS,
      responses: Object.fromEntries(
        Object.entries(COMMON).map(([status, why]) => [status, problem(Number(status), why)]),
      ),
      securitySchemes: {
        adminToken: {
          type: 'http',
          scheme: 'bearer',
          description: 'ADMIN_TOKEN, which the first start puts into .env',
        },
      },
    },
  };
}

function operation(route: Route, all: readonly Route[]): Json {
  const { params, query, body } = route.input ?? {};
  return {
    tags: [route.tag],
    summary: route.summary,
    operationId: operationId(route),
    parameters: [
      ...parameters('path', params),
      ...parameters('query', query),
      ...(route.conditional ? [precondition(route)] : []),
      ...(!route.handle ? [IDEMPOTENCY_KEY] : []),
    ],
    ...(body && { requestBody: { required: true, content: { 'application/json': jsonOf(body) } } }),
    responses: { ...replies(route, all), ...problems(route) },
    ...(route.admin && { security: [{ adminToken: [] }] }),
  };
}

const operationId = ({ method, template }: Route) =>
  `${method}${template.replaceAll(/[^a-z]+(\w)?/gi, (_, letter) => letter?.toUpperCase() ?? '')}`;

/** A body: its schema, and an example made of those of its fields. */
const jsonOf = (schema: Schema) => ({ schema: toJsonSchema(schema), example: exampleOf(schema) });

function parameters(place: 'path' | 'query', schema: ObjectSchema | undefined): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = toJsonSchema(schema) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => {
    // A parameter with a condition has one alternative left: the one in which it may be sent.
    const [only, ...more] = (property.anyOf ?? [property]) as Json[];
    const { description, ...rest } = only && more.length === 0 ? only : property;
    return {
      name,
      in: place,
      required: place === 'path' || required.includes(name),
      ...(description !== undefined && { description }),
      schema: rest,
      // A required one only: examples of all parameters together would ask for what no request asks for.
      ...((place === 'path' || required.includes(name)) && { example: exampleOf(schema.extract(name)) }),
    };
  });
}

function precondition({ method }: Route): Json {
  const [name, description] =
    method === 'get'
      ? ['If-None-Match', 'Answer 304 if the ETag is still this one']
      : ['If-Match', 'Write only if the ETag is still this one'];
  const pattern = '^(\\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$';
  return { name, in: 'header', description, schema: { type: 'string', pattern } };
}

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  description:
    'A name of your own for this write, such as a UUID. Whoever sends the same request with it again, within 24 hours, gets the first answer again, and nothing is written twice.',
  schema: { type: 'string', pattern: '^[!-~]{1,255}$' },
};

function replies(route: Route, all: readonly Route[]): Json {
  const entries = Object.entries(route.replies).map(([status, { description, schema, type }]) => {
    const names = headersOf(route, Number(status)).filter((name) => isDocumented(name));
    const content = schema ? { 'application/json': jsonOf(schema) } : type ? { [type]: {} } : undefined;
    const links = status === '201' && schema ? linksOf(route, exampleOf(schema), all) : undefined;
    return [
      status,
      {
        description,
        headers: headers('X-Request-ID', 'X-Served-By', ...names),
        ...(content && { content }),
        ...(links && { links }),
      },
    ];
  });
  return Object.fromEntries(entries);
}

/** What can be done with a resource that was just created: every operation on a path below the one that created it. */
function linksOf({ template }: Route, example: unknown, all: readonly Route[]): Json {
  // {id} or, where the resource stands beside a message, {task: {id}}.
  const wrapper = Object.entries(example as Json).find(([, value]) => Object.hasOwn(Object(value), 'id'))?.[0];
  const pointer = Object.hasOwn(example as Json, 'id') ? '/id' : `/${wrapper}/id`;
  const own = namesIn(template);
  const links: Json = {};
  for (const target of all.filter((each) => each.template.startsWith(`${template}/{`))) {
    const [name, ...more] = namesIn(target.template).filter((each) => !own.includes(each));
    if (name === undefined || more.length > 0) continue; // it needs the id of something else too
    const parameters = {
      ...Object.fromEntries(own.map((each) => [each, `$request.path.${each}`])),
      [name]: `$response.body#${pointer}`,
    };
    const id = operationId(target);
    links[id] = { operationId: id, parameters };
  }
  return links;
}
const namesIn = (template: string) => [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);

const problem = (status: number, description: string, more: (keyof typeof HEADERS)[] = []) => ({
  description,
  headers: headers('X-Request-ID', 'X-Served-By', ...(PROBLEM_HEADERS[status] ?? []), ...more),
  ...(status !== 304 && {
    content: {
      'application/problem+json': { schema: refTo('schemas', 'Problem'), example: exampleProblem(status, description) },
    },
  }),
});

const PROBLEM_HEADERS: Readonly<Record<number, (keyof typeof HEADERS)[]>> = {
  304: ['ETag', 'X-Cache'],
  401: ['WWW-Authenticate'],
  409: ['Retry-After'],
  429: ['Retry-After'],
  503: ['Retry-After'],
};

const exampleProblem = (status: number, detail: string) => ({
  type: 'about:blank',
  title: STATUS_CODES[status],
  status,
  detail,
  request_id: '5f0c6a3e5a534c559d0c2f1f7c1f9a10',
  ...(status === 400 && { errors: [{ in: 'query', path: 'limit', message: 'must be less than or equal to 200' }] }),
  ...(status === 422 && { errors: [{ in: 'body', path: 'title', message: 'is required' }] }),
});

/** What a status means wherever a feature says nothing else. */
const COMMON: Readonly<Record<number, string>> = {
  304: 'Not changed since the ETag in If-None-Match',
  400: 'Malformed JSON, path, query or header',
  401: 'No admin token was sent',
  403: 'It is not the admin token',
  409: 'A request with this Idempotency-Key is still running',
  412: 'The resource has changed since the ETag in If-Match',
  413: 'The body is too large',
  414: 'The URL is longer than 8 KiB',
  415: 'The body is not JSON in UTF-8',
  422: 'Well-formed, but not valid; or the Idempotency-Key came with another request',
  429: 'Too many requests from this address; see Retry-After',
  431: 'A header is larger than 8 KiB',
  503: 'A dependency or every replica is away and nothing was written; see Retry-After',
  504: 'The database or the replica was lost during the write: the outcome is unknown',
};

/** The errors that follow from the declaration itself, then the feature's own. */
function problems(route: Route): Json {
  const { params, query, body } = route.input ?? {};
  const isRead = route.method === 'get';
  const statuses = [413, 414, 429, 431];
  if (params || query || body || route.conditional || !isRead) statuses.push(400);
  if (route.admin) statuses.push(401, 403);
  if (route.conditional) statuses.push(isRead ? 304 : 412);
  if (!route.handle) statuses.push(409, 422, 504);
  if (body) statuses.push(415, ...(!route.handle ? [] : [422]));
  if (!route.replies[503]) statuses.push(503);
  const more = [
    ...(route.cached ? (['X-Cache'] as const) : []),
    ...(!route.handle ? (['Idempotent-Replayed'] as const) : []),
  ];
  const own = Object.entries(route.problems ?? {}).map(([status, why]) => [
    status,
    problem(Number(status), why, [...more]),
  ]);
  return {
    ...Object.fromEntries(statuses.map((status) => [status, refTo('responses', `${status}`)])),
    ...Object.fromEntries(own),
  };
}

const HEADERS = {
  'X-Request-ID': { description: 'The request in the logs of Nginx and of the replica', schema: { type: 'string' } },
  'X-Served-By': { description: 'The replica that answered; absent when Nginx did', schema: { type: 'string' } },
  'X-Cache': {
    description: 'HIT: from the cache. MISS: from the database, and stored. BYPASS: from the database, and not stored.',
    schema: { enum: ['HIT', 'MISS', 'BYPASS'] },
  },
  ETag: { description: 'The version of the resource, for If-None-Match and If-Match', schema: { type: 'string' } },
  'Idempotent-Replayed': {
    description:
      'This is the answer to an earlier request with the same Idempotency-Key, or to an earlier attempt of Nginx',
    schema: { const: 'true' },
  },
  Link: { description: 'The next page, if there is one: <…>; rel="next" (RFC 8288)', schema: { type: 'string' } },
  Location: { description: 'The path of the new resource', schema: { type: 'string' } },
  'Retry-After': { description: 'Seconds', schema: { type: 'string', pattern: '^[0-9]+$' } },
  'WWW-Authenticate': { description: 'How to send the token (RFC 6750)', schema: { type: 'string' } },
} as const;
/** OpenAPI says the content type elsewhere; other headers are no business of a client's. */
const isDocumented = (name: string): name is keyof typeof HEADERS => Object.hasOwn(HEADERS, name);

/** RFC 9457 */
const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'request_id'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['in', 'path', 'message'],
        properties: {
          in: { enum: ['path', 'query', 'header', 'body'] },
          path: { type: 'string' },
          message: { type: 'string' },
        },
      },
    },
  },
};
