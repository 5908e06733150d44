import type { ObjectSchema, Schema } from 'joi';
import type { Kysely } from 'kysely';
import type { CacheOutcome } from '../cache/cache.ts';
import type { Precondition } from '../database/precondition.ts';
import type { Database } from '../database/schema.ts';
import type { OneStatement } from '../database/write-outcomes.ts';
import type { WriteTransaction } from '../database/write-transaction.ts';
import type { HttpError } from './errors.ts';
import type { Cursor } from './paging.ts';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export interface Inputs {
  readonly params?: ObjectSchema;
  readonly query?: ObjectSchema;
  readonly body?: ObjectSchema;
}

/** The validated input, typed after its schemas. */
export type Validated<I extends Inputs> = {
  [K in keyof I]: I[K] extends ObjectSchema<infer T> ? T : never;
} & {
  /** What If-Match asks of the row; only for routes with `conditional`. */
  readonly precondition: Precondition;
};

export interface Reply {
  readonly description: string;
  /** Absent: no JSON body. Its fields carry the example that the documentation shows. */
  readonly schema?: Schema;
  /** Of a body that is not JSON. */
  readonly type?: string;
  /** Headers that do not follow from the declaration (headersOf). */
  readonly headers?: readonly HeaderName[];
}

export type HeaderName =
  | 'Location'
  | 'ETag'
  | 'X-Cache'
  | 'Link'
  | 'Retry-After'
  | 'Idempotent-Replayed'
  | 'Content-Type'
  | 'Content-Security-Policy';

/** What a handler answers. Statuses, headers and conditional requests are the platform's work. */
export interface Answer {
  readonly status: number;
  /** JSON, or bytes that are sent as they are (then name their type in `headers`). Absent: no body. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The row's version: sent as a strong ETag, compared with If-None-Match. */
  readonly version?: string | number;
  /** The sort key of the last row of a page that has a next one: sent as a Link. */
  readonly next?: Cursor | undefined;
  /** Where a read that can come from the cache came from: sent as X-Cache. */
  readonly cache?: CacheOutcome;
}

/** What a write of several statements answers. */
export interface Written extends Answer {
  /** The tags of all cached answers that it changes (platform/cache/tags.ts); none, if its rows are not cached. */
  readonly changed: readonly string[];
  /** Called once it is committed, and not when the same write comes again; for counters. */
  readonly committed?: () => void;
}

/** A write of one statement. The row that it changed is kept with it, so `answer` must be made of nothing else than that and the input. */
export interface OneWrite<Row> {
  /** The tags of all cached answers that it changes, as far as the input tells: lists share a tag for this (platform/cache/tags.ts). */
  readonly changed?: readonly string[];
  /** Names the row, if many may write the same one at once: they take turns (turns.ts). */
  readonly row?: string;
  readonly statement: OneStatement<Row>;
  answer(row: Row): Answer;
  /** What to answer if no row was changed. @throws HttpError why */
  absent?(db: Kysely<Database>): Promise<Answer>;
  /** What PostgreSQL's refusal means. @throws HttpError, or the error itself */
  refused?(error: unknown): never;
  /** Called once it is committed, and not when the same write comes again; for counters. */
  committed?(row: Row): void;
}
/** Gives `answer` and the others the type of the statement's row. */
export const oneStatement = <Row>(write: OneWrite<Row>) => write as OneWrite<unknown>;

/** An answer that is one row: the version goes into the ETag, the rest is the body. */
export function resource(status: number, row: { readonly version: number }, headers?: Record<string, string>): Answer {
  const { version, ...body } = row;
  return { status, body, version, ...(headers && { headers }) };
}

interface Common<I extends Inputs> {
  readonly method: Method;
  /** As Express has it: "/items/:id". */
  readonly path: string;
  readonly summary: string;
  readonly input?: I;
  /** Every status that the handler itself answers with success; errors are described by the platform. */
  readonly replies: Readonly<Record<number, Reply>>;
  /** Errors that come from the feature's rules, besides those that follow from the declaration: 404, 409 … */
  readonly problems?: Readonly<Record<number, string>>;
  /** A write: it honours If-Match (`precondition`). A read: it answers a `version`, and so honours If-None-Match. */
  readonly conditional?: boolean;
  /** In bytes, unpacked. Default: 64 KiB. */
  readonly bodyLimit?: number;
  /** A read that can come from the cache of this name: every answer says so in X-Cache. */
  readonly cached?: string;
  /** Only with `Authorization: Bearer $ADMIN_TOKEN`. */
  readonly admin?: boolean;
}

/** Reads, or changes nothing in the database. */
interface Handler<I extends Inputs> {
  handle(input: Validated<I>): Promise<Answer> | Answer;
  readonly write?: never;
  readonly transaction?: never;
}

/** Writes with one statement; retries of Nginx and of the client get the first answer (write.ts). */
interface Writer<I extends Inputs> {
  write(input: Validated<I>): OneWrite<unknown>;
  readonly handle?: never;
  readonly transaction?: never;
}

/** Writes with several, in a transaction that ends with the answer: whatever it throws rolls back. It may run more than once, and counts once. */
interface Transactor<I extends Inputs> {
  transaction(input: Validated<I>, trx: WriteTransaction): Promise<Written>;
  readonly handle?: never;
  readonly write?: never;
}

export type Declaration<I extends Inputs> = Common<I> & (Handler<I> | Writer<I> | Transactor<I>);

/** A declared route. From it come validation, the OpenAPI document, the metrics label and Nginx's list of paths. */
export type Route = Declaration<Inputs> & {
  /** "/items/{id}": the path in OpenAPI, metrics and logs. */
  readonly template: string;
  /** The feature: groups the routes in the documentation. */
  readonly tag: string;
  /** Told of every request of the route when it is over; for metrics of the feature's own. */
  readonly observe?: (seen: Observation) => void;
};

export interface Observation {
  readonly method: string;
  readonly template: string;
  readonly status: number;
  readonly seconds: number;
  /** What was answered instead of a success. */
  readonly problem: HttpError | undefined;
}

/** The headers of a declared reply, besides those that every answer has. In tests no other may be sent. */
export function headersOf(route: Declaration<Inputs>, status: number): HeaderName[] {
  const reply = route.replies[status];
  const names: HeaderName[] = [...(reply?.headers ?? [])];
  if (status === 201) names.push('Location');
  if (status === 201 || (route.conditional && route.method !== 'delete')) names.push('ETag');
  if (route.cached) names.push('X-Cache');
  if (!route.handle) names.push('Idempotent-Replayed');
  if (route.input?.query?.describe().keys.cursor) names.push('Link');
  if (status === 503) names.push('Retry-After');
  if (reply?.type) names.push('Content-Type');
  return names;
}

/** Declares the routes of a feature. `route` gives each its types. */
export function routes(
  tag: string,
  declarations: readonly Declaration<Inputs>[],
  observe?: (seen: Observation) => void,
): Route[] {
  return declarations.map((declaration) => ({
    ...declaration,
    tag,
    ...(observe && { observe }),
    template: declaration.path.replaceAll(/:(\w+)/g, '{$1}'),
  }));
}

/** Gives a declaration's handler the types of its own schemas. */
export function route<const I extends Inputs>(declaration: Declaration<I>): Declaration<Inputs> {
  // The handler is called only with what these very schemas let through (endpoint.ts).
  return declaration as unknown as Declaration<Inputs>;
}
