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

/** What the form has as text, as the API wants it; absent: left to the API's default. */
export function toInput({ kind, required }: Field, text: string): unknown {
  if (text === '' && !required && kind !== 'text' && kind !== 'line') return undefined;
  if (kind === 'integer') return text === '' ? undefined : Number(text);
  if (kind === 'cents') return text === '' ? undefined : Math.round(Number(text.replace(',', '.')) * 100);
  return text;
}

/** The value of a row, as the form shows it. */
export function toText({ kind }: Field, value: unknown): string {
  if (value === null || value === undefined) return '';
  return kind === 'cents' ? ((value as number) / 100).toFixed(2) : String(value);
}
