import { isUtf8 } from 'node:buffer';
import express from 'express';
import { HttpError } from './errors.ts';
import type { Handler } from './handler.ts';

/** Enough for every body of ours but one: parsing the megabyte that Nginx lets through holds up all other requests. */
const LIMIT_BYTES = 64 * 1024;

const parser = (limit: number) =>
  express.json({
    limit,
    strict: false, // a bare string or number is well-formed JSON: the schema refuses it, with 422
    // Express makes {} of an empty body; and a byte that is not UTF-8 would silently become U+FFFD.
    verify: (_request, _response, bytes) => {
      if (bytes.length === 0) throw new HttpError(400, 'a JSON body is required');
      if (!isUtf8(bytes)) throw new HttpError(400, 'the body is not UTF-8');
    },
  });

/** What express.json (its `error.type`) complains of → our status and words. */
const PROBLEMS: Record<string, [status: number, detail: string]> = {
  'entity.parse.failed': [400, 'the body is not well-formed JSON'],
  'entity.too.large': [413, 'the body is too large'],
  'encoding.unsupported': [415, 'this content encoding is not supported'],
  'charset.unsupported': [415, 'this charset is not supported: send UTF-8'],
  'request.size.invalid': [400, 'the body does not have its declared length'],
  'request.aborted': [400, 'the request was cut off'],
};

/**
 * JSON.parse makes "__proto__" a field like any other; the first copy of such an object makes it the prototype, and its
 * fields then pass for the body's own.
 */
function setsPrototype(body: unknown): boolean {
  const pending = [body]; // no recursion: 1 MiB of "[[[[…" would overflow the stack
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (Object.hasOwn(value, '__proto__')) return true;
    for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) pending.push(child);
  }
  return false;
}

/** Reads a JSON body into request.body. @throws HttpError 400, 413, 415 or 422 */
export function jsonBody(limit = LIMIT_BYTES): Handler {
  const parse = parser(limit);
  return (request, response, next) => {
    const type = request.headers['content-type'] ?? '';
    if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type)) {
      throw new HttpError(415, 'send a JSON body with Content-Type: application/json');
    }
    parse(request as never, response as never, (error?: unknown) => {
      if (error && !(error instanceof HttpError)) {
        const kind = Error.isError(error) && 'type' in error ? String(error.type) : '';
        // `verify` wraps what it throws; an unreadable gzip stream has no type at all.
        const [status, detail] = PROBLEMS[kind] ?? [400, 'the body cannot be read'];
        return next(new HttpError(status, detail, { cause: error }));
      }
      if (!error && request.body === undefined) return next(new HttpError(400, 'a JSON body is required'));
      if (!error && setsPrototype(request.body)) {
        const errors = [{ in: 'body', path: '__proto__', message: 'is not allowed' } as const];
        return next(new HttpError(422, 'the body is not valid', { errors }));
      }
      next(error);
    });
  };
}
