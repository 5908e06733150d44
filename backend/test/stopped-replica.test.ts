/** A replica that is stopped, or dies, between the announcement of a write and its statement. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from './support/api.ts';
import { type Postgres, type RedisServer, startPostgres, startRedis, until } from './support/servers.ts';
import { changeCode, copyOfCode, json, type Replica, runMigrations, sendJson, startReplica } from './support/stack.ts';

const PAUSE = path.join(import.meta.dirname, 'coherence/pause.ts');
let postgres: Postgres;
let redis: RedisServer;
beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  runMigrations(postgres);
}, 60_000);
afterAll(() => Promise.all([postgres.stop(), redis.stop()]));

type Change = readonly [file: string, from: string, to: string];
/** Outcomes are forgotten after a second, and a marker is settled after half a second. */
const FORGETFUL: readonly Change[] = [
  ['database/write-outcomes.ts', "'24 hours'", "'1 second'"],
  ['http/write.ts', 'EXPIRY_MS = 60_000', 'EXPIRY_MS = 500'],
  ['cache/markers.ts', 'PATIENCE_MS = 6_500', 'PATIENCE_MS = 500'],
];
/** What keeps a stopped replica from writing, as much sooner. */
const AGE: Change = ['http/write.ts', 'MAX_AGE_MS = 60_000', 'MAX_AGE_MS = 1_000'];
const SESSION: Change = ['database/client.ts', 'IDLE_TIMEOUT_MS = 600_000', 'IDLE_TIMEOUT_MS = 1_000'];

function codeWith(changes: readonly Change[]): string {
  const folder = copyOfCode();
  for (const [file, ...change] of changes) changeCode(path.join(folder, 'src/platform', file), [change]);
  return folder;
}

const state = ({ pid }: Replica) => / (\w) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
const isHit = async (url: string) => (await fetch(url)).headers.get('x-cache') === 'HIT';

/** A write whose replica stops at this point; when this returns, it has. */
async function stopped(point: string, folder?: string) {
  const program = { preload: PAUSE, ...(folder && { folder }) };
  const settings = { CACHE_TEST_PAUSE: `${point}:stop` };
  const [victim, other] = [
    await startReplica('victim', postgres, redis, undefined, settings, program),
    await startReplica('other', postgres, redis, undefined, {}, folder ? { folder } : {}),
  ];
  const { task } = await json(await sendJson('POST', `${other.url}/tasks`, { title: 'first' }));
  const url = `${other.url}/tasks/${task.id}`;
  await until('a hit', () => isHit(url));
  const writing = sendJson('PUT', `${victim.url}/tasks/${task.id}`, { title: 'late' }).catch(() => undefined);
  await until('its stop', () => state(victim) === 'T');
  return { victim, other, writing, url };
}

/** Lets it go on when its write has been refused, and nobody knows that any more. */
async function wakeTooLate(point: string, changes: readonly Change[]) {
  const { victim, other, writing, url } = await stopped(point, codeWith([...FORGETFUL, ...changes]));
  const db = connect(`${postgres.adminUrl}/postgres`, 1, false);
  try {
    await until('the end of its marker', () => isHit(url));
    const outcomes = () => db.selectFrom('write_outcomes').select('name').execute();
    await until('that all is forgotten', async () => (await outcomes()).length === 0);
    await sleep(1_500);
    victim.signal('SIGCONT');
    const { status } = (await writing) as Response;
    return [status, await db.selectFrom('tasks').select('title').orderBy('id', 'desc').limit(1).executeTakeFirst()];
  } finally {
    victim.signal('SIGCONT');
    await db.destroy();
    await Promise.all([victim.stop(), other.stop()]);
  }
}

test.each(['begin', 'send'])(
  'A replica that was stopped (%s) for longer than outcomes are kept writes nothing',
  async (point) => {
    const [status, task] = await wakeTooLate(point, [AGE, SESSION]);
    // 504 if the session that would make sure has ended too.
    expect([503, 504]).toContain(status);
    expect(task).toEqual({ title: 'first' });
  },
);

test.each([
  ['begin', []],
  ['send', [AGE]],
] as const)('Without the limit such a replica (%s) does write', async (point, changes) => {
  expect(await wakeTooLate(point, changes)).toEqual([200, { title: 'late' }]);
});

test('A replica that is killed there costs reads that go past the cache, until one of them has settled its write', async () => {
  const { victim, other, url, writing } = await stopped('begin');
  await victim.stop();
  await writing;
  await until('a hit', () => isHit(url), undefined, 20);
  expect((await json(await fetch(url))).task.title).toBe('first');
  await other.stop();
});
