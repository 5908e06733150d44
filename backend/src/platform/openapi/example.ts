import type { Description, Schema } from 'joi';

/** Where a field has no example of its own, its type gives one. */
const BY_RULE: Record<string, unknown> = {
  guid: '0b2f6a3e-5a53-4c55-9d0c-2f1f7c1f9a10',
  isoDate: '2026-01-31T12:00:00.123456Z',
  email: 'ana@example.com',
};
const BY_TYPE: Record<string, unknown> = { number: 1, boolean: true, string: 'text' };

/** An example of what a schema lets through: the schema's own, else one made from those of its fields. */
export const exampleOf = (schema: Schema): unknown => fromDescription(schema.describe());

function fromDescription(schema: Description): unknown {
  const { type = '', flags = {}, examples, allow, rules = [], keys, items, matches } = schema;
  if (examples) return examples[0];
  if ('only' in flags) return allow?.find((value: unknown) => typeof value !== 'object'); // .valid(…)
  if ('default' in flags) return flags.default;
  if (keys)
    return Object.fromEntries(Object.entries(keys).map(([key, field]) => [key, fromDescription(field as Description)]));
  if (items) return items.map(fromDescription);
  if (matches) return fromDescription(matches[0].schema);
  const rule = rules.find(({ name }: { name: string }) => name in BY_RULE);
  return rule ? BY_RULE[rule.name] : BY_TYPE[type];
}
