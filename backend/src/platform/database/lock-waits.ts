import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Logger } from 'pino';

/** What another session has that is waited for. */
interface Holder {
  /** 0: a prepared transaction, which no session has any more. */
  readonly pid: number;
  /** The name that it gave itself, or what it is: "autovacuum worker". */
  readonly application: string | null;
  readonly user: string | null;
  /** null: by the socket of the machine. */
  readonly address: string | null;
  readonly state: string | null;
  readonly since: string | null;
  readonly query: string | null;
  readonly awaited: string;
}

const LOOK_EVERY_MS = 1500;
/** Said again after so many looks: every half a minute. */
const SAY_EVERY = 20;

/**
 * Until `signal`: says for whom the session `pid` waits, once it has waited for 1.5 to 3 s, again when that changes, and now and then. It may
 * wait for the lock of a statement, or ask again and again for the advisory lock `key`.
 * @param db where a connection is free to look with
 */
export async function reportWaits<T>(db: Kysely<T>, pid: number, key: number, logger: Logger, signal: AbortSignal) {
  let looks = 0;
  let said = '';
  while (await sleep(LOOK_EVERY_MS, true, { signal }).catch(() => false)) {
    const holders = await findHolders(db, pid, key).catch((err) => {
      logger.info({ err }, 'cannot see whether somebody is waited for');
      return [];
    });
    looks = holders.length > 0 ? looks + 1 : 0;
    const pids = holders.map((holder) => holder.pid).join();
    if (looks < 2 || (pids === said && looks % SAY_EVERY !== 0)) continue;
    said = pids;
    for (const holder of holders) logger.warn({ holder }, `waiting for ${holder.awaited}: ${describe(holder)}`);
  }
}

function describe({ pid, application, user, address, state, since, query }: Holder): string {
  if (pid === 0) return 'a prepared transaction has it (see pg_prepared_xacts)';
  // A worker of PostgreSQL's own has no user, and what only a superuser may see of others is null.
  const who = [application, user && `user ${user}`, address && `from ${address}`].filter(Boolean).join(', ');
  return `${[`pid ${pid} has it (${who})`, state, since].filter(Boolean).join(', ')}: ${query ?? ''}`;
}

async function findHolders<T>(db: Kysely<T>, pid: number, key: number): Promise<Holder[]> {
  const { rows } = await sql<Holder>`
    with holder as (
      select unnest(pg_blocking_pids(${pid})) as pid, coalesce(
        (select case locktype
            when 'relation' then format('the table %s (%s)', relation::regclass, mode)
            when 'virtualxid' then 'the end of an older transaction'
            when 'transactionid' then 'the end of a transaction'
            else format('a lock (%s)', locktype) end
          from pg_locks where pid = ${pid} and not granted limit 1), 'a lock') as awaited
      union
      select pid, 'the end of another migration' from pg_locks
      where locktype = 'advisory' and granted and pid <> ${pid} and (classid, objid, objsubid) = (0, ${key}, 1)
        and database = (select oid from pg_database where datname = current_database())
    )
    select pid, awaited, coalesce(nullif(application_name, ''), backend_type) as application, usename as user,
      host(client_addr) as address, state,
      coalesce('its transaction began ' || date_trunc('second', xact_start),
        'connected since ' || date_trunc('second', backend_start)) as since,
      case when query ~* 'password' then 'a statement with a password' -- as createRoles has; this goes to a log
        else left(regexp_replace(query, '[[:space:]]+', ' ', 'g'), 200) end as query
    from holder left join pg_stat_activity using (pid)
    order by pid`.execute(db);
  return rows;
}
