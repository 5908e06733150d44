import { type Kysely, sql } from 'kysely';

/**
 * Protocol 2 of the cache (docs/cache.md). Replicas of the release before may still run: they see their gate closed for good, go on
 * without Redis, and are refused once a new replica has opened the cache, because it would not hear of their writes.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table cache_gate rename to write_gate`.execute(db);
  await sql`
    alter table write_gate
      add column timeline text not null default substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)`.execute(db);
  // Older replicas go on to write cache_peer. This one survives a crash, as permits do.
  await sql`
    create table gate_peer (
      instance   text primary key,
      asked_at   timestamptz not null,
      reached_at timestamptz
    )`.execute(db);
  // Where nobody has run yet nobody holds a permit, and the cache need not wait for it to lapse.
  await sql`update write_gate set open = not exists (select from cache_peer)`.execute(db);

  await sql`create view cache_gate as select epoch, false as open from write_gate`.execute(db);
  await sql`revoke insert, delete on cache_gate from tandem_app`.execute(db);
  await sql`
    create function keep_closed() returns trigger language plpgsql as
    $$ begin return null; end $$`.execute(db);
  await sql`
    create trigger keep_closed instead of update on cache_gate
    for each row execute function keep_closed()`.execute(db);

  await sql`
    alter table write_outcomes
      add column epoch uuid not null default '00000000-0000-0000-0000-000000000000'`.execute(db);
  // When no newer one has asked for longer than a permit lasts (somebody went back to that release), the gate is theirs to close.
  await sql`
    create function epoch_of_older_release() returns uuid language plpgsql as $$
    begin
      update write_gate set open = false where open and not exists (
        select from gate_peer where asked_at > clock_timestamp() - interval '10 seconds');
      if exists (select from write_gate where open) then
        raise exception 'this replica is of an older release than the cache' using errcode = '57P03';
      end if;
      return '00000000-0000-0000-0000-000000000000';
    end $$`.execute(db);
  await sql`alter table write_outcomes alter column epoch set default epoch_of_older_release()`.execute(db);
}
