import { promises as fs } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { type Kysely, sql } from 'kysely';
import { FileMigrationProvider, type Migration, type MigrationInfo, Migrator } from 'kysely/migration';
import { DatabaseError } from 'pg';
import type { Logger } from 'pino';
import { reportWaits } from './lock-waits.ts';

/** Any number; the same for every run, so that they wait for each other. */
const MIGRATION_LOCK = 7_226_336;
const ASK_AGAIN_MS = 500;

export interface RolePasswords {
  readonly app: string;
  readonly metrics: string;
}

/** The files of migrations/, in the order of their names. */
function createMigrator<T>(db: Kysely<T>): Migrator {
  const folder = path.join(import.meta.dirname, 'migrations');
  return new Migrator({
    db,
    provider: new FileMigrationProvider({
      fs,
      path,
      migrationFolder: folder,
      import: (file) => import(pathToFileURL(file).href),
    }),
  });
}

/** Whether the database has every migration that this code knows. It may have newer ones: expand, then contract. */
export async function isMigrated<T>(db: Kysely<T>): Promise<boolean> {
  const migrations = await createMigrator(db).getMigrations();
  return migrations.every((migration) => migration.executedAt !== undefined);
}

/**
 * Makes the roles (with their passwords, also when they exist), then runs the missing migrations: those that follow each other in
 * one transaction, except what says `export const transaction = false`.
 * Runs on one database that start at the same time wait for each other: Kysely takes its own lock only after it has
 * created its tables, and two concurrent "create table if not exists" can fail with a duplicate key.
 * @param db connected as the owner of the database (the superuser, or one who may create roles); with two connections, of
 *   which one tells for whom the other waits
 * @returns the names of the migrations that this run applied
 * @throws Error that names the migration that failed, and those that were applied before it
 */
export async function migrate<T>(db: Kysely<T>, passwords: RolePasswords, logger: Logger): Promise<string[]> {
  return db.connection().execute(async (connection) => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(connection);
    const done = new AbortController();
    const reports = reportWaits(db, rows[0]?.pid ?? 0, MIGRATION_LOCK, logger, done.signal);
    try {
      await lock(connection);
      await whileOthersDo(() => createRoles(connection, passwords));
      return (await isAhead(connection)) ? [] : await applyMissing(connection);
    } finally {
      // The end of a connection releases its locks; that it was lost is the other error's to say.
      await sql`select pg_advisory_unlock(${MIGRATION_LOCK})`.execute(connection).catch(() => {});
      done.abort();
      await reports;
    }
  });
}

/**
 * Asks again and again. A statement that waited would be a transaction: one who holds the lock and makes an index concurrently waits
 * for every transaction that is older, so the two would wait for each other.
 */
async function lock<T>(connection: Kysely<T>): Promise<void> {
  const ask = sql<{ locked: boolean }>`select pg_try_advisory_lock(${MIGRATION_LOCK}) as locked`;
  while (!(await ask.execute(connection)).rows[0]?.locked) await sleep(ASK_AGAIN_MS);
}

const isInTransaction = ({ migration }: MigrationInfo) =>
  (migration as Migration & { transaction?: boolean }).transaction !== false;

async function applyMissing<T>(connection: Kysely<T>): Promise<string[]> {
  const migrator = createMigrator(connection);
  const missing = (await migrator.getMigrations()).filter(({ executedAt }) => executedAt === undefined);
  const applied: string[] = [];
  for (const [index, migration] of missing.entries()) {
    const together = isInTransaction(migration);
    const next = missing[index + 1];
    if (together && next && isInTransaction(next)) continue; // up to the last of them, in one transaction
    const { error, results = [] } = await migrator.migrateTo(migration.name, { disableTransactions: !together });
    if (error) {
      const failed = results.find(({ status }) => status === 'Error')?.migrationName ?? migration.name;
      const rest = together ? 'nothing of it is left' : 'it runs without a transaction, and runs again next time';
      throw new Error(`${failed} failed: ${rest}. Applied before it: ${applied.join(', ') || 'none'}`, {
        cause: error,
      });
    }
    // The application may read which migrations ran, not rewrite their history.
    await sql`revoke insert, update, delete on kysely_migration, kysely_migration_lock from tandem_app`.execute(
      connection,
    );
    applied.push(...results.map(({ migrationName }) => migrationName));
  }
  return applied;
}

/**
 * Whether newer code has migrated the database, and this code, after a rollback, has nothing to add. Kysely would call
 * that corrupted.
 * @throws Error when each has migrations that the other does not know
 */
async function isAhead<T>(db: Kysely<T>): Promise<boolean> {
  const known = await createMigrator(db).getMigrations();
  const { rows: tables } = await sql`select from pg_tables where tablename = 'kysely_migration'`.execute(db);
  if (tables.length === 0) return false;
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  const foreign = rows
    .filter(({ name }) => !known.some((migration) => migration.name === name))
    .map(({ name }) => name);
  const missing = known.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name);
  if (foreign.length > 0 && missing.length > 0) {
    throw new Error(
      `the database has the migrations of other code (${foreign}), and lacks ${missing}: it needs its own code, or a new database`,
    );
  }
  return foreign.length > 0;
}

/** Roles are the whole server's, the lock is a database's: a run on another database of this server may change them at the same moment. */
async function whileOthersDo(work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const met =
        error instanceof DatabaseError && /tuple concurrently updated|pg_authid|already exists/.test(error.message);
      if (!met || tries === 20) throw error;
      await sleep(ASK_AGAIN_MS * Math.random());
    }
  }
}

/** Least privilege: tandem_app reads and writes rows, tandem_metrics reads statistics and no row; neither owns anything. */
async function createRoles<T>(db: Kysely<T>, passwords: RolePasswords): Promise<void> {
  await sql`
    do $$ begin
      if not exists (select from pg_roles where rolname = 'tandem_app') then create role tandem_app; end if;
      if not exists (select from pg_roles where rolname = 'tandem_metrics') then create role tandem_metrics; end if;
    end $$`.execute(db);
  await sql`alter role tandem_app login password ${sql.lit(passwords.app)}`.execute(db);
  await sql`alter role tandem_metrics login password ${sql.lit(passwords.metrics)}`.execute(db);
  await sql`grant pg_monitor to tandem_metrics`.execute(db);
  // The exporter needs two or three; a leaked password must not be able to take them all, or hold one for long.
  await sql`alter role tandem_metrics connection limit 5`.execute(db);
  await sql`alter role tandem_metrics set statement_timeout = '4s'`.execute(db);
  // What PostgreSQL lets everybody do: keep large objects, and use the database "postgres". Only a superuser can forbid it.
  await sql`
    do $$ begin
      if (select rolsuper from pg_roles where rolname = current_user) then
        revoke execute on function lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) from public;
        if exists (select from pg_database where datname = 'postgres') then
          revoke connect, temporary on database postgres from public;
        end if;
      end if;
    end $$`.execute(db);
  await sql`
    do $$ begin
      execute format('revoke all on database %I from public', current_database());
      execute format('grant connect on database %I to tandem_app, tandem_metrics', current_database());
    end $$`.execute(db);
  // CloudNativePG's: a former primary follows again by way of the database "postgres", and its figures are asked for in both.
  await sql`
    do $$ declare operator name; place name; begin
      for operator, place in
        select rolname, datname from pg_roles, pg_database
        where rolname in ('streaming_replica', 'cnpg_metrics_exporter') and datname in (current_database(), 'postgres')
      loop
        execute format('grant connect on database %I to %I', place, operator);
      end loop;
    end $$`.execute(db);
  await sql`revoke create on schema public from public`.execute(db);
  await sql`
    alter default privileges in schema public grant select, insert, update, delete on tables to tandem_app`.execute(db);
  await sql`alter default privileges in schema public grant usage on sequences to tandem_app`.execute(db);
}
