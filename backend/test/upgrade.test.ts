/** Replicas of the release before, as far as PostgreSQL sees them, beside those of this one (migration 0008). */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { readGate } from '../src/platform/cache/gate.ts';
import { connect, createTestDatabase, databaseUrl, useApi } from './support/api.ts';
import { until } from './support/servers.ts';

const api = useApi();
const old = () => api.replicas[0].deps.control;
const keepOutcome = (name: string) =>
  sql`insert into write_outcomes (name, request, outcome) values (${name}, null, '{}')`.execute(old());

test('They see a closed gate, which they can neither open nor close', async () => {
  const { rows } = await sql<{ epoch: string; open: boolean }>`select epoch, open from cache_gate`.execute(old());
  expect(rows).toEqual([{ epoch: (await readGate(api.db)).epoch, open: false }]);
  for (const open of [true, false]) {
    const { numAffectedRows } = await sql`
      update cache_gate set open = ${open}, epoch = gen_random_uuid()`.execute(old());
    expect(numAffectedRows).toBe(0n);
  }
  expect(await readGate(api.db)).toEqual({ epoch: rows[0]?.epoch, open: true });
});

test('Their writes go on while the cache is off, it stays off while they are there, and they are refused once it is on', async () => {
  await expect(keepOutcome('attempt:refused')).rejects.toMatchObject({ code: '57P03' });
  await sql`update write_gate set open = false`.execute(api.db);
  await keepOutcome('attempt:passed');
  const { gate } = api.replicas[0];
  const beats = async () => {
    await sql`
      insert into cache_peer (instance, seen_at) values ('old', clock_timestamp())
      on conflict (instance) do update set seen_at = excluded.seen_at`.execute(old());
    await gate.beat();
    await sleep(500);
  };
  for (let n = 0; n < 10; n++) await beats();
  expect((await readGate(api.db)).open).toBe(false);
  await sql`delete from cache_peer where instance = 'old'`.execute(api.db);
  await gate.beat();
  await until('the gate to be open', async () => (await readGate(api.db)).open);
}, 15_000);

test('When PostgreSQL is on another timeline, then the gate closes, and opens under a new epoch', async () => {
  const before = await readGate(api.db);
  await sql`update write_gate set timeline = 'FFFFFFFF'`.execute(api.db);
  const { gate } = api.replicas[0];
  await gate.beat();
  expect(await readGate(api.db)).toEqual({ epoch: before.epoch, open: false });
  await until('the gate to be open', async () => {
    await gate.beat();
    return (await readGate(api.db)).open;
  });
  expect((await readGate(api.db)).epoch).not.toBe(before.epoch);
}, 15_000);

test('When the newer ones have been gone for ten seconds, because somebody went back, then the gate closes and writes go on', async () => {
  const db = connect(databaseUrl(await createTestDatabase()), 1);
  const peer = (seconds: number) =>
    sql`
      insert into gate_peer (instance, asked_at) values ('one', clock_timestamp() - make_interval(secs => ${seconds}))
      on conflict (instance) do update set asked_at = excluded.asked_at`.execute(db);
  // The older one has the same name.
  await sql`insert into cache_peer (instance, seen_at) values ('one', clock_timestamp())`.execute(db);
  const write = (name: string) => sql`insert into write_outcomes (name, outcome) values (${name}, '{}')`.execute(db);
  await sql`update write_gate set open = true`.execute(db);
  await peer(8);
  await expect(write('a')).rejects.toMatchObject({ code: '57P03' });
  expect((await readGate(db)).open).toBe(true);
  await peer(11);
  await write('b');
  expect((await readGate(db)).open).toBe(false);
  await db.destroy();
});
