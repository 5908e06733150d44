import { type Compilable, type Kysely, type OperationNode, type RawBuilder, sql, type WithNode } from 'kysely';
import { DatabaseError } from 'pg';
import { violatedConstraint } from './errors.ts';
import { prepared } from './prepared.ts';
import type { Database } from './schema.ts';

/** Under which names the outcome of a write is kept, and on what condition it happens. */
export interface Keeping {
  /** Nginx's for the request. */
  readonly attempt: string;
  /** The client's own for all of its retries. */
  readonly client?: string | undefined;
  /** Hash of the request, as another may come under the client's name. */
  readonly request?: string | undefined;
  /** Under which the write was announced, or may pass; or UNCACHED. */
  readonly epoch: string;
  /** What the gate must be. Absent: the write touches nothing that is cached. */
  readonly open?: boolean | undefined;
}
/** The epoch of a write that touches nothing cached: it never ends. */
export const UNCACHED = '00000000-0000-0000-0000-000000000000';

/**
 * The row, or both. `epoch` is the guard: null once the gate has moved on since the write was announced, and the column then refuses
 * the whole statement.
 */
function keep(
  { attempt, client, request, epoch, open }: Keeping,
  outcome: RawBuilder<unknown>,
  from: RawBuilder<unknown>,
) {
  const guard =
    open === undefined
      ? sql`${epoch}::uuid`
      : sql`(select epoch from write_gate where epoch = ${epoch}::uuid and open = ${open}::boolean)`;
  const names = [sql`(${attempt}::text, null::text)`, ...(client ? [sql`(${client}::text, ${request}::text)`] : [])];
  return sql`insert into write_outcomes (name, request, outcome, epoch)
    select names.name, names.request, ${outcome}, ${guard} from ${from} (values ${sql.join(names)}) names (name, request)`;
}

/** The problem is for a replica of the release before, which does not know rows: a true answer, if a poor one. */
const OUTCOME = sql`json_build_object('row', done, 'problem', json '{"status":504,"message":"ask again"}')`;
const kept = (keeping: Keeping) => sql`kept as (${keep(keeping, OUTCOME, sql`done,`)})`;

/**
 * One statement that changes rows, with its values. Sent, it changes them and keeps what it returned, or does neither.
 * `check` is called right before.
 */
export type OneStatement<Row> = (db: Kysely<Database>, keeping: Keeping, check: () => void) => Promise<Row | undefined>;

interface Statement<Row> extends Compilable<Row> {
  toOperationNode(): OperationNode & { readonly with?: WithNode };
}

/**
 * A statement that changes one row and returns it, built once (prepared.ts). It is sent with its outcome, as one: a transaction would
 * hold the row's lock for a round trip, and whoever dies meanwhile would hold it for longer.
 */
export function preparedWrite<Fields extends object, Row>(
  build: (db: Kysely<Database>, fields: Fields) => Statement<Row>,
): (fields: Fields) => OneStatement<Row> {
  const statement = prepared<Fields & { $: never } & { readonly [K in keyof Keeping as `$${K}`]: Keeping[K] }, Row>(
    (db, { $attempt, $client, $request, $epoch, $open, ...fields }) => {
      const { with: ctes, ...body } = build(db, fields as unknown as Fields).toOperationNode();
      // PostgreSQL wants what changes rows at the top: a statement's own WITH cannot stay within it.
      const part = (node: OperationNode) => sql`${{ expressionType: undefined, toOperationNode: () => node } as never}`;
      const keeping: Keeping = { attempt: $attempt, client: $client, request: $request, epoch: $epoch, open: $open };
      const parts = [
        ...(ctes?.expressions.map(part) ?? []),
        sql`done as (${part(body as OperationNode)})`,
        kept(keeping),
      ];
      return { compile: () => sql<Row>`with ${sql.join(parts)} select * from done`.compile(db) };
    },
  );
  return (fields) =>
    (db, { attempt: $attempt, client: $client, request: $request, epoch: $epoch, open: $open }, check) =>
      statement.executeTakeFirst(db, { ...fields, $attempt, $client, $request, $epoch, $open } as never, check);
}

const outcomeOf = prepared<Keeping & { outcome: string }, unknown>((db, { outcome, ...keeping }) => ({
  compile: () => keep(keeping, sql`${outcome}::json`, sql``).compile(db),
}));

/**
 * Keeps what came of a write, in its transaction. Waits while another transaction that keeps one of these names is open.
 * @throws DatabaseError (isTaken) when one of the names is taken: PostgreSQL lets nothing of the transaction happen then
 */
export async function insertOutcome(db: Kysely<Database>, keeping: Keeping, outcome: object): Promise<void> {
  await outcomeOf.execute(db, { ...keeping, outcome: JSON.stringify(outcome) });
}

/**
 * Sees to it that no write with this name can happen any more, if none has: waits while one is open.
 * @throws DatabaseError after lock_timeout
 */
export async function settleName(db: Kysely<Database>, name: string): Promise<void> {
  const outcome = JSON.stringify({ refused: true });
  await db
    .insertInto('write_outcomes')
    .values({ name, request: null, outcome, epoch: UNCACHED })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Whether the gate has moved on since the write was announced: nothing happened. */
export const isOutdated = (error: unknown) =>
  error instanceof DatabaseError && error.code === '23502' && error.table === 'write_outcomes';

/**
 * Turns a row that was kept as JSON into what the driver would return: PostgreSQL writes a time there with "+00:00". (timestamps.test.ts
 * sees to it that columns with a time, and no others, are named like this.)
 */
export function rowOf(kept: Record<string, unknown>): Record<string, unknown> {
  const row = { ...kept };
  for (const name in row) {
    if (/_(at|em)$/.test(name) && typeof row[name] === 'string') row[name] = row[name].replace('+00:00', 'Z');
  }
  return row;
}

export const isTaken = (error: unknown) => violatedConstraint(error) === 'write_outcomes_pkey';

export function findOutcomes(db: Kysely<Database>, names: readonly string[]) {
  return db.selectFrom('write_outcomes').select(['name', 'request', 'outcome']).where('name', 'in', names).execute();
}

/** In seconds; 0 when there is none. */
export async function ageOfOldestOutcome(db: Kysely<Database>): Promise<number> {
  const { age } = await db
    .selectFrom('write_outcomes')
    .select(sql<number>`coalesce(extract(epoch from now() - min(created_at)), 0)::float8`.as('age'))
    .executeTakeFirstOrThrow();
  return age;
}

/** How long a repeated write is recognized. */
const KEPT = '24 hours';
/** Rows of one statement: it holds their locks, and the next vacuum, no longer than a moment. */
const BATCH = 1_000;

/** Deletes the oldest of those that have been kept long enough. @returns how many; BATCH: there may be more */
export async function deleteOldOutcomes(db: Kysely<Database>): Promise<{ deleted: number; more: boolean }> {
  const { numDeletedRows } = await db
    .deleteFrom('write_outcomes')
    .where(
      'name',
      'in',
      (old) =>
        old
          .selectFrom('write_outcomes')
          .select('name')
          .where(sql<boolean>`created_at < now() - ${sql.lit(KEPT)}::interval`)
          .orderBy('created_at')
          .limit(BATCH)
          .forUpdate()
          .skipLocked(), // of another replica, which does the same
    )
    .executeTakeFirstOrThrow();
  return { deleted: Number(numDeletedRows), more: numDeletedRows === BigInt(BATCH) };
}
