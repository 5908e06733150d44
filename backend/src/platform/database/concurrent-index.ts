import { type Kysely, type RawBuilder, sql } from 'kysely';

export interface ConcurrentIndex {
  readonly name: string;
  readonly table: string;
  /** What follows the table: its columns, and what else there is: "(title, id) where status = 'pending'", "using gin (tags)". */
  readonly on: RawBuilder<unknown>;
  readonly unique?: boolean;
}

interface Found {
  readonly valid: boolean;
  readonly wanted: boolean;
}

/**
 * Makes an index while others write to its table. For a migration that says `export const transaction = false`.
 *
 * An attempt that ended half-way leaves an index that PostgreSQL calls invalid: no query uses it, every write pays for it, and
 * if it is unique it refuses rows. So a failure takes it away, and where that was not possible (the process was killed, the
 * connection lost) the next run does. An index that is whole and only was not recorded is kept.
 * @throws Error when a different index has the name
 */
export async function createIndexConcurrently<T>(db: Kysely<T>, index: ConcurrentIndex): Promise<void> {
  const name = sql.id(index.name);
  if (db.isTransaction) {
    throw new Error(`${index.name} is made concurrently: its migration needs "export const transaction = false"`);
  }
  await refuseBeside(db, index);
  const found = await find(db, index);
  if (found?.valid && found.wanted) return;
  if (found?.valid) {
    throw new Error(
      `an index ${index.name} exists, and is not the one that is wanted: drop it, or give this one another name`,
    );
  }
  if (found) await sql`drop index concurrently ${name}`.execute(db);
  const kind = sql.raw(index.unique ? 'unique index' : 'index');
  try {
    await sql`create ${kind} concurrently ${name} on ${sql.id(index.table)} ${index.on}`.execute(db);
  } catch (error) {
    // Of what fails here, the next run finds what is left.
    const left = await find(db, index).catch(() => undefined);
    if (left && !left.valid) await sql`drop index concurrently ${name}`.execute(db).catch(() => {});
    throw error;
  }
}

/** Somebody's who makes one by hand looks like a failed one until it is whole. Waiting for them in a statement would be a deadlock. */
async function refuseBeside<T>(db: Kysely<T>, { name, table }: ConcurrentIndex): Promise<void> {
  const { rows } = await sql<{ pid: number }>`
    select pid from pg_stat_progress_create_index
    where relid = ${table}::regclass and command like '%CONCURRENTLY'`.execute(db);
  const [other] = rows;
  if (!other) return;
  throw new Error(
    `pid ${other.pid} makes an index on ${table} at the moment: when it is done, migrate again for ${name}`,
  );
}

/** PostgreSQL writes definitions in its own way, so the one that is wanted is made too, on an empty table, to compare both. */
function find<T>(db: Kysely<T>, { name, table, on, unique }: ConcurrentIndex): Promise<Found | undefined> {
  return db.transaction().execute(async (trx) => {
    await sql`create temporary table wanted_index (like ${sql.id(table)}) on commit drop`.execute(trx);
    await sql`create ${sql.raw(unique ? 'unique index' : 'index')} on wanted_index ${on}`.execute(trx);
    const { rows } = await sql<Found>`
      select found.indisvalid as valid,
        found.indrelid = ${table}::regclass and found.indisunique = wanted.indisunique
          and substring(pg_get_indexdef(found.indexrelid) from ' USING .*')
            = substring(pg_get_indexdef(wanted.indexrelid) from ' USING .*') as wanted
      from pg_index found, pg_index wanted
      where wanted.indrelid = 'wanted_index'::regclass
        and found.indexrelid = (select oid from pg_class where relname = ${name} and relnamespace
          = (select relnamespace from pg_class where oid = ${table}::regclass))`.execute(trx);
    return rows[0];
  });
}
