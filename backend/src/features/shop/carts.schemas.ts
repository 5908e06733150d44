import type { Selectable } from 'kysely';
import type { OrderItemsTable } from '../../platform/database/schema.ts';
import { email, Joi, rowId, timestamp, uuid } from '../../platform/http/joi.ts';

export interface NewItem {
  product_id: number;
  quantity: number;
}
export interface Customer {
  name: string;
  email: string;
  address: string;
  city?: string;
  postal_code?: string;
  country?: string;
}
export type CartItem = Omit<Selectable<OrderItemsTable>, 'version' | 'order_id' | 'created_at' | 'updated_at'>;

/** Cents; the same for every order. */
export const SHIPPING = 500;
/** Lines of a cart: its answer must not grow without end. */
export const MAX_LINES = 1_000;
const MAX_QUANTITY = 1_000;

const cents = () => Joi.number().integer().min(0).required().description('Cents');
const text = (max: number) => Joi.string().trimmed().characters(1, max);

const quantity = Joi.number().integer().min(1).max(MAX_QUANTITY).required().example(2);
const id = uuid().required();

export const cartParams = Joi.object<{ id: string }, true>({ id });
export const itemParams = Joi.object<{ id: string; item_id: number }, true>({ id, item_id: rowId().required() });
export const newItem = Joi.object<NewItem, true>({ product_id: rowId().required(), quantity });
export const quantityChange = Joi.object<{ quantity: number }, true>({ quantity });

const customerFields = {
  name: text(200).required().example('Ana Souza'),
  email: email().required(),
  address: text(500).required().example('Rua das Flores, 12'),
  city: text(200).example('Recife'),
  postal_code: text(20).example('50030-230'),
  country: text(100).example('Brasil'),
};
/** No card data: a field that is not listed is refused. */
export const customer = Joi.object<Customer, true>(customerFields);

export const cartItem = Joi.object<CartItem, true>({
  id: rowId().required(),
  product_id: rowId().required(),
  name: Joi.string().required().example('Typewriter'),
  unit_price: cents().description('Cents: what the product cost when it was added').example(6_799),
  quantity,
});

const sums = {
  items: Joi.array().items(cartItem).required(),
  subtotal: cents().example(13_598),
  shipping: cents().description('Cents, the same for every order').example(SHIPPING),
  total: cents().example(13_598 + SHIPPING),
  created_at: timestamp().required(),
};

export const cart = Joi.object({
  id,
  is_open: Joi.boolean().required().description('false: checked out, see /orders/{id}'),
  ...sums,
});

export const order = Joi.object({
  id,
  order_number: Joi.number().integer().required().example(100_001),
  ...customerFields,
  city: customerFields.city.allow(null).required(),
  postal_code: customerFields.postal_code.allow(null).required(),
  country: customerFields.country.allow(null).required(),
  ...sums,
  closed_at: timestamp().required(),
});
