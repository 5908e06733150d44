import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { type Kysely, NoResultError, sql } from 'kysely';
import { DatabaseError } from 'pg';
import { classifyDatabaseError, isNotUp } from '../src/platform/database/errors.ts';
import { isMigrated, migrate } from '../src/platform/database/migrate.ts';
import { prepared } from '../src/platform/database/prepared.ts';
import type { Database } from '../src/platform/database/schema.ts';
import { connect, createTestDatabase, databaseUrl, logger } from './support/api.ts';
import { PASSWORDS } from './support/global-setup.ts';
import { until } from './support/servers.ts';

const open: Kysely<Database>[] = [];
function connectTo(...options: Parameters<typeof connect>): Kysely<Database> {
  const db = connect(...options);
  open.push(db);
  return db;
}
afterAll(() => Promise.all(open.map((db) => db.destroy())));

async function emptyDatabase(): Promise<string> {
  const name = `empty_${randomUUID().replaceAll('-', '')}`;
  await sql`create database ${sql.id(name)}`.execute(connectTo(databaseUrl('postgres', 'postgres'), 1));
  return name;
}

describe('migrations', () => {
  test('When eight runs start at once on an empty database, then each migration is applied once and all succeed', async () => {
    const url = databaseUrl(await emptyDatabase(), 'postgres');
    const runs = Array.from({ length: 8 }, () => migrate(connectTo(url, 2), PASSWORDS, logger));
    const applied = (await Promise.all(runs)).flat();
    const files = readdirSync(new URL('../src/platform/database/migrations', import.meta.url));
    expect(applied.sort()).toEqual(files.map((file) => path.parse(file).name).sort());
    expect(await isMigrated(connectTo(url, 1))).toBe(true);
  });

  test('When runs on several databases of one server make its roles at the same time, then all succeed', async () => {
    const urls = await Promise.all(
      Array.from({ length: 4 }, async () => databaseUrl(await emptyDatabase(), 'postgres')),
    );
    for (let n = 0; n < 3; n++) await Promise.all(urls.map((url) => migrate(connectTo(url, 2), PASSWORDS, logger)));
  });

  test('When newer code has migrated the database, then older code starts on it; when each has its own, it is told', async () => {
    const db = connectTo(databaseUrl(await createTestDatabase(), 'postgres'), 1);
    const newer = '9999-newer';
    await sql`insert into kysely_migration (name, timestamp) values (${newer}, '2030-01-01')`.execute(db);
    expect(await migrate(db, PASSWORDS, logger)).toEqual([]);
    expect(await isMigrated(db)).toBe(true);
    await sql`delete from kysely_migration where name = '0001-items'`.execute(db);
    await expect(migrate(db, PASSWORDS, logger)).rejects.toThrow(
      /migrations of other code \(9999-newer\), and lacks 0001-items/,
    );
  });

  test('When CloudNativePG runs the server, then its own roles still get in', async () => {
    const name = await emptyDatabase();
    const db = connectTo(databaseUrl(name, 'postgres'), 1);
    const roles = ['streaming_replica', 'cnpg_metrics_exporter'];
    for (const role of roles) await sql`create role ${sql.id(role)}`.execute(db);
    await migrate(db, PASSWORDS, logger);
    for (const role of roles) {
      for (const place of ['postgres', name]) {
        const { rows } = await sql`select has_database_privilege(${role}, ${place}, 'connect') as may`.execute(db);
        expect([role, place, rows]).toEqual([role, place, [{ may: true }]]);
      }
      await sql`drop owned by ${sql.id(role)}`.execute(db);
      await sql`drop role if exists ${sql.id(role)}`.execute(db);
    }
  });

  test('When nothing has run, then the database is not migrated, and asking changes nothing', async () => {
    const db = connectTo(databaseUrl(await emptyDatabase(), 'postgres'), 1);
    expect(await isMigrated(db)).toBe(false);
    const { rows } = await sql`select from pg_tables where schemaname = 'public'`.execute(db);
    expect(rows).toHaveLength(0);
  });
});

describe('roles', () => {
  let app: Kysely<Database>;
  let metrics: Kysely<Database>;
  beforeAll(async () => {
    const name = await createTestDatabase();
    app = connectTo(databaseUrl(name, 'tandem_app'));
    metrics = connectTo(databaseUrl(name, 'tandem_metrics'));
  });

  test('the application reads and writes rows, and can do nothing else', async () => {
    const { id } = await app.insertInto('items').values({ title: 'x' }).returning('id').executeTakeFirstOrThrow();
    await app.deleteFrom('items').where('id', '=', id).execute();
    for (const forbidden of [
      sql`create table mine (id int)`,
      sql`drop table items`,
      sql`truncate items`,
      sql`alter table items add column x int`,
      sql`create role mine`,
      sql`insert into kysely_migration (name, timestamp) values ('x', 'x')`,
      sql`delete from kysely_migration`,
      sql`copy items to program 'true'`,
      sql`select pg_read_file('/etc/hostname')`,
      sql`select setval('row_version', 1)`,
    ]) {
      await expect(forbidden.execute(app)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test('the metrics role reads statistics and not one row', async () => {
    const { rows } = await sql`select relname from pg_stat_user_tables where relname in ('items', 'kv')`.execute(
      metrics,
    );
    expect(rows).toHaveLength(2);
    for (const table of ['items', 'kv', 'kysely_migration']) {
      await expect(sql`select from ${sql.id(table)}`.execute(metrics)).rejects.toMatchObject({ code: '42501' });
    }
    for (const forbidden of [
      sql`insert into items (title) values ('x')`,
      sql`select lo_create(0)`,
      sql`select pg_read_file('/etc/hostname')`,
    ]) {
      await expect(forbidden.execute(metrics)).rejects.toMatchObject({ code: '42501' });
    }
    const elsewhere = connectTo(databaseUrl('postgres', 'tandem_metrics'));
    await expect(sql`select 1`.execute(elsewhere)).rejects.toMatchObject({ code: '42501' });
    const limits = sql<{ n: number }>`select rolconnlimit as n from pg_roles where rolname = 'tandem_metrics'`;
    expect((await limits.execute(metrics)).rows).toEqual([{ n: 5 }]);
  });

  test('neither is more than it should be', async () => {
    const { rows } = await sql`
      select rolname from pg_roles
      where rolname like 'tandem%' and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)`.execute(
      app,
    );
    expect(rows).toEqual([]);
  });
});

describe('prepared statements', () => {
  let db: Kysely<Database>;
  beforeAll(async () => {
    db = connectTo(databaseUrl(await createTestDatabase(), 'postgres'), 1);
  });
  let built = 0;
  const insert = prepared((trx, task: { title: string; description?: string | null | undefined }) => {
    built++;
    return trx.insertInto('tasks').values(task).returning(['title', 'description', 'status']);
  });

  test('When fields and values differ, then each row gets its own, and a statement is built once a set of fields', async () => {
    expect(await insert.executeTakeFirstOrThrow(db, { title: 'a' })).toMatchObject({ title: 'a', description: null });
    for (const title of ['b', 'c']) {
      expect(await insert.execute(db, { description: `of ${title}`, title })).toEqual([
        { title, description: `of ${title}`, status: 'pending' },
      ]);
    }
    expect(await insert.execute(db, { title: 'd', description: undefined })).toMatchObject([{ description: null }]);
    expect(built).toBe(2);
  });

  test('When there is no row, then the caller is told as by Kysely', async () => {
    const byTitle = prepared((on, { title }: { title: string }) =>
      on.selectFrom('tasks').select('id').where('title', '=', title),
    );
    expect(await byTitle.executeTakeFirst(db, { title: 'nobody' })).toBeUndefined();
    await expect(byTitle.executeTakeFirstOrThrow(db, { title: 'nobody' })).rejects.toThrow(NoResultError);
  });

  test('When a statement computes with a value, then it fails at once, and nothing wrong is kept', async () => {
    const page = prepared((on, { limit }: { limit: number }) =>
      on
        .selectFrom('tasks')
        .select('id')
        .limit(limit + 1),
    );
    await expect(page.execute(db, { limit: 1 })).rejects.toThrow('must not look at "limit"');
    const asJson = prepared((on, field: { title: string }) =>
      on.insertInto('tasks').values({ title: JSON.stringify(field.title) }),
    );
    await expect(asJson.execute(db, { title: 'a' })).rejects.toThrow('must not look at "title"');
  });
});

describe('reads that share a packet', () => {
  let db: Kysely<Database>;
  beforeAll(async () => {
    db = connectTo(databaseUrl(await createTestDatabase(), 'postgres'), 4);
    await sql`truncate tasks restart identity`.execute(db);
    await sql`insert into tasks (title) values ('a'), ('b')`.execute(db);
  });
  const reads = prepared((on, { id }: { id: number }) => on.selectFrom('tasks').select('title').where('id', '=', id));
  const locked = prepared((on, { key }: { key: string }) => on.selectFrom('kv').select('value').where('key', '=', key));
  const failing = prepared((on, { by }: { by: number }) =>
    on.selectFrom('tasks').select(sql<number>`id / (${by}::integer - 1)`.as('n')).limit(1),
  );

  test('When one fails, then only that one', async () => {
    const answers = await Promise.allSettled([
      reads.execute(db, { id: 1 }),
      failing.execute(db, { by: 1 }),
      reads.execute(db, { id: 2 }),
      failing.execute(db, { by: 1 }),
      reads.execute(db, { id: 3 }),
    ]);
    expect(answers).toMatchObject([
      { value: [{ title: 'a' }] },
      { reason: { code: '22012' } },
      { value: [{ title: 'b' }] },
      { reason: { code: '22012' } },
      { value: [] },
    ]);
  });

  test('When one waits for a lock, then the others are answered meanwhile', async () => {
    let waiting: Promise<unknown> | undefined;
    await db.transaction().execute(async (trx) => {
      await sql`lock table kv`.execute(trx);
      waiting = locked.execute(db, { key: 'k' });
      const seen: string[] = [];
      void waiting.then(() => seen.push('the locked one'));
      expect(await reads.execute(db, { id: 2 })).toEqual([{ title: 'b' }]);
      expect(seen).toEqual([]);
    });
    await waiting;
  });

  test('When a connection is lost, then one fails, and the others are asked again', async () => {
    const sleeping = prepared((on, { seconds }: { seconds: number }) =>
      on.selectFrom('tasks').select(sql`pg_sleep(${seconds})`.as('slept')).limit(1),
    );
    const answers = Promise.allSettled([sleeping.execute(db, { seconds: 3 }), reads.execute(db, { id: 1 })]);
    await until('its end', async () => {
      const { rows } = await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep'`.execute(db);
      return rows.length > 0;
    });
    expect(await answers).toMatchObject([{ status: 'rejected' }, { value: [{ title: 'a' }] }]);
  });
});

describe('timestamps', () => {
  test('keep their microseconds and are ISO 8601 UTC', async () => {
    const db = connectTo(databaseUrl('postgres', 'postgres'), 1);
    const { rows } = await sql<{ at: string }>`select timestamptz '2026-01-31 13:00:00.123456+01' as at`.execute(db);
    expect(rows[0]?.at).toBe('2026-01-31T12:00:00.123456Z');
  });
});

describe('what an error means', () => {
  const withCode = (code: string) => Object.assign(new DatabaseError('x', 1, 'error'), { code });
  test.each([
    ['23505', 'conflict'],
    ['23503', 'conflict'],
    ['23514', 'invalid'],
    ['22021', 'invalid'],
    ['55P03', 'unavailable'],
    ['57014', 'unavailable'],
    ['53300', 'unavailable'],
    ['57P01', 'unknown-outcome'],
    ['08006', 'unknown-outcome'],
    ['28P01', 'unavailable'],
    ['42P01', 'bug'],
  ])('SQLSTATE %s: %s', (code, meaning) => {
    expect(classifyDatabaseError(withCode(code))).toBe(meaning);
  });

  test('a refused connection did nothing; one that broke is unknown', async () => {
    const nobody = connectTo('postgres://x:x@127.0.0.1:1/x', 1);
    const refused = await sql`select 1`.execute(nobody).catch((error: unknown) => error);
    expect(classifyDatabaseError(refused)).toBe('unavailable');
    expect(isNotUp(refused)).toBe(true);
    const stranger = connectTo(databaseUrl('postgres').replace('//tandem_app', '//nobody'), 1);
    const notLetIn = await sql`select 1`.execute(stranger).catch((error: unknown) => error);
    expect([classifyDatabaseError(notLetIn), isNotUp(notLetIn)]).toEqual(['unavailable', false]);

    const victim = connectTo(databaseUrl('postgres', 'postgres'), 1);
    const killer = connectTo(databaseUrl('postgres', 'postgres'), 1);
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(victim);
    const query = sql`select pg_sleep(3)`.execute(victim).catch((error: unknown) => error);
    await sql`select pg_terminate_backend(${rows[0]?.pid})`.execute(killer);
    expect(classifyDatabaseError(await query)).toBe('unknown-outcome');
  });

  test('a pool without a free connection is unavailable, and so is a lock that is not given', async () => {
    const name = await createTestDatabase();
    const holder = connectTo(databaseUrl(name, 'postgres'), 1, false);
    const waiter = connectTo(databaseUrl(name), 1);
    await holder.insertInto('items').values({ title: 'locked' }).execute();
    await holder.transaction().execute(async (trx) => {
      await trx.selectFrom('items').selectAll().forUpdate().execute();
      const starved = await sql`select 1`.execute(holder).catch((error: unknown) => error);
      expect(classifyDatabaseError(starved)).toBe('unavailable');
      const locked = await waiter
        .updateTable('items')
        .set({ title: 'x' })
        .execute()
        .catch((error: unknown) => error);
      expect(classifyDatabaseError(locked)).toBe('unavailable');
    });
  });

  test('an error that is not the database’s is none of ours', () => {
    expect(classifyDatabaseError(new Error('x'))).toBeUndefined();
    expect(classifyDatabaseError('x')).toBeUndefined();
  });
});
