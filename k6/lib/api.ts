/** Requests to the API, tagged with their operation, and what a script may find in an answer. */
import { check, fail } from 'k6';
import http, { type RefinedResponse } from 'k6/http';
import { Counter } from 'k6/metrics';

/** The edge, where the API answers. */
export const API_BASE = (__ENV.API_BASE || 'http://localhost').replace(/\/$/, '');

export type Answer = RefinedResponse<'text'>;
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Request {
  /** The {parameters} of the path. */
  path?: Record<string, string | number>;
  query?: Record<string, string | number>;
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  /** The statuses that are right; any other counts as a failed request. Default: 2xx and 3xx. */
  expect?: number[];
}

/** A client's patience. The edge answers within 6 s, whatever happens behind it; shorter than a step of `stress`. */
const TIMEOUT = '15s';

/** Refused by the edge (429): the run then measures the limit of one client, not the stack. */
const rateLimited = new Counter('rate_limited');
const scriptErrors = new Counter('script_errors');

/** What k6 repeats. An iteration that throws is a line in k6's log and counts nowhere, so that a run could pass that did nothing. */
export function iteration<T>(step: (data: T) => void): (data: T) => void {
  return (data) => {
    try {
      step(data);
    } catch (error) {
      scriptErrors.add(1);
      throw error;
    }
  };
}

function urlOf(template: string, path: Request['path'] = {}, query: Request['query'] = {}): string {
  const filled = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? ''));
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return API_BASE + filled + (pairs.length > 0 ? `?${pairs.join('&')}` : '');
}

/** For http.batch. The tag `name` is the operation's template, so that ids make no series of their own. */
export function request(method: Method, template: string, { path, query, body, headers, expect }: Request = {}) {
  return {
    method,
    url: urlOf(template, path, query),
    body: body === undefined ? null : JSON.stringify(body),
    params: {
      timeout: TIMEOUT,
      tags: { name: template },
      headers: { ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
      ...(expect && { responseCallback: http.expectedStatuses(...expect) }),
    },
  };
}

/** Sends one request: `send('GET', '/items/{id}', { path: { id } })`. */
export function send(method: Method, template: string, options?: Request): Answer {
  const { url, body, params } = request(method, template, options);
  const answer = http.request(method, url, body, params) as Answer;
  if (answer.status === 429) rateLimited.add(1);
  return answer;
}

/** A body of any shape: the checks are what says which. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Body = any;

/** The body as JSON, or an empty object: a script asserts with checks, and must not end at a body that is no JSON. */
export function json(answer: Answer): Body {
  try {
    return answer.json() ?? {};
  } catch {
    return {};
  }
}

/** Checks the status and, if that is right, what `holds` asks of the body. @returns whether both are right */
export function expectAnswer(
  answer: Answer,
  what: string,
  status: number,
  holds: (body: Body) => boolean = () => true,
): boolean {
  return check(answer, { [what]: () => answer.status === status && survives(() => holds(json(answer))) });
}

/** A body of another shape than a predicate reads is a wrong body: the exception would end the iteration, and count nowhere. */
function survives(predicate: () => boolean): boolean {
  try {
    return predicate();
  } catch {
    return false;
  }
}

/** Names for keys of /kv that no other script uses at the same time. */
export const keysOf = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `k6:${__ENV.SCRIPT ?? ''}:${n + 1}`);

/** Gives keys their first value. One that fails counts as a failed request, and the checks of its reads fail. */
export function setKeys(keys: string[], value: string): void {
  http.batch(keys.map((key) => request('PUT', '/kv', { body: { key, value } })));
}

/** Takes keys away that a script has set. At once: a teardown has a minute, however slow the answers are. */
export function forgetKeys(keys: string[]): void {
  http.batch(keys.map((key) => request('DELETE', '/kv', { query: { key } })));
}

/** Every script's setup: without an API there is nothing to measure. @throws ends the run, and says why */
export function requireApi(): void {
  const { status, error } = http.get(`${API_BASE}/ping`, { tags: { name: '/ping' } });
  if (status !== 200) fail(`${API_BASE}/ping: ${status || error}. Is the stack running? ./start.sh, or set API_BASE`);
}
