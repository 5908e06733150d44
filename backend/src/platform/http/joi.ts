import Base from 'joi';

/** A string that PostgreSQL can store. */
export interface StringSchema<T = string> extends Base.StringSchema<T> {
  /** White space at both ends is removed before the other rules look. */
  trimmed(): this;
  /** A length in characters (code points), as PostgreSQL counts; Joi's own max() counts an emoji as two. */
  characters(min: number, max: number): this;
  /** A length in bytes of UTF-8. */
  bytes(min: number, max: number): this;
}

/** A uuid as the database writes it: no braces, hyphens, and no capitals: in a URL they are turned into small letters, so that a row has one name. */
export const uuid = () => Joi.string().uuid({ separator: '-', wrapper: false }).lowercase();

/** The number of a row. */
export const rowId = () => Joi.number().integer().min(1).max(Number.MAX_SAFE_INTEGER);

/**
 * Any top-level domain: the list of those that exist changes. ASCII only: one address has several spellings in Unicode, and
 * to tell them from each other Joi normalizes the text before it looks at its length, which for 240 KB of combining marks
 * takes a quarter of a minute.
 */
export const email = () =>
  Joi.string()
    .trimmed()
    .characters(3, 254)
    .email({ tlds: { allow: false }, allowUnicode: false });

export const timestamp = () => Joi.string().isoDate();

interface Root extends Omit<Base.Root, 'string'> {
  string<T = string>(): StringSchema<T>;
}

const length = (count: (value: string) => number, unit: string, schemaOf: (min: number, max: number) => object) => ({
  method(min: number, max: number) {
    // biome-ignore lint/suspicious/noExplicitAny: Joi's own type for a schema under extension
    return (this as any).$_addRule({ name: unit, args: { min, max } });
  },
  args: ['min', 'max'],
  validate(value: string, helpers: Base.CustomHelpers, { min, max }: Record<string, number>) {
    const n = count(value);
    return n >= (min ?? 0) && n <= (max ?? 0) ? value : helpers.error(`string.${unit}`, { min, max });
  },
  jsonSchema: (rule: { args: { min: number; max: number } }, schema: object) => ({
    ...schema,
    ...schemaOf(rule.args.min, rule.args.max),
  }),
});

/**
 * Joi, with strings that are safe to store: U+0000, which PostgreSQL refuses, and lone surrogates, which would silently
 * become U+FFFD on their way to it, are errors of the input everywhere, so that no schema can forget them.
 */
export const Joi: Root = Base.extend(
  // Joi reads "1e3", "+1" and " 1" as numbers: then a row would have many paths.
  (joi) => ({
    type: 'number',
    base: joi.number(),
    messages: { 'number.plain': '{{#label}} must be an integer in plain digits' },
    prepare(value: unknown, helpers: Base.CustomHelpers) {
      if (typeof value !== 'string' || /^-?(0|[1-9]\d*)$/.test(value)) return { value };
      return { value, errors: helpers.error('number.plain') };
    },
  }),
  (joi) => ({
    type: 'string',
    base: joi.string(),
    messages: {
      'string.storable': '{{#label}} must not contain U+0000 or half of a surrogate pair',
      'string.characters': '{{#label}} must have {{#min}} to {{#max}} characters',
      'string.bytes': '{{#label}} must have {{#min}} to {{#max}} bytes',
    },
    validate(value: string, helpers: Base.CustomHelpers) {
      if (value.includes('\0') || !value.isWellFormed()) return { value, errors: helpers.error('string.storable') };
      return { value };
    },
    rules: {
      trimmed: {
        method() {
          // biome-ignore lint/suspicious/noExplicitAny: as above
          return (this as any).$_addRule('trimmed');
        },
        validate: (value: string) => value.trim(),
      },
      characters: length(
        (value) => [...value].length,
        'characters',
        (minLength, maxLength) => ({ minLength, maxLength }),
      ),
      // JSON Schema has no such rule; no text of n bytes has more than n characters.
      bytes: length(
        (value) => Buffer.byteLength(value),
        'bytes',
        (minLength, maxLength) => ({ minLength, maxLength }),
      ),
    },
  }),
);
