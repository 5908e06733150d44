import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table cache_gate (
      only_row boolean primary key default true check (only_row),
      epoch    uuid not null default gen_random_uuid(),
      open     boolean not null default true
    )`.execute(db);
  await sql`insert into cache_gate default values`.execute(db);
  await sql`revoke insert, delete on cache_gate from tandem_app`.execute(db);
  // Unlogged: what it says is of interest for two seconds.
  await sql`create unlogged table cache_peer (instance text primary key, seen_at timestamptz not null)`.execute(db);
}
