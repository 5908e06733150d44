import type { Precondition } from '../../platform/database/precondition.ts';
import type { Deps } from '../../platform/deps.ts';
import { preconditionFailed } from '../../platform/http/conditional.ts';
import { deletePair, findPair, putPair } from './kv.repository.ts';
import type { Pair } from './kv.schemas.ts';

const cacheKey = (key: string) => `kv:${key}`;

/** Reads a pair through the cache; `value` is null when there is none, which is cached too. */
export function readPair({ db, cache }: Deps, key: string) {
  return cache.read(cacheKey(key), async () => (await findPair(db, key)) ?? null);
}

/** @returns the new version. @throws HttpError 412 */
export function writePair({ db, cache }: Deps, pair: Pair, precondition: Precondition): Promise<number> {
  return cache.write(db, async (trx) => {
    const version = await putPair(trx, pair, precondition);
    if (version === undefined) throw preconditionFailed();
    return { result: version, changed: [cacheKey(pair.key)] };
  });
}

/** @returns whether there was one. @throws HttpError 412 */
export function removePair({ db, cache }: Deps, key: string, precondition: Precondition): Promise<boolean> {
  return cache.write(db, async (trx) => {
    const deleted = await deletePair(trx, key, precondition);
    if (!deleted && precondition !== undefined) throw preconditionFailed();
    return { result: deleted, changed: deleted ? [cacheKey(key)] : [] };
  });
}
