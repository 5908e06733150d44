import type { IncomingHttpHeaders } from 'node:http';
import type { Precondition } from '../database/precondition.ts';
import { HttpError, notFound } from './errors.ts';

export const toEtag = (version: string | number) => `"${version}"`;

const ENTITY_TAG = /(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g;
const LIST = new RegExp(`^\\s*${ENTITY_TAG.source}(\\s*,\\s*${ENTITY_TAG.source})*\\s*$`);

/** Splits a list of entity tags (RFC 9110 section 8.8.3; a tag may hold a comma). @throws HttpError 400 */
function parseTags(header: string, name: string): { weak: boolean; version: string }[] {
  if (!LIST.test(header)) {
    const errors = [{ in: 'header', path: name, message: 'must be "*" or a list of quoted entity tags' } as const];
    throw new HttpError(400, 'malformed header', { errors });
  }
  return [...header.matchAll(ENTITY_TAG)].map(([, weak, version = '']) => ({ weak: weak !== undefined, version }));
}

/**
 * Reads If-None-Match of a read, before anything is done for it.
 * @returns whether it names a version (weak comparison, RFC 9110 section 13.1.2): then the answer is 304
 * @throws HttpError 400
 */
export function readIfNoneMatch(headers: IncomingHttpHeaders): (version: string) => boolean {
  const header = headers['if-none-match'];
  if (header === undefined) return () => false;
  if (header.trim() === '*') return () => true;
  const tags = parseTags(header, 'If-None-Match');
  return (version) => tags.some((tag) => tag.version === version);
}

/**
 * Reads If-Match of a write (strong comparison: a weak tag never matches). A precondition that the route would ignore is
 * an error, because the client relies on it to protect somebody's data.
 * @throws HttpError 400
 */
export function readPrecondition(headers: IncomingHttpHeaders, honoured: boolean): Precondition {
  const header = headers['if-match'];
  const refused = header !== undefined && !honoured ? 'If-Match' : 'If-None-Match';
  if (refused === 'If-Match' || headers['if-none-match'] !== undefined) {
    const errors = [{ in: 'header', path: refused, message: 'is not supported on this operation' } as const];
    throw new HttpError(400, 'unsupported precondition', { errors });
  }
  if (header === undefined) return undefined;
  if (header.trim() === '*') return '*';
  return parseTags(header, 'If-Match').flatMap((tag) => (tag.weak ? [] : [tag.version]));
}

/** A write by id has found no row. @throws HttpError 412 when it is there in another version, else 404 */
export async function notWritten(
  what: string,
  precondition: Precondition,
  find: () => Promise<unknown>,
): Promise<never> {
  const exists = precondition !== undefined && (await find()) !== undefined;
  throw exists ? preconditionFailed() : notFound(what);
}

export const preconditionFailed = () => new HttpError(412, 'the resource has changed since the given ETag');
