import type { Selectable } from 'kysely';
import type { ProductsTable } from '../../platform/database/schema.ts';
import { Joi, rowId, timestamp } from '../../platform/http/joi.ts';
import { pageQuery } from '../../platform/http/paging.ts';

export type Product = Omit<Selectable<ProductsTable>, 'version'>;

export interface NewProduct {
  name: string;
  description?: string | null;
  price: number;
}
export type ProductChanges = Partial<NewProduct>;

export interface ProductQuery {
  limit: number;
  /** The id of the product before the page. */
  cursor?: [id: number];
}

const id = rowId().required();
const name = Joi.string().trimmed().characters(1, 200).example('Typewriter');
const description = Joi.string().characters(0, 4000).allow(null, '').example('A portable one, with its case');
/** So that the total of the largest cart (1000 lines of 1000 pieces) is still exact as a JSON number. */
const price = Joi.number().integer().min(1).max(1_000_000_000).description('Cents').example(6_799);

export const productParams = Joi.object<{ id: number }, true>({ id });
export const newProduct = Joi.object<NewProduct, true>({ name: name.required(), description, price: price.required() });
export const productChanges = Joi.object<ProductChanges, true>({ name, description, price }).min(1);
export const productQuery = Joi.object<ProductQuery, true>(pageQuery(id));
export const product = Joi.object<Product, true>({
  id,
  name: name.required(),
  description: description.required(),
  price: price.required(),
  created_at: timestamp().required(),
  updated_at: timestamp().required(),
});
