import type { Precondition } from '../../platform/database/precondition.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { Deps } from '../../platform/deps.ts';
import { preconditionFailed } from '../../platform/http/conditional.ts';
import { deletePair, findPair, putPair } from './kv.repository.ts';
import type { Pair } from './kv.schemas.ts';

const tag = (key: string) => `kv:${key}`;
/** The tags of the answers that a write of this pair changes. */
export const written = (key: string) => [tag(key)];

/** Reads a pair through the cache; `value` is null when there is none, which is cached too. */
export function readPair({ db, cache }: Deps, key: string) {
  return cache.read(tag(key), async () => (await findPair(db, key)) ?? null);
}

/** @returns the new version. @throws HttpError 412 */
export async function writePair(trx: WriteTransaction, pair: Pair, precondition: Precondition): Promise<number> {
  const row = await putPair(trx, pair, precondition);
  if (!row) throw preconditionFailed();
  return row.version;
}

/** @returns whether there was one. @throws HttpError 412 */
export async function removePair(trx: WriteTransaction, key: string, precondition: Precondition): Promise<boolean> {
  const row = await deletePair(trx, key, precondition);
  if (!row && precondition !== undefined) throw preconditionFailed();
  return row !== undefined;
}
