import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table write_outcomes (
      name       text primary key,
      request    text,
      outcome    json not null,
      created_at timestamptz not null default now()
    )`.execute(db);
  await sql`create index write_outcomes_created_at on write_outcomes (created_at)`.execute(db);
  // Rows come and go, and are never changed: the space of those that went is used again sooner.
  await sql`alter table write_outcomes set (autovacuum_vacuum_scale_factor = 0.05)`.execute(db);
}
