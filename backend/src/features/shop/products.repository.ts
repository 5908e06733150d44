import { type Kysely, sql } from 'kysely';
import { nextVersion, type Precondition, versionIs, versionsOf } from '../../platform/database/precondition.ts';
import { prepared } from '../../platform/database/prepared.ts';
import type { Database } from '../../platform/database/schema.ts';
import { preparedWrite } from '../../platform/database/write-outcomes.ts';
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

export const findProduct = (db: Kysely<Database>, id: number) => byId.executeTakeFirst(db, { id });

export const insertProduct = preparedWrite((db, product: NewProduct) =>
  db.insertInto('products').values(product).returning(WITH_VERSION),
);

const update = preparedWrite(
  (db, { id, versions, ...changes }: ProductChanges & { id: number; versions: readonly string[] | undefined }) =>
    db
      .updateTable('products')
      .set({ ...changes, updated_at: sql`now()`, version: nextVersion })
      .where('id', '=', id)
      .where(versionIs(versions))
      .returning(WITH_VERSION),
);

/** Changes no row when there is none in a version that the precondition allows; the same holds for deleteProduct. */
export const updateProduct = (id: number, changes: ProductChanges, precondition: Precondition) =>
  update({ ...changes, id, versions: versionsOf(precondition) });

const remove = preparedWrite((db, { id, versions }: { id: number; versions: readonly string[] | undefined }) =>
  db.deleteFrom('products').where('id', '=', id).where(versionIs(versions)).returning('id'),
);

export const deleteProduct = (id: number, precondition: Precondition) =>
  remove({ id, versions: versionsOf(precondition) });
