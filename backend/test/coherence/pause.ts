/**
 * Loaded into a replica before its program: now and then it stops where a process could be paused for long. CACHE_TEST_PAUSE is
 * a list of point:milliseconds:share. Points: "begin", between the answer to an announcement and the statement; "load", between
 * a value that was loaded and its way into the cache; "take", "look" and "open", of an opener: after it has begun, after each
 * look at what runs, and before it opens. "begin:stop" and "send:stop" (right before the statement) stop the whole process once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';

const pauses = (process.env.CACHE_TEST_PAUSE ?? '').split(',').map((each) => {
  const [point, ms, share] = each.split(':');
  return { point, ms: Number(ms), share: Number(share ?? 1), stop: ms === 'stop' };
});

function stop(point: string): void {
  const at = pauses.find((each) => each.stop && each.point === point);
  if (!at) return;
  at.stop = false;
  process.kill(process.pid, 'SIGSTOP');
}

async function pause(point: string): Promise<void> {
  stop(point);
  for (const each of pauses) {
    if (each.point === point && Math.random() < each.share) await sleep(each.ms * Math.random());
  }
}

/** Commands, and the points before and after them. */
const BEFORE: Readonly<Record<string, string>> = { cacheFill: 'load', cacheOpen: 'open' };
const AFTER: Readonly<Record<string, string>> = { cacheBegin: 'begin', cacheTake: 'take' };

type Send = (...args: unknown[]) => Promise<unknown>;
const define = Redis.prototype.defineCommand;
Redis.prototype.defineCommand = function (this: Redis, name, definition) {
  define.call(this, name, definition);
  const client = this as unknown as Record<string, Send>;
  const send = client[name]?.bind(this) as Send;
  const [before, after] = [BEFORE[name], AFTER[name]];
  if (!before && !after) return;
  client[name] = async (...args) => {
    if (before) await pause(before);
    const reply = await send(...args);
    if (after) await pause(after);
    return reply;
  };
};
const expire = Redis.prototype.pexpire;
Redis.prototype.pexpire = async function (this: Redis, ...args: unknown[]) {
  const reply = await (expire as Send).apply(this, args);
  await pause('look');
  return reply;
} as typeof expire;

const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
  if (/^with .*write_outcomes/s.test((args[0] as { text?: string }).text ?? '')) stop('send');
  return query.apply(this, args);
} as typeof pg.Client.prototype.query;
