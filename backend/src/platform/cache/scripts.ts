import type { RedisClient } from './redis.ts';

/**
 * The keys, all in a namespace that changes with the Redis process and with the epoch of the gate (coherent-cache.ts):
 *   v:<tag>  hash, field -> payload   the cached answers of a tag; expire
 *   l:<tag>  hash, field -> token     the leases: who may fill which field; expire
 *   w:<tag>  set of names             the markers: writes that may happen and are not known to be settled. Never expire: a marker
 *                                     that ends before its write lets a reader store what that is about to change
 *   open     string                   every write that was not announced in this memory is over; never expires
 *   opening  string                   somebody finds out whether that is so, since this memory was new
 * Each script runs in Redis as one step, so no other command can come between its lines.
 */
const SCRIPTS = {
  // -> HIT payload | CLOSED | PENDING token... (some of them: Lua cannot return 8,000) | BUSY | LEASE (load, then fill); all but HIT and LEASE: load, do not fill
  cacheRead: `
    local value = redis.call('HGET', KEYS[1], ARGV[1])
    if value then return {'HIT', value} end
    if redis.call('EXISTS', KEYS[4]) == 0 then return {'CLOSED'} end
    local pending = redis.call('SRANDMEMBER', KEYS[3], 100)
    if #pending > 0 then return {'PENDING', unpack(pending)} end
    if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return {'BUSY'} end
    redis.call('PEXPIRE', KEYS[2], ARGV[3], 'NX')
    return {'LEASE'}`,
  // A write that has begun meanwhile has taken the lease away, and the value is not stored.
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
    end
    return 1`,
  // The opening of a new epoch begins, unless the old one is open, or another is at it. -> whether it may
  cacheTake: `
    if ARGV[1] == 'open' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
    if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
    redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
    return 1`,
  // Only in the memory in which the opening began.
  cacheOpen: `
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    redis.call('SET', KEYS[2], '1')
    redis.call('DEL', KEYS[1])
    return 1`,
} as const;

/** @param ns the namespace: part of each key's name */
export const keysOf = (ns: string, tag: string) => [`${ns}v:${tag}`, `${ns}l:${tag}`, `${ns}w:${tag}`] as const;
export const openKey = (ns: string) => `${ns}open`;
export const openingKey = (ns: string) => `${ns}opening`;

export type ReadReply = ['HIT', string] | ['PENDING', ...string[]] | ['CLOSED' | 'BUSY' | 'LEASE'];

export type ScriptedRedis = RedisClient & {
  cacheRead(
    v: string,
    l: string,
    w: string,
    open: string,
    field: string,
    token: string,
    leaseMs: number,
  ): Promise<ReadReply>;
  cacheFill(
    v: string,
    l: string,
    field: string,
    token: string,
    payload: string,
    ttlMs: number,
    maxFields: number,
  ): Promise<0 | 1>;
  /** @param keysAndToken v, l and w of each tag, then the name of the write */
  cacheBegin(numberOfKeys: number, ...keysAndToken: string[]): Promise<1>;
  cacheTake(open: string, opening: string, next: string, gate: 'open' | 'closed', ms: number): Promise<0 | 1>;
  cacheOpen(opening: string, open: string): Promise<0 | 1>;
};

export function withScripts(redis: RedisClient): ScriptedRedis {
  redis.defineCommand('cacheRead', { numberOfKeys: 4, lua: SCRIPTS.cacheRead });
  redis.defineCommand('cacheFill', { numberOfKeys: 2, lua: SCRIPTS.cacheFill });
  redis.defineCommand('cacheBegin', { lua: SCRIPTS.cacheBegin });
  redis.defineCommand('cacheTake', { numberOfKeys: 3, lua: SCRIPTS.cacheTake });
  redis.defineCommand('cacheOpen', { numberOfKeys: 2, lua: SCRIPTS.cacheOpen });
  return redis as ScriptedRedis;
}
