import { parse } from 'node:querystring';
import type { ErrorHandler, Handler, Incoming, Outgoing } from './handler.ts';
import { splitUrl } from './paging.ts';

const MAX_PARTS = 4;

export interface Lane {
  /** "GET" */
  readonly method: string;
  /** As Express has it: "/tasks/:id". */
  readonly path: string;
  /** From the first middleware to the endpoint, as Express would call them. */
  readonly handlers: readonly Handler[];
}

/**
 * Goes past Express's router, which costs a third of a cached read (docs/benchmarks.md): the same handlers, called in the same
 * order, after a look into a table. Only for a path that is a lane's letter by letter (with one parameter, if any)
 * and has nothing to decode. Whatever else comes is Express's: other paths, HEAD, OPTIONS, what is 404 or 405.
 * @returns whether the request was taken
 */
export function createFastLane(lanes: readonly Lane[], onError: ErrorHandler) {
  const exact = new Map<string, Lane>();
  /** By method and path, with a star for the parameter. */
  const withParameter = new Map<string, Lane & { name: string }>();
  for (const lane of lanes) {
    const [, before, name, after] = /^([^:]*\/):(\w+)((?:\/[^:]*)?)$/.exec(lane.path) ?? [];
    const { method, path } = lane;
    if (before && name) withParameter.set(`${method} ${before}*${after}`, { ...lane, name });
    else if (!path.includes(':')) exact.set(`${method} ${path}`, lane);
  }

  function find(method: string, path: string): { handlers: readonly Handler[]; params: object } | undefined {
    const lane = exact.get(`${method} ${path}`);
    if (lane) return { handlers: lane.handlers, params: {} };
    // From the last part of the path on; ours have few, a stranger's may have thousands.
    for (let end = path.length, parts = 0; end > 0 && parts < MAX_PARTS; parts++) {
      const start = path.lastIndexOf('/', end - 1) + 1;
      const found = withParameter.get(`${method} ${path.slice(0, start)}*${path.slice(end)}`);
      const value = path.slice(start, end);
      if (found) return value === '' || value.includes('%') ? undefined : { ...found, params: { [found.name]: value } };
      end = start - 1;
    }
    return undefined;
  }

  return function take(request: Incoming, response: Outgoing): boolean {
    const { path, query } = splitUrl(request.url);
    const found = find(request.method, path);
    if (!found) return false;
    request.res = response;
    request.originalUrl = request.url;
    request.params = found.params;
    request.query = query ? parse(query) : {};
    response.locals = {};
    run(found.handlers, request, response, onError);
    return true;
  };
}

function run(handlers: readonly Handler[], request: Incoming, response: Outgoing, onError: ErrorHandler): void {
  let turn = 0;
  const fail = (error: unknown) => onError(error, request, response, () => response.destroy());
  const next = (error?: unknown) => {
    if (error) return fail(error);
    try {
      const result = handlers[turn++]?.(request, response, next);
      if (result instanceof Promise) result.catch(fail);
    } catch (thrown) {
      fail(thrown);
    }
  };
  next();
}
