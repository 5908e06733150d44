import type { AnySchema, CustomHelpers } from 'joi';
import { Joi } from './joi.ts';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** Where a page begins: the sort key of the row before it. It is the caller's, so it is checked like any input. */
export type Cursor = readonly (string | number)[];

const encode = (cursor: Cursor) => Buffer.from(JSON.stringify(cursor)).toString('base64url');

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return undefined;
  }
}

/** timestamptz as the database writes it (client.ts); a year that PostgreSQL cannot read is no cursor of ours. */
export const timestampKey = Joi.string()
  .pattern(/^[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/)
  .custom((value: string, helpers: CustomHelpers) => {
    const day = new Date(`${value.slice(0, 19)}Z`);
    // Date accepts the 31st of a shorter month and rolls over; PostgreSQL refuses it.
    return Number.isNaN(day.getTime()) || day.toISOString().slice(0, 19) !== value.slice(0, 19)
      ? helpers.error('string.pattern.base')
      : value;
  });

/**
 * The query parameters of every list.
 * @param sortKey a schema for each part of the sort key, in order
 */
export function pageQuery(...sortKey: AnySchema[]) {
  const shape = Joi.array()
    .ordered(...sortKey.map((part) => part.required()))
    .required();
  const cursor = Joi.string().custom((text: string, helpers: CustomHelpers) => {
    const { value, error } = shape.validate(decode(text), { convert: false });
    return error ? helpers.error('any.invalid') : value;
  });
  return {
    limit: Joi.number().integer().min(1).max(MAX_LIMIT).default(DEFAULT_LIMIT).description('Rows on a page'),
    cursor: cursor.description('Where the page begins: taken from the Link header of the page before'),
  };
}

/** A page of large rows ends early, so that 200 of them do not make an answer that takes the replica's memory. */
const MAX_PAGE_BYTES = 1024 * 1024;

/** A page and the cursor of the next one. Ask the database for `limit + 1` rows: the surplus one tells that there is a next. */
export function page<Row extends object>(rows: readonly Row[], limit: number, sortKeyOf: (row: Row) => Cursor) {
  const count = Math.min(rows.length, limit, fitting(rows));
  const last = rows[count - 1];
  const next = rows.length > count && last !== undefined ? sortKeyOf(last) : undefined;
  return { rows: rows.slice(0, count), next };
}

/** How many of the rows make a page of MAX_PAGE_BYTES; one at least. */
function fitting(rows: readonly object[]): number {
  // No character takes more than six bytes of JSON ("\\u0001"), so only what could be too large is measured.
  const texts = rows.flatMap((row) => Object.values(row)).filter((value) => typeof value === 'string');
  if (texts.reduce((sum, text) => sum + text.length * 6, 0) < MAX_PAGE_BYTES) return rows.length;
  let bytes = 0;
  const tooMany = rows.findIndex((row, n) => {
    bytes += Buffer.byteLength(JSON.stringify(row));
    return n > 0 && bytes > MAX_PAGE_BYTES;
  });
  return tooMany < 0 ? rows.length : tooMany;
}

/** At the first "?": a later one is part of the query. */
export function splitUrl(url: string): { path: string; query: string } {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}

/** The value of the Link header (RFC 8288) of a page: the same request, one page on. */
export function nextLink(url: string, cursor: Cursor): string {
  const { path, query } = splitUrl(url);
  const parameters = new URLSearchParams(query);
  parameters.set('cursor', encode(cursor));
  return `<${path}?${parameters}>; rel="next"`;
}
