import type { RedisClient } from './redis.ts';

/**
 * Three keys an entry: `v` the cached answer, `l` a lease (who may fill it), `w` the writes that are under way.
 * Each script runs in Redis as one step, so no other command can come between its lines.
 */
const SCRIPTS = {
  // -> ["HIT", payload] | ["LEASE"] (load, then fill) | ["BYPASS"] (load, do not fill)
  cacheRead: `
    local value = redis.call('GET', KEYS[1])
    if value then return {'HIT', value} end
    if redis.call('EXISTS', KEYS[3]) == 1 then return {'BYPASS'} end
    if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'LEASE'} end
    return {'BYPASS'}`,
  // A write that began meanwhile has taken the lease away, and the value is not stored.
  cacheFill: `
    if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
    redis.call('DEL', KEYS[2])
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1`,
  cacheBegin: `
    redis.call('UNLINK', KEYS[1], KEYS[2])
    redis.call('SADD', KEYS[3], ARGV[1])
    redis.call('PEXPIRE', KEYS[3], ARGV[2])
    return 1`,
} as const;

export type ScriptedRedis = RedisClient & {
  cacheRead(
    v: string,
    l: string,
    w: string,
    token: string,
    leaseMs: number,
  ): Promise<['HIT', string] | ['LEASE'] | ['BYPASS']>;
  cacheFill(v: string, l: string, token: string, payload: string, ttlMs: number): Promise<0 | 1>;
  cacheBegin(v: string, l: string, w: string, token: string, markerMs: number): Promise<1>;
};

export function withScripts(redis: RedisClient): ScriptedRedis {
  redis.defineCommand('cacheRead', { numberOfKeys: 3, lua: SCRIPTS.cacheRead });
  redis.defineCommand('cacheFill', { numberOfKeys: 2, lua: SCRIPTS.cacheFill });
  redis.defineCommand('cacheBegin', { numberOfKeys: 3, lua: SCRIPTS.cacheBegin });
  return redis as ScriptedRedis;
}
