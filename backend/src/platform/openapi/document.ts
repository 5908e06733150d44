import { STATUS_CODES } from 'node:http';
import type { ObjectSchema, Schema } from 'joi';
import type { Route } from '../http/route.ts';
import { VERSION } from '../version.ts';

type Json = Record<string, unknown>;

const toJsonSchema = (schema: Schema): Json =>
  schema['~standard'].jsonSchema.input({ target: 'draft-2020-12' }) as Json;

const problem = (status: number | string, description = STATUS_CODES[status] ?? '') => ({
  [status]: {
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  },
});

/** The API as OpenAPI 3.1. Everything in it comes from the declarations that validate the requests. */
export function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.template] ??= {};
    (paths[route.template] as Json)[route.method] = operation(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tandem',
      version: VERSION,
      description: 'A horizontally scaled stateless HTTP API. Every answer names its replica in X-Served-By.',
      license: { name: 'Unlicense', identifier: 'Unlicense' },
    },
    servers: [{ url: '/' }],
    security: [],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: { schemas: { Problem: PROBLEM } },
  };
}

function operation(route: Route): Json {
  const { params, query, body } = route.input ?? {};
  return {
    tags: [route.tag],
    summary: route.summary,
    operationId: `${route.method}${route.template.replaceAll(/[^a-z]+(\w)?/gi, (_, letter) => letter?.toUpperCase() ?? '')}`,
    parameters: [
      ...parameters('path', params),
      ...parameters('query', query),
      ...(route.conditional ? [precondition(route)] : []),
    ],
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: toJsonSchema(body) } } } }),
    responses: { ...replies(route), ...problems(route) },
  };
}

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

function replies(route: Route): Json {
  const entries = Object.entries(route.replies).map(([status, { description, schema, example }]) => {
    const media = schema && { schema: toJsonSchema(schema), ...(example !== undefined && { example }) };
    return [status, { description, ...(media && { content: { 'application/json': media } }) }];
  });
  return Object.fromEntries(entries);
}

/** The errors that follow from the declaration itself, then the feature's own. */
function problems(route: Route): Json {
  const { method } = route;
  const { params, query, body } = route.input ?? {};
  return {
    ...((params || query || body || route.conditional) && problem(400, 'Malformed JSON, path, query or header')),
    ...(route.conditional &&
      method === 'get' && { 304: { description: 'Not changed since the ETag in If-None-Match' } }),
    ...(route.conditional && method !== 'get' && problem(412, 'The resource has changed since the ETag in If-Match')),
    ...(body && { ...problem(413), ...problem(415), ...problem(422, 'Well-formed, but not valid') }),
    ...Object.assign({}, ...Object.entries(route.problems ?? {}).map(([status, why]) => problem(status, why))),
    ...(method !== 'get' && problem(504, 'The database was lost during the write: the outcome is unknown')),
    ...(!route.replies[503] && problem(503, 'A dependency or every replica is away; see Retry-After')),
  };
}

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
