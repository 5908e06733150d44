import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionMatches } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import type { NewProduct, ProductChanges, ProductQuery } from './products.schemas.ts';

const COLUMNS = ['id', 'name', 'description', 'price', 'created_at', 'updated_at'] as const;
const WITH_VERSION = [...COLUMNS, 'version'] as const;

export function listProducts(db: Kysely<Database>, { limit, cursor }: ProductQuery) {
  let query = db
    .selectFrom('products')
    .select(COLUMNS)
    .orderBy('id')
    .limit(limit + 1);
  if (cursor) query = query.where('id', '>', cursor[0]);
  return query.execute();
}

const byId = prepared((db, { id }: { id: number }) =>
  db.selectFrom('products').select(WITH_VERSION).where('id', '=', id),
);
const insert = prepared((db, product: NewProduct) => db.insertInto('products').values(product).returning(WITH_VERSION));

export const findProduct = (db: Kysely<Database>, id: number) => byId.executeTakeFirst(db, { id });
export const insertProduct = (trx: WriteTransaction, product: NewProduct) =>
  insert.executeTakeFirstOrThrow(trx, product);

/** @returns undefined when there is no such product in a version that the precondition allows */
export function updateProduct(trx: WriteTransaction, id: number, changes: ProductChanges, precondition: Precondition) {
  return trx
    .updateTable('products')
    .set({ ...changes, updated_at: sql`now()`, version: nextVersion })
    .where('id', '=', id)
    .where(versionMatches(precondition))
    .returning(WITH_VERSION)
    .executeTakeFirst();
}

/** @returns undefined as for updateProduct */
export function deleteProduct(trx: WriteTransaction, id: number, precondition: Precondition) {
  return trx
    .deleteFrom('products')
    .where('id', '=', id)
    .where(versionMatches(precondition))
    .returning('id')
    .executeTakeFirst();
}
