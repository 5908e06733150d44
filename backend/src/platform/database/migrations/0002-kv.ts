import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  // Collation "C" orders keys by their bytes, which lets the primary key serve lists by prefix.
  await sql`
    create table kv (
      key        text collate "C" primary key check (octet_length(key) between 1 and 512),
      value      text not null check (octet_length(value) <= 65536),
      updated_at timestamptz not null default now(),
      version    bigint not null default nextval('row_version')
    )`.execute(db);
}
