import type { RedisClient } from './redis.ts';

/**
 * Three keys a tag: `v` the cached answers, `l` the leases (who may fill them), `w` the writes that are under way. The first
 * two are hashes, because a tag may have many answers: each page of a list is a field of its own.
 * Each script runs in Redis as one step, so no other command can come between its lines.
 */
const SCRIPTS = {
  // -> ["HIT", payload] | ["LEASE"] (load, then fill) | ["BYPASS"] (load, do not fill)
  cacheRead: `
    local value = redis.call('HGET', KEYS[1], ARGV[1])
    if value then return {'HIT', value} end
    if redis.call('EXISTS', KEYS[3]) == 1 then return {'BYPASS'} end
    if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return {'BYPASS'} end
    redis.call('PEXPIRE', KEYS[2], ARGV[3], 'NX')
    return {'LEASE'}`,
  // A write that began meanwhile has taken the lease away, and the value is not stored.
  cacheFill: `
    if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('HDEL', KEYS[2], ARGV[1])
    if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then redis.call('UNLINK', KEYS[1]) end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[4], 'NX')
    return 1`,
  // All tags of a write at once: a reader must not find one of them changed and another not.
  cacheBegin: `
    for i = 1, #KEYS, 3 do
      redis.call('UNLINK', KEYS[i], KEYS[i + 1])
      redis.call('SADD', KEYS[i + 2], ARGV[1])
      redis.call('PEXPIRE', KEYS[i + 2], ARGV[2])
    end
    return 1`,
} as const;

export type ScriptedRedis = RedisClient & {
  cacheRead(
    v: string,
    l: string,
    w: string,
    field: string,
    token: string,
    leaseMs: number,
  ): Promise<['HIT', string] | ['LEASE'] | ['BYPASS']>;
  cacheFill(
    v: string,
    l: string,
    field: string,
    token: string,
    payload: string,
    ttlMs: number,
    maxFields: number,
  ): Promise<0 | 1>;
  /** @param keysAndArguments v, l and w of each tag, then token and markerMs */
  cacheBegin(numberOfKeys: number, ...keysAndArguments: (string | number)[]): Promise<1>;
};

export function withScripts(redis: RedisClient): ScriptedRedis {
  redis.defineCommand('cacheRead', { numberOfKeys: 3, lua: SCRIPTS.cacheRead });
  redis.defineCommand('cacheFill', { numberOfKeys: 2, lua: SCRIPTS.cacheFill });
  redis.defineCommand('cacheBegin', { lua: SCRIPTS.cacheBegin });
  return redis as ScriptedRedis;
}
