import createClient, { type Middleware } from 'openapi-fetch';
import { reactive } from 'vue';
import type { components, paths } from '../../schema';

export type Problem = components['schemas']['Problem'];

/** Where an answer came from, and how long it took. */
export interface Seen {
  /** Absent: Nginx itself answered. */
  readonly replica: string | undefined;
  /** HIT, MISS or BYPASS; absent: the answer is never cached. */
  readonly cache: string | undefined;
  readonly status: number;
  readonly milliseconds: number;
}

/** The last answer of the page: shown below it. */
export const last = reactive<{ seen: Seen | undefined }>({ seen: undefined });

export function seenOf(response: Response, started: number): Seen {
  return {
    replica: response.headers.get('X-Served-By') ?? undefined,
    cache: response.headers.get('X-Cache') ?? undefined,
    status: response.status,
    milliseconds: performance.now() - started,
  };
}

const started = new WeakMap<Request, number>();
const watch: Middleware = {
  onRequest({ request }) {
    started.set(request, performance.now());
  },
  onResponse({ request, response }) {
    last.seen = seenOf(response, started.get(request) ?? performance.now());
  },
};

/** Paths, parameters and bodies are typed after docs/openapi.json. */
export const api = createClient<paths>({ baseUrl: '/' });
api.use(watch);

/** What the API itself has not said. */
export const problemOf = (status: number, title: string): Problem => ({
  type: 'about:blank',
  title,
  status,
  detail: '',
  request_id: '',
});

export class Failure extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
  /** Whether all that it says stands beside one of these fields. */
  isBeside(fields: readonly { readonly name: string }[]): boolean {
    const { errors = [] } = this.problem;
    const hasPlace = (path: string) => fields.some(({ name }) => name === path);
    return errors.length > 0 && errors.every(({ in: where, path }) => where === 'body' && hasPlace(path));
  }
  /** The message that belongs to a field of the form. */
  of(field: string): string | undefined {
    return this.problem.errors?.find(({ in: where, path }) => where === 'body' && path === field)?.message;
  }
}

interface Result<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

export interface Answer<T> {
  readonly body: T;
  readonly etag: string | undefined;
  /** Cursor of the next page. */
  readonly next: string | undefined;
}

/** @throws Failure */
export async function answer<T>(request: Promise<Result<T>>): Promise<Answer<T>> {
  const result = await request.catch(() => undefined);
  if (!result) throw new Failure(problemOf(0, 'offline'));
  const { data, error, response } = result;
  if (!response.ok) throw new Failure(toProblem(error, response));
  const [, next] = /[?&]cursor=([^&>]+)[^>]*>; rel="next"/.exec(response.headers.get('Link') ?? '') ?? [];
  return {
    body: data as T,
    etag: response.headers.get('ETag') ?? undefined,
    next: next && decodeURIComponent(next),
  };
}

function toProblem(error: unknown, response: Response): Problem {
  if (typeof error === 'object' && error !== null && 'detail' in error) return error as Problem;
  return problemOf(response.status, response.statusText);
}

/** A name that nobody else gives. Not crypto.randomUUID, which browsers keep from pages that come without TLS. */
export const newKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** The headers of a write: the version that it is based on, and a name under which it happens once, however often it is sent. */
export function writeHeaders(key: string, etag?: string) {
  return { 'Idempotency-Key': key, ...(etag && { 'If-Match': etag }) };
}
