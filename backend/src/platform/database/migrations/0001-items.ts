import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  // One counter for the ETags of all tables: a row that is deleted and made again never gets an old ETag back.
  await sql`create sequence row_version as bigint`.execute(db);
  await sql`
    create table items (
      id          uuid primary key default gen_random_uuid(),
      title       text not null check (char_length(title) between 1 and 200),
      description text check (char_length(description) <= 4000),
      status      text not null default 'pending' check (status in ('pending', 'in_progress', 'done')),
      created_at  timestamptz not null default now(),
      updated_at  timestamptz not null default now(),
      version     bigint not null default nextval('row_version')
    )`.execute(db);
  // The lists are read newest first, with and without a status; the id breaks ties between equal times.
  await sql`create index items_by_age on items (created_at desc, id desc)`.execute(db);
  await sql`create index items_by_status_and_age on items (status, created_at desc, id desc)`.execute(db);
}
