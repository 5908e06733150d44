import type { Deps } from '../../platform/deps.ts';
import { findPair } from './kv.repository.ts';

const tag = (key: string) => `kv:${key}`;
/** The tags of the answers that a write of this pair changes. */
export const written = (key: string) => [tag(key)];

/** Reads a pair through the cache; `value` is null when there is none, which is cached too: whoever makes it names it. */
export function readPair({ db, cache }: Deps, key: string) {
  return cache.read(tag(key), async () => (await findPair(db, key)) ?? null);
}
