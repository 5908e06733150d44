/**
 * The ways in which other protocols fail, each run once, step by step. A schedule ends when its clients have seen what they
 * see; whether that could be is for the checker to say.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { until } from '../support/servers.ts';
import type { Replica, World } from './world.ts';

/** A broken variant may never reach a step; then its schedule goes on without. */
const UNREACHED_MS = 2_000;

/** A step at which somebody stays until they are let go. */
function stop() {
  const [arrived, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  return {
    arrived: Promise.race([arrived.promise, sleep(UNREACHED_MS, undefined, { ref: false })]),
    go: gone.resolve,
    async step() {
      arrived.resolve();
      await gone.promise;
    },
  };
}

/** Replicas that reach Redis, may use it, and have it open. */
async function ready<N extends string[]>(world: World, ...names: N): Promise<{ [K in keyof N]: Replica }> {
  const replicas = await Promise.all(names.map((name) => world.replica(name)));
  for (const replica of replicas) {
    await replica.gate.beat();
    await replica.cache.start();
  }
  return replicas as { [K in keyof N]: Replica };
}

/** The gate has been closed for long, and both know it; only `reaches` has Redis. */
async function closedLongAgo(world: World) {
  const [reaches] = await ready(world, 'c');
  const cut = await world.replica('cut', false);
  await sql`update write_gate set open = false`.execute(world.admin);
  await Promise.all([cut.gate.beat(), reaches.gate.beat()]);
  world.skip(4_000);
  return { reaches, cut };
}

/** COMMIT of a write takes a second while `work` runs. */
async function withSlowCommits(world: World, work: () => Promise<unknown>): Promise<void> {
  await sql`
    create or replace function slow_commit() returns trigger language plpgsql as
    $$ begin perform pg_sleep(1); return null; end $$`.execute(world.admin);
  await sql`
    create constraint trigger slow_commit after update on kv deferrable initially deferred
    for each row execute function slow_commit()`.execute(world.admin);
  try {
    await work();
  } finally {
    await sql`drop trigger slow_commit on kv`.execute(world.admin);
  }
}

const settled = (...replicas: Replica[]) => Promise.all(replicas.map((replica) => replica.settled()));

/** Four reads, each with time for its fill, and for what else happens meanwhile. */
async function keepReading(reader: Replica, pause: number, ...others: Replica[]): Promise<void> {
  for (let n = 0; n < 4; n++) {
    await reader.read();
    await settled(reader, ...others);
    await sleep(pause);
  }
}

export const schedules: Readonly<Record<string, (world: World) => Promise<unknown>>> = {
  async 'a write, after which everyone reads'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    await world.warm(a);
    await b.write('second');
    await a.read();
    await b.read();
  },

  async 'a value that was selected before a write is stored after it'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const selected = stop();
    const reading = a.read(selected.step);
    await selected.arrived;
    await b.write('second');
    await settled(b);
    selected.go();
    await reading;
    await settled(a);
    await a.read();
    await b.read();
  },

  async 'a reader comes between the announcement and the statement, for longer than any timer waits'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const announced = stop();
    const writing = a.write('second', { afterBegin: announced.step });
    await announced.arrived;
    await keepReading(b, 150, a);
    announced.go();
    await writing;
    await b.read();
    await a.read();
  },

  async 'a lease is used after somebody else has read the new value'(world) {
    const [a, b, c] = await ready(world, 'a', 'b', 'c');
    const [selected, begin] = [stop(), stop()];
    const leaseholder = a.read(selected.step);
    await selected.arrived;
    const writing = b.write('second', { beforeBegin: begin.step });
    await begin.arrived;
    await c.read();
    selected.go();
    await leaseholder;
    await settled(a);
    await c.read();
    begin.go();
    await writing;
    await c.read();
  },

  async 'Redis loses its memory between the announcement and the statement'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const announced = stop();
    const writing = a.write('second', { afterBegin: announced.step });
    await announced.arrived;
    await world.flush();
    await keepReading(b, 100);
    announced.go();
    await writing;
    await b.read();
    await a.read();
  },

  async 'Redis loses its memory while somebody is about to open it'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const [opening, announced] = [stop(), stop()];
    await world.flush();
    b.steps.open = opening.step;
    await b.read(); // finds it closed
    await opening.arrived;
    b.steps.open = undefined;
    await a.gate.beat(); // it announces under the epoch that is being opened
    const writing = a.write('second', { afterBegin: announced.step });
    await announced.arrived;
    await world.flush();
    opening.go();
    await sleep(100);
    await keepReading(b, 100);
    announced.go();
    await writing;
    await b.read();
  },

  async 'Redis loses its memory, and opens, while a write is announced'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const announced = stop();
    const writing = a.write('second', { afterBegin: announced.step });
    await announced.arrived;
    await settled(a);
    await world.flush();
    await world.warm(b);
    announced.go();
    await writing;
    await b.read();
  },

  async 'Redis loses its memory while a statement runs'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    await withSlowCommits(world, async () => {
      const writing = a.write('second');
      await sleep(300);
      await world.flush();
      await keepReading(b, 100, a);
      await writing;
      await b.read();
    });
  },

  async 'two open the cache at once'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const opening = stop();
    await world.flush();
    a.steps.open = opening.step;
    await a.read(); // finds it closed
    await opening.arrived;
    a.steps.open = undefined;
    await b.gate.beat();
    for (let n = 0; n < 8; n++) {
      await b.read();
      await sleep(50);
    }
    opening.go();
    await sleep(50);
    for (let n = 0; n < 3; n++) {
      await a.read();
      await settled(a);
    }
    await b.write('second');
    await a.read();
  },

  async 'a writer is told that nothing happened while an attempt of the same write hangs elsewhere'(world) {
    const [a] = await ready(world, 'a');
    const cut = await world.replica('cut', false);
    await a.gate.beat();
    const announced = stop();
    const name = 'attempt:twice';
    const hanging = a.write('second', { name, again: true, afterBegin: announced.step });
    await announced.arrived;
    await cut.gate.beat();
    await cut.write('second', { name });
    announced.go();
    await hanging;
    await cut.read();
    await a.read();
  },

  async 'a reader asks while an older load of its own replica runs'(world) {
    const [a, b, c] = await ready(world, 'a', 'b', 'c');
    const [pending, selected] = [stop(), stop()];
    // So that readers go past the cache, and share their loads.
    const other = c.write('elsewhere', { elsewhere: true, afterBegin: pending.step });
    await pending.arrived;
    const first = a.read(selected.step);
    await selected.arrived;
    await b.write('second');
    const second = a.read();
    await sleep(50);
    selected.go();
    await Promise.all([first, second]);
    pending.go();
    await other;
  },

  async 'Redis comes back with an old dump'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    await world.warm(a);
    const dump = await world.save();
    await b.write('second');
    await world.restartRedis(dump);
    await until('connections', () => a.redis.status === 'ready' && b.redis.status === 'ready');
    await sleep(100);
    for (let n = 0; n < 3; n++) {
      await a.read();
      await b.read();
    }
  },

  async 'COMMIT takes long'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    await withSlowCommits(world, async () => {
      const writing = a.write('second');
      await sleep(100);
      await keepReading(b, 100, a);
      await writing;
      await b.read();
    });
  },

  async 'COMMIT goes on in PostgreSQL after its connection was lost'(world) {
    const [a, b] = await ready(world, 'a', 'b');
    const bypass = await world.replica('bypass', false);
    await withSlowCommits(world, async () => {
      const writing = a.write('second');
      await sleep(300);
      a.loseConnections();
      await writing;
      await sleep(50);
      await keepReading(b, 50, a);
      await until('COMMIT', async () => (await bypass.read()).value === 'second');
      await b.read();
    });
  },

  async 'a write passes the closed gate while a paused replica holds a permit'(world) {
    const [a] = await ready(world, 'a');
    const cut = await world.replica('cut', false);
    await world.warm(a);
    await world.forgetPeers();
    await world.whileTimePasses(cut.write('second'));
    await a.read();
  },

  async 'a write passes the closed gate while the answer that gives a permit is under way'(world) {
    const [a] = await ready(world, 'a');
    const cut = await world.replica('cut', false);
    await world.warm(a);
    const answered = stop();
    a.steps.control = answered.step;
    const beating = a.gate.beat();
    await answered.arrived;
    a.steps.control = undefined;
    await world.forgetPeers();
    await world.whileTimePasses(cut.write('second'));
    answered.go();
    await beating;
    await a.read();
  },

  async 'the gate is opened again while a paused replica holds a permit of its last epoch'(world) {
    const [a, c] = await ready(world, 'a', 'c');
    const cut = await world.replica('cut', false);
    await world.warm(a);
    await world.forgetPeers();
    await sql`update write_gate set open = false`.execute(world.admin);
    await cut.gate.beat();
    await c.gate.beat();
    await sleep(300); // time to open it
    await world.whileTimePasses(c.write('second'));
    await a.read();
  },

  async 'the gate is opened again before a write that it would let pass is sent'(world) {
    const { reaches: c, cut } = await closedLongAgo(world);
    const begun = stop();
    const writing = cut.write('second', { afterPass: begun.step });
    await begun.arrived;
    await c.gate.beat();
    await world.warm(c);
    begun.go();
    await writing;
    await c.read();
  },

  async 'the gate is opened again while a write that it let pass has not committed'(world) {
    const { reaches: c, cut } = await closedLongAgo(world);
    await withSlowCommits(world, async () => {
      const writing = cut.write('second');
      await sleep(300);
      await c.gate.beat();
      await keepReading(c, 100);
      await writing;
      await c.read();
    });
  },
};

/** How long a schedule may take: a broken variant may wait for ever. */
const LIMIT_MS = 15_000;

export async function runSchedule(world: World, name: string) {
  const schedule = schedules[name];
  if (!schedule) throw new Error(`no schedule "${name}"`);
  const late = sleep(LIMIT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`"${name}" did not end in ${LIMIT_MS / 1000} s`);
  });
  return Promise.race([world.judge(() => schedule(world)), late]);
}
