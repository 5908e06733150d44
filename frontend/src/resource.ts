import type { Answer } from './api/client';

export type Row = Record<string, unknown>;

/** How a field is shown and asked for. `cents` is a whole number of cents. */
export type Kind = 'line' | 'text' | 'email' | 'choice' | 'integer' | 'cents' | 'time';

export interface Field {
  /** As the API has it; its label is the message `field.NAME`. */
  readonly name: string;
  readonly kind: Kind;
  readonly choices?: readonly string[];
  /** The API refuses to create without it. */
  readonly required?: boolean;
  /** Asked for when a row is made, and fixed then. */
  readonly fixed?: boolean;
}

/** What the pages of one kind of row need: one declaration a domain, in pages/. */
export interface Resource {
  /** Names its messages: `NAME.title`, `NAME.one`. */
  readonly name: string;
  /** The field that names a row in its path. */
  readonly key: string;
  readonly columns: readonly Field[];
  readonly fields: readonly Field[];
  /** What the list can be narrowed by. */
  readonly filter?: Field;
  list(query: { cursor?: string; filter?: string }): Promise<Answer<Row[]>>;
  create?(row: Row, headers: Record<string, string>): Promise<unknown>;
  read?(key: unknown): Promise<Answer<Row>>;
  update?(key: unknown, changes: Row, headers: Record<string, string>): Promise<unknown>;
  remove?(key: unknown, headers: Record<string, string>): Promise<unknown>;
}

export const PAGE = 20;

/** What no number can be made of without guessing: "1,000", "1e3", "0.005". */
export const UNCLEAR = Symbol('unclear');

/**
 * What the form has as text, as the API wants it. Undefined: nothing was typed, the API has a default or says that it is missing.
 * Amounts may have a point or a comma before the cents, and no other sign.
 */
export function toInput({ kind }: Field, text: string): unknown {
  if (kind === 'choice' || kind === 'email') return text || undefined;
  if (kind !== 'integer' && kind !== 'cents') return text;
  const [, sign, whole, cents = ''] = /^(-?)(\d+)(?:[.,](\d{1,2}))?$/.exec(text.trim()) ?? [];
  if (whole === undefined) return text.trim() === '' ? undefined : UNCLEAR;
  if (kind === 'integer' && cents) return UNCLEAR;
  const number = Number(`${sign}${whole}${kind === 'cents' ? cents.padEnd(2, '0') : ''}`);
  return Number.isSafeInteger(number) ? number : UNCLEAR;
}

/** The value of a row, as the form shows it. @param comma before the cents, as in Portuguese */
export function toText({ kind }: Field, value: unknown, comma = false): string {
  if (value === null || value === undefined) return '';
  if (kind !== 'cents') return String(value);
  const text = ((value as number) / 100).toFixed(2);
  return comma ? text.replace('.', ',') : text;
}
