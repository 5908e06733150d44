import { type Kysely, sql } from 'kysely';
import { jsonArrayFrom } from 'kysely/helpers/postgres';
import { nextVersion, type Precondition, versionIs, versionsOf } from '../../platform/database/precondition.ts';
import type { Database } from '../../platform/database/schema.ts';
import { preparedWrite } from '../../platform/database/write-outcomes.ts';
import type { WriteTransaction } from '../../platform/database/write-transaction.ts';
import { type Customer, MAX_LINES, type NewItem, SHIPPING } from './carts.schemas.ts';

const ITEM = ['id', 'product_id', 'name', 'unit_price', 'quantity', 'version'] as const;
const CUSTOMER = ['name', 'email', 'address', 'city', 'postal_code', 'country'] as const;
const ORDER = [
  'id',
  'is_open',
  'order_number',
  ...CUSTOMER,
  'subtotal',
  'shipping',
  'total',
  'created_at',
  'closed_at',
  'version',
] as const;

/** An order, open or not, with its items. */
export type Order = NonNullable<Awaited<ReturnType<typeof findOrder>>>;

export const insertCart = preparedWrite((db, _none: object) =>
  db.insertInto('orders').defaultValues().returning(ORDER),
);

/** In one statement, so that order and items are of one moment. */
export function findOrder(db: Kysely<Database>, id: string) {
  return db
    .selectFrom('orders')
    .select(ORDER)
    .select((eb) =>
      jsonArrayFrom(eb.selectFrom('order_items').select(ITEM).where('order_id', '=', id).orderBy('id')).as('items'),
    )
    .where('id', '=', id)
    .executeTakeFirst();
}

/**
 * The cart, if it is open, kept so until the statement is committed: changes of its items share the lock, a checkout
 * waits for them. Without it an item could be added behind the sum that the checkout freezes.
 */
const openCart = (db: Kysely<Database>, id: string) =>
  db.with('cart', (cte) =>
    cte.selectFrom('orders').select('id').where('id', '=', id).where('is_open', '=', true).forShare(),
  );

/**
 * Exactly one INSERT into order_items, and none that fails: what cannot be inserted is not tried, because PostgreSQL
 * counts attempts too (n_tup_ins). Name and price are the product's at this moment.
 * Changes no row when there is no such cart or product, the cart is closed, or it is full. Additions that run side by side
 *   may pass MAX_LINES by as many as they are: it guards memory, not money.
 */
export const insertCartItem = preparedWrite((db, { cartId, product_id, quantity }: NewItem & { cartId: string }) =>
  openCart(db, cartId)
    .insertInto('order_items')
    .columns(['order_id', 'product_id', 'name', 'unit_price', 'quantity'])
    .expression((eb) =>
      eb
        .selectFrom(['cart', 'products'])
        .select(['cart.id', 'products.id as product_id', 'products.name', 'products.price'])
        .select(sql<number>`${quantity}::integer`.as('quantity'))
        .where('products.id', '=', product_id)
        .where(
          ({ selectFrom }) =>
            selectFrom(
              selectFrom('order_items').select('id').where('order_id', '=', cartId).limit(MAX_LINES).as('lines'),
            ).select(({ fn }) => fn.countAll<number>().as('count')),
          '<',
          MAX_LINES,
        )
        .forKeyShare('products'),
    )
    .returning(ITEM),
);

interface Line {
  readonly cartId: string;
  readonly id: number;
  readonly versions: readonly string[] | undefined;
}

const update = preparedWrite((db, { cartId, id, versions, quantity }: Line & { quantity: number }) =>
  openCart(db, cartId)
    .updateTable('order_items')
    .set({ quantity, updated_at: sql`now()`, version: nextVersion })
    .where('id', '=', id)
    .where('order_id', '=', ({ selectFrom }) => selectFrom('cart').select('cart.id'))
    .where(versionIs(versions))
    .returning(ITEM),
);

/** Changes no row when the cart is not open or has no such item in a version that the precondition allows. */
export const updateCartItem = (cartId: string, id: number, quantity: number, precondition: Precondition) =>
  update({ cartId, id, quantity, versions: versionsOf(precondition) });

const remove = preparedWrite((db, { cartId, id, versions }: Line) =>
  openCart(db, cartId)
    .deleteFrom('order_items')
    .where('id', '=', id)
    .where('order_id', '=', ({ selectFrom }) => selectFrom('cart').select('cart.id'))
    .where(versionIs(versions))
    .returning('id'),
);

/** As for updateCartItem. */
export const deleteCartItem = (cartId: string, id: number, precondition: Precondition) =>
  remove({ cartId, id, versions: versionsOf(precondition) });

/** Waits for every change of its items that is under way, and keeps new ones waiting. */
export function lockCart(trx: WriteTransaction, id: string) {
  return trx.selectFrom('orders').select('is_open').where('id', '=', id).forNoKeyUpdate().executeTakeFirst();
}

/**
 * Freezes a locked cart as an order, in one UPDATE. It must be a statement of its own after lockCart: one that had to wait for
 * the lock itself would sum up the items as they were before it waited.
 * @returns false when the cart is empty
 */
export async function closeCart(trx: WriteTransaction, id: string, customer: Customer): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('orders')
    .from((eb) =>
      eb
        .selectFrom('order_items')
        .select(sql<number>`sum(unit_price * quantity)::bigint`.as('subtotal'))
        .where('order_id', '=', id)
        .having(({ fn }) => fn.countAll(), '>', 0)
        .as('sums'),
    )
    .set((eb) => ({
      ...customer,
      is_open: false,
      order_number: sql`nextval('order_number')`,
      subtotal: eb.ref('sums.subtotal'),
      shipping: SHIPPING,
      total: eb('sums.subtotal', '+', SHIPPING),
      closed_at: sql`now()`,
      version: nextVersion,
    }))
    .where('orders.id', '=', id)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/** Milliseconds: when there are too many to count in that time, the count is not worth what it takes from the others. */
const COUNT_TIMEOUT = '500';

/**
 * Open carts that were made, or to which something was added or changed, in the last 30 minutes. New ones count without a
 * look at their items, of which there are many; the others are found by their items, because most of them are abandoned.
 */
export function countActiveCarts(db: Kysely<Database>): Promise<number> {
  const recent = sql<string>`now() - interval '30 minutes'`;
  return db.transaction().execute(async (trx) => {
    await sql`select set_config('statement_timeout', ${COUNT_TIMEOUT}, true)`.execute(trx);
    const open = trx
      .selectFrom('orders')
      .where('is_open', '=', true)
      .select(({ fn }) => fn.countAll<number>().as('count'));
    const made = await open.where('created_at', '>', recent).executeTakeFirstOrThrow();
    const touched = await open
      .where('created_at', '<=', recent)
      .where('id', 'in', ({ selectFrom }) =>
        selectFrom('order_items').select('order_id').where('updated_at', '>', recent),
      )
      .executeTakeFirstOrThrow();
    return made.count + touched.count;
  });
}
