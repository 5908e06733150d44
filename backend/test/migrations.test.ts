/** Migrations of a release to come, run by real processes on a real database. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Kysely, sql } from 'kysely';
import { Client } from 'pg';
import type { Database } from '../src/platform/database/schema.ts';
import { connect, createTestDatabase, databaseUrl } from './support/api.ts';
import { PASSWORDS } from './support/global-setup.ts';
import { temporaryFolder, until } from './support/servers.ts';

const backend = path.join(import.meta.dirname, '..');

/** A copy of the code with more migrations. */
function release(migrations: Record<string, string>): string {
  const folder = temporaryFolder('release');
  cpSync(`${backend}/src`, `${folder}/src`, { recursive: true });
  cpSync(`${backend}/package.json`, `${folder}/package.json`);
  symlinkSync(`${backend}/node_modules`, `${folder}/node_modules`);
  for (const [name, source] of Object.entries(migrations)) {
    const imports = `import { sql } from 'kysely';
import { createIndexConcurrently } from '../concurrent-index.ts';\n`;
    writeFileSync(`${folder}/src/platform/database/migrations/${name}.ts`, imports + source);
  }
  return folder;
}

const concurrently = (index: string) => `export const transaction = false;
export const up = (db: any) => createIndexConcurrently(db, ${index});`;
const BY_TITLE = concurrently("{ name: 'items_by_title', table: 'items', on: sql`(title)` }");

interface Run {
  readonly process: ChildProcess;
  output: string;
  readonly code: Promise<number | null>;
}

let database: string;
let db: Kysely<Database>;
beforeEach(async () => {
  database = await createTestDatabase();
  db = connect(databaseUrl(database, 'postgres'), 4, false);
});
afterEach(() => db.destroy());

/** The migration program. */
function run(folder: string, environment: NodeJS.ProcessEnv = {}): Run {
  const child = spawn(process.execPath, ['src/migrate.ts'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      DATABASE_ADMIN_URL: databaseUrl(database, 'postgres'),
      DATABASE_APP_PASSWORD: PASSWORDS.app,
      DATABASE_METRICS_PASSWORD: PASSWORDS.metrics,
      ...environment,
    },
  });
  const started: Run = { process: child, output: '', code: once(child, 'close').then(([code]) => code) };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (started.output += data));
  return started;
}

/**
 * A session in an open transaction, for which whoever makes an index concurrently must wait: of one that has written already before the
 * index is filled, so that PostgreSQL only afterwards lists the transactions that it then waits for.
 */
async function openTransaction(statement = "insert into items (title) values ('the old one')"): Promise<Client> {
  const client = new Client({ connectionString: databaseUrl(database, 'postgres'), application_name: 'old' });
  client.on('error', () => {}); // some are ended from outside
  await client.connect();
  await client.query(`begin; ${statement}`);
  return client;
}

const said = (what: RegExp, ...runs: Run[]) =>
  until(`${what}`, () => runs.every(({ output }) => what.test(output))).catch((error) => {
    throw new Error(`${error}\n${runs.map(({ output }) => output).join('\n---\n')}`);
  });

/** Of items_by_title: [whether it is valid]; [] when there is none. */
async function indexes(name = 'items_by_title'): Promise<boolean[]> {
  const { rows } = await sql<{ valid: boolean }>`
    select indisvalid as valid from pg_index join pg_class on oid = indexrelid where relname = ${name}`.execute(db);
  return rows.map(({ valid }) => valid);
}
const indexOid = async () =>
  (await sql<{ oid: number }>`select 'items_by_title'::regclass::oid as oid`.execute(db)).rows[0]?.oid;
const recorded = async (name: string) =>
  (await sql`select from kysely_migration where name = ${name}`.execute(db)).rows.length;
const WAITING_FOR_LOCK =
  /waiting for the end of another migration: pid \d+ has it \(migrate, user postgres, from 127\.0\.0\.1\), active, .*create index concurrently/;
const WAITING_FOR_OLD =
  /waiting for the end of an older transaction: pid \d+ has it \(old, user postgres, from 127\.0\.0\.1\), idle in transaction, its transaction began .*the old one/;

describe('an index that is made concurrently', () => {
  test('When five runs start while an old transaction is open, then each says for whom it waits, one makes the index, writes go on, and all succeed', async () => {
    const folder = release({ '8000-index': BY_TITLE });
    const old = await openTransaction();
    const first = run(folder);
    await said(WAITING_FOR_OLD, first);
    const others = Array.from({ length: 4 }, () => run(folder));
    await said(WAITING_FOR_LOCK, ...others);
    const app = connect(databaseUrl(database), 1);
    await app.insertInto('items').values({ title: 'meanwhile' }).execute();
    await app.destroy();
    await old.end();
    expect(await Promise.all([first, ...others].map(({ code }) => code))).toEqual([0, 0, 0, 0, 0]);
    expect(first.output).toMatch('"applied":["8000-index"]');
    for (const { output } of others) expect(output).toMatch('nothing to migrate');
    expect([await indexes(), await recorded('8000-index')]).toEqual([[true], 1]);
  }, 60_000);

  test('When its process is killed, then a second one waits for the session that still makes the index, and keeps it', async () => {
    const folder = release({ '8000-index': BY_TITLE });
    const old = await openTransaction();
    const killed = run(folder);
    await said(WAITING_FOR_OLD, killed);
    killed.process.kill('SIGKILL');
    const second = run(folder);
    await said(WAITING_FOR_LOCK, second);
    const made = await indexOid();
    await old.end();
    expect([await second.code, await indexes(), await recorded('8000-index')]).toEqual([0, [true], 1]);
    expect(await indexOid()).toBe(made);
  }, 60_000);

  test('When its session is ended half-way, then the invalid index that stays is dropped and made again by the next run', async () => {
    const folder = release({ '8000-index': BY_TITLE });
    const old = await openTransaction();
    const cut = run(folder);
    await said(WAITING_FOR_OLD, cut);
    const left = await indexOid();
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${database} and query like 'create index concurrently%'`.execute(db);
    expect([await cut.code, await indexes(), await recorded('8000-index')]).toEqual([1, [false], 0]);
    expect(cut.output).toMatch('8000-index failed: it runs without a transaction, and runs again next time');
    await old.end();
    expect([await run(folder).code, await indexes(), await recorded('8000-index')]).toEqual([0, [true], 1]);
    expect(await indexOid()).not.toBe(left);
  }, 60_000);

  test('When a unique one finds duplicates, then it fails and leaves nothing that refuses rows; without them it is made', async () => {
    const unique = concurrently("{ name: 'items_by_title', table: 'items', unique: true, on: sql`(title)` }");
    const folder = release({ '8000-unique': unique });
    const twice = db.insertInto('items').values({ title: 'twice' });
    await twice.execute();
    await twice.execute();
    const failed = run(folder);
    expect([await failed.code, await indexes()]).toEqual([1, []]);
    expect(failed.output).toMatch(/could not create unique index/);
    await twice.execute();
    await db.deleteFrom('items').execute();
    expect([await run(folder).code, await indexes()]).toEqual([0, [true]]);
    await twice.execute();
    await expect(twice.execute()).rejects.toMatchObject({ code: '23505' });
  }, 60_000);

  test('When the index is there, made by hand, then it is kept; one of another table, other columns or another kind is an error', async () => {
    const folder = release({ '8000-index': BY_TITLE });
    for (const other of ['index items_by_title on tasks (title)', 'index items_by_title on items (title, id)']) {
      await sql`create ${sql.raw(other)}`.execute(db);
      const refused = run(folder);
      expect([await refused.code, await indexes(), await recorded('8000-index')]).toEqual([1, [true], 0]);
      expect(refused.output).toMatch('an index items_by_title exists, and is not the one that is wanted');
      await sql`drop index items_by_title`.execute(db);
    }
    await sql`create unique index items_by_title on items (title)`.execute(db);
    expect(await run(folder).code).toBe(1);
    await sql`drop index items_by_title`.execute(db);
    await sql`create index items_by_title on items (title)`.execute(db);
    const made = await indexOid();
    expect([await run(folder).code, await recorded('8000-index')]).toEqual([0, 1]);
    expect(await indexOid()).toBe(made);
  }, 60_000);

  test('When somebody makes it by hand at the moment, then the migration says so and leaves it alone; afterwards it keeps it', async () => {
    const old = await openTransaction();
    const byHand = new Client({ connectionString: databaseUrl(database, 'postgres') });
    await byHand.connect();
    const made = byHand.query('create index concurrently items_by_title on items (title)');
    await until('an index that is not valid yet', async () => (await indexes()).length === 1);
    const folder = release({ '8000-index': BY_TITLE });
    const refused = run(folder);
    expect(await refused.code).toBe(1);
    expect(refused.output).toMatch(/pid \d+ makes an index on items at the moment: when it is done, migrate again/);
    const oid = await indexOid();
    await old.end();
    await made;
    await byHand.end();
    expect([await run(folder).code, await indexes(), await indexOid()]).toEqual([0, [true], oid]);
  }, 60_000);

  test('When the role has time limits, then they are not those of a migration', async () => {
    await sql`alter database ${sql.id(database)} set statement_timeout = '1s'`.execute(db);
    await sql`alter database ${sql.id(database)} set lock_timeout = '1s'`.execute(db);
    const old = await openTransaction();
    const waiting = run(release({ '8000-index': BY_TITLE }));
    await said(WAITING_FOR_OLD, waiting);
    await old.end();
    expect([await waiting.code, await indexes()]).toEqual([0, [true]]);
  }, 60_000);

  test('When the migration forgets that it runs outside of a transaction, then it is told', async () => {
    const forgotten = run(release({ '8000-index': BY_TITLE.replace('export const transaction = false;', '') }));
    expect([await forgotten.code, await indexes()]).toEqual([1, []]);
    expect(forgotten.output).toMatch('its migration needs \\"export const transaction = false\\"');
  }, 60_000);
});

describe('migrations with and without a transaction', () => {
  const table = (name: string) => `export const up = (db: any) => sql\`create table ${name} (id int)\`.execute(db);`;
  const FAILS = 'export const up = (db: any) => sql`select 1 / 0`.execute(db);';

  test('When one fails, then what ran in its transaction is undone, what ran before it stays, and the next run goes on there', async () => {
    const migrations = {
      '8000-a': table('a'),
      '8001-b': table('b'),
      '8002-index': BY_TITLE,
      '8003-c': table('c'),
      '8004-d': FAILS,
      '8005-e': table('e'),
    };
    const failed = run(release(migrations));
    expect(await failed.code).toBe(1);
    expect(failed.output).toMatch(
      '8004-d failed: nothing of it is left. Applied before it: 8000-a, 8001-b, 8002-index: division by zero',
    );
    const { rows } = await sql<{ t: string | null }>`
      select to_regclass(name)::text as t from unnest(array['a', 'b', 'items_by_title', 'c', 'e']) name`.execute(db);
    expect(rows.map(({ t }) => t)).toEqual(['a', 'b', 'items_by_title', null, null]);
    const mended = run(release({ ...migrations, '8004-d': table('d') }));
    expect([await mended.code, mended.output]).toEqual([
      0,
      expect.stringMatching('"applied":\\["8003-c","8004-d","8005-e"\\]'),
    ]);
  }, 60_000);
});

describe('a migration that waits for a lock', () => {
  const ADD_COLUMN = 'export const up = (db: any) => sql`alter table items add column a int`.execute(db);';

  test('When a transaction has read the table that it changes, then it says who, again when that changes, and goes on', async () => {
    const folder = release({ '8000-a': ADD_COLUMN });
    const [one, two] = [
      await openTransaction("select 'one' from items"),
      await openTransaction("select 'two' from items"),
    ];
    const waiting = run(folder);
    const held = (by: string) =>
      new RegExp(`waiting for the table items \\(AccessExclusiveLock\\): pid \\d+ .*'${by}' from items`);
    await said(held('one'), waiting);
    await said(held('two'), waiting);
    const before = waiting.output.length;
    await one.end();
    await until('it is said again', () => held('two').test(waiting.output.slice(before)));
    await two.end();
    expect(await waiting.code).toBe(0);
  }, 60_000);

  test('When a prepared transaction has it, then it is told that there is no session to end', async () => {
    const prepared = await openTransaction("select from items; prepare transaction 'forgotten'");
    await prepared.end();
    const waiting = run(release({ '8000-a': ADD_COLUMN }));
    await said(/a prepared transaction has it \(see pg_prepared_xacts\)/, waiting);
    await sql`rollback prepared 'forgotten'`.execute(db);
    expect(await waiting.code).toBe(0);
  }, 60_000);

  test('When the statement of who has it holds a password, then that is not told', async () => {
    const old = await openTransaction("lock table items; create role temporary password 'open sesame'");
    const waiting = run(release({ '8000-a': ADD_COLUMN }));
    await said(/waiting for the table items .*: a statement with a password/, waiting);
    await old.end();
    expect(await waiting.code).toBe(0);
    expect(waiting.output).not.toMatch('sesame');
  }, 60_000);

  test('When nobody is in the way, then nothing is said', async () => {
    const ran = run(release({ '8000-a': 'export const up = (db: any) => sql`select pg_sleep(4)`.execute(db);' }));
    expect(await ran.code).toBe(0);
    expect(ran.output).not.toMatch('waiting');
  }, 60_000);
});
