/**
 * Loaded into a replica before its program: now and then it stops where a process could be paused for long. CACHE_TEST_PAUSE is
 * a list of point:milliseconds:share. Points: "begin", between the answer to an announcement and COMMIT; "load", between a
 * value that was loaded and its way into the cache.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const pauses = (process.env.CACHE_TEST_PAUSE ?? '').split(',').map((each) => {
  const [point, ms, share] = each.split(':');
  return { point, ms: Number(ms), share: Number(share ?? 1) };
});

async function pause(point: string): Promise<void> {
  for (const each of pauses) {
    if (each.point === point && Math.random() < each.share) await sleep(each.ms * Math.random());
  }
}

type Send = (...args: unknown[]) => Promise<unknown>;
const define = Redis.prototype.defineCommand;
Redis.prototype.defineCommand = function (this: Redis, name, definition) {
  define.call(this, name, definition);
  const client = this as unknown as Record<string, Send>;
  const send = client[name]?.bind(this) as Send;
  if (name === 'cacheBegin') {
    client[name] = async (...args) => {
      const reply = await send(...args);
      await pause('begin');
      return reply;
    };
  }
  if (name === 'cacheFill') {
    client[name] = async (...args) => {
      await pause('load');
      return send(...args);
    };
  }
};
