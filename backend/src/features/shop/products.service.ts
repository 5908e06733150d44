import { collectionTags, fieldOf } from '../../platform/cache/tags.ts';
import type { Precondition } from '../../platform/database/precondition.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { Deps } from '../../platform/deps.ts';
import { notWritten } from '../../platform/http/conditional.ts';
import { conflicts } from '../../platform/http/errors.ts';
import { page } from '../../platform/http/paging.ts';
import { deleteProduct, findProduct, listProducts, updateProduct } from './products.repository.ts';
import type { ProductChanges, ProductQuery } from './products.schemas.ts';

export const tags = collectionTags('products');
const inUse = conflicts({ order_items_product_id_fkey: 'the product is in a cart or an order' });

export function readProducts({ db, cache }: Deps, query: ProductQuery) {
  const load = async () => page(await listProducts(db, query), query.limit, (row) => [row.id]);
  return cache.read(tags.lists, load, fieldOf(query));
}

/** `value` is null when there is no such product, which is cached too. */
export function readProduct({ db, cache }: Deps, id: number) {
  return cache.read(tags.one(id), async () => (await findProduct(db, id)) ?? null);
}

/** @throws HttpError 404 or 412 */
export async function changeProduct(
  trx: WriteTransaction,
  id: number,
  changes: ProductChanges,
  precondition: Precondition,
) {
  const updated = await updateProduct(trx, id, changes, precondition);
  if (!updated) throw await notWritten('product', precondition, () => findProduct(trx, id));
  return updated;
}

/** @throws HttpError 404, 409 (it is in a cart or an order) or 412 */
export async function removeProduct(trx: WriteTransaction, id: number, precondition: Precondition) {
  const deleted = await deleteProduct(trx, id, precondition).catch(inUse);
  if (!deleted) throw await notWritten('product', precondition, () => findProduct(trx, id));
  return deleted;
}
