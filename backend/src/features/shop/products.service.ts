import { collectionTags, fieldOf } from '../../platform/cache/tags.ts';
import type { Deps } from '../../platform/deps.ts';
import { conflicts } from '../../platform/http/errors.ts';
import { page } from '../../platform/http/paging.ts';
import { findProduct, listProducts } from './products.repository.ts';
import type { ProductQuery } from './products.schemas.ts';

export const tags = collectionTags('products');
export const inUse = conflicts({ order_items_product_id_fkey: 'the product is in a cart or an order' });

export function readProducts({ db, cache }: Deps, query: ProductQuery) {
  const load = async () => page(await listProducts(db, query), query.limit, (row) => [row.id]);
  return cache.read(tags.lists, load, fieldOf(query));
}

/** `value` is undefined when there is no such product, which is not cached: a create does not know its id beforehand. */
export function readProduct({ db, cache }: Deps, id: number) {
  return cache.read(tags.one(id), () => findProduct(db, id));
}
