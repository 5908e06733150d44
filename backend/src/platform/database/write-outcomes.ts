import { CompiledQuery, type Kysely, sql } from 'kysely';
import { violatedConstraint } from './errors.ts';
import type { Database } from './schema.ts';

/** A write has one name or two: Nginx's for the request, and the client's own for all of its retries. */
export interface OutcomeName {
  readonly name: string;
  /** Hash of the request, where another request may come under the same name. */
  readonly request: string | null;
}

/** Of every write: as text, because Kysely takes as long to build a statement as PostgreSQL to run it. */
const INSERT_ONE = 'insert into write_outcomes (name, request, outcome) values ($1, $2, $3)';
const INSERT_TWO = `${INSERT_ONE}, ($4, $5, $6)`;

/**
 * Keeps what came of a write, in its transaction. Waits while another transaction that keeps one of these names is open.
 * @throws DatabaseError (isTaken) when one of the names is taken: PostgreSQL lets nothing of the transaction happen then
 */
export async function insertOutcome(
  db: Kysely<Database>,
  names: readonly OutcomeName[],
  outcome: object,
): Promise<void> {
  const json = JSON.stringify(outcome);
  const text = names.length === 1 ? INSERT_ONE : INSERT_TWO;
  await db.executeQuery(
    CompiledQuery.raw(
      text,
      names.flatMap(({ name, request }) => [name, request, json]),
    ),
  );
}

export const isTaken = (error: unknown) => violatedConstraint(error) === 'write_outcomes_pkey';

export function findOutcomes(db: Kysely<Database>, names: readonly OutcomeName[]) {
  return db
    .selectFrom('write_outcomes')
    .select(['name', 'request', 'outcome'])
    .where(
      'name',
      'in',
      names.map(({ name }) => name),
    )
    .execute();
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
