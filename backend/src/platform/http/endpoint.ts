import type { Express } from 'express';
import type { Schema, ValidationError } from 'joi';
import type { Deps } from '../deps.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { requireToken } from './admin.ts';
import { jsonBody } from './body.ts';
import { readIfNoneMatch, readPrecondition, toEtag } from './conditional.ts';
import { HttpError, type InputError } from './errors.ts';
import type { Lane } from './fast-lane.ts';
import { forExpress, type Handler, type Incoming, type Outgoing, sendText, setHeaders } from './handler.ts';
import { nextLink, splitUrl } from './paging.ts';
import { type Answer, type HeaderName, headersOf, type Route, type Written } from './route.ts';
import { createWrite, readNames, type Work, type Write } from './write.ts';

export interface MountOptions {
  /** What a client must show to be let through to the routes with `admin`. */
  readonly adminToken: string;
  /** Tests only: every reply must fit its declared schema, so that the documentation cannot drift from the code. */
  readonly checkReplies?: boolean;
}

/** Puts the routes on the app; what is left of a known path is 405. @returns the same for the fast lane */
export function mount(app: Express, routes: readonly Route[], deps: Deps, options: MountOptions): Lane[] {
  const { metrics } = deps;
  const write = createWrite(deps);
  const lanes: Lane[] = [];
  metrics.declare(routes);
  for (const [path, siblings] of Map.groupBy(routes, (route) => route.path)) {
    for (const route of siblings) {
      const handlers: Handler[] = [labelled(route, metrics)];
      // Before the body is read: a stranger's is not worth the memory.
      if (route.admin) handlers.push(requireToken(options.adminToken));
      if (route.input?.body) handlers.push(jsonBody(route.bodyLimit));
      handlers.push(endpoint(route, write, options));
      lanes.push({ method: route.method.toUpperCase(), path, handlers });
      app[route.method](path, ...forExpress(...handlers));
    }
    const [first] = siblings as [Route];
    app.all(path, ...forExpress(labelled(first, metrics), methodNotAllowed(siblings)));
  }
  return lanes;
}

/** The client went away before it had the answer: Nginx's number for it, and express-prom-bundle's. */
const ABANDONED = 499;

/** Tells the log and the metrics which route this is, before anything can fail. */
const labelled =
  ({ template, observe }: Route, metrics: Metrics): Handler =>
  (request, response, next) => {
    response.locals.route = template;
    metrics.begin(request.method, template);
    if (observe) {
      const started = performance.now();
      response.once('close', () => {
        const status = response.writableFinished ? response.statusCode : ABANDONED;
        const seconds = (performance.now() - started) / 1000;
        observe({ method: request.method, template, status, seconds, problem: response.locals.problem });
      });
    }
    next();
  };

function methodNotAllowed(siblings: readonly Route[]): Handler {
  const methods = siblings.map((route) => route.method.toUpperCase());
  if (methods.includes('GET')) methods.push('HEAD');
  const Allow = [...methods, 'OPTIONS'].join(', ');
  return (request, response) => {
    if (request.method === 'OPTIONS') return void response.writeHead(204, { Allow }).end();
    throw new HttpError(405, `this path answers ${Allow}`, { headers: { Allow } });
  };
}

function endpoint(route: Route, write: Write, options: MountOptions): Handler {
  const { params, query, body } = route.input ?? {};
  const isWrite = route.method !== 'get';
  return async (request, response) => {
    const input: Record<string, unknown> = {};
    if (params) input.params = check('path', params, request.params);
    if (query) input.query = check('query', query, readQuery(request));
    if (isWrite) input.precondition = readPrecondition(request.headers, route.conditional ?? false);
    const isCurrent = !isWrite && route.conditional ? readIfNoneMatch(request.headers) : () => false;
    if (body) input.body = check('body', body, request.body);
    const answer = route.handle
      ? await route.handle(input as never)
      : await write(readNames(request), workOf(route, input as never));
    if (options.checkReplies) checkReply(route, answer);
    send(request, response, answer, isCurrent);
  };
}

const workOf = (route: Route, input: never): Work =>
  route.write ? route.write(input) : (trx) => (route as Required<Route>).transaction(input, trx) as Promise<Written>;

/** No body of ours has more fields, and no client reads more errors: a million of either would hold up all others. */
const MAX_FIELDS = 100;
const MAX_ERRORS = 20;

/** 422 for a body that is well-formed but wrong; 400 for what stands in the URL. */
function check(where: InputError['in'], schema: Schema, value: unknown): unknown {
  if (where === 'body' && typeof value === 'object' && Object.keys(value ?? {}).length > MAX_FIELDS) {
    const errors = [{ in: where, path: '', message: `must not have more than ${MAX_FIELDS} fields` }];
    throw new HttpError(422, 'the body is not valid', { errors });
  }
  // A body is JSON, which has types: "5" is not 5. A URL has only text.
  const result = schema.validate(value, { abortEarly: false, convert: where !== 'body', errors: { label: false } });
  if (!result.error) return result.value;
  throw new HttpError(where === 'body' ? 422 : 400, `the ${where} is not valid`, {
    errors: inputErrors(where, result.error),
  });
}

function inputErrors(where: InputError['in'], error: ValidationError): InputError[] {
  return error.details
    .slice(0, MAX_ERRORS)
    .map((detail) => ({ in: where, path: detail.path.join('.'), message: detail.message }));
}

/** @throws HttpError 400 for bytes that are not UTF-8, which Node would silently turn into U+FFFD */
function readQuery(request: Incoming): unknown {
  try {
    decodeURIComponent(splitUrl(request.url).query);
  } catch {
    throw new HttpError(400, 'the query is not valid percent-encoded UTF-8');
  }
  return request.query;
}

function send(request: Incoming, response: Outgoing, answer: Answer, isCurrent: (version: string) => boolean): void {
  const { status, body, headers, version, next, cache } = answer;
  response.statusCode = status;
  if (headers) setHeaders(response, headers);
  if (cache) response.setHeader('X-Cache', cache);
  if (next) response.setHeader('Link', nextLink(request.originalUrl, next));
  if (version !== undefined) {
    response.setHeader('ETag', toEtag(version));
    if (isCurrent(`${version}`)) {
      response.statusCode = 304;
      return void response.end();
    }
  }
  if (body === undefined) response.end();
  else if (Buffer.isBuffer(body)) response.end(body);
  else sendText(response, 'application/json; charset=utf-8', JSON.stringify(body));
}

function checkReply(route: Route, answer: Answer): void {
  const reply = route.replies[answer.status];
  if (!reply) throw new Error(`${route.method} ${route.template} answered ${answer.status}, which it does not declare`);
  const { error } = reply.schema?.validate(answer.body, { convert: false }) ?? {};
  if (error) throw new Error(`${route.method} ${route.template} broke its declared reply: ${error.message}`);
  const sent = [
    ...Object.keys(answer.headers ?? {}),
    ...(answer.version === undefined ? [] : ['ETag']),
    ...(answer.next ? ['Link'] : []),
    ...(answer.cache ? ['X-Cache'] : []),
  ];
  const undeclared = sent.filter((name) => !headersOf(route, answer.status).includes(name as HeaderName));
  if (undeclared.length > 0)
    throw new Error(`${route.method} ${route.template} sends ${undeclared} and does not declare it`);
  const bare = !reply.schema && answer.body !== undefined && !Buffer.isBuffer(answer.body);
  if (bare) throw new Error(`${route.method} ${route.template} declares no body for ${answer.status}`);
}
