import type { ColumnType, Generated, RawBuilder } from 'kysely';

/** timestamptz, read as ISO 8601 UTC with microseconds ("2026-01-31T12:00:00.123456Z"); set by the database. */
type Timestamp = ColumnType<string, never, RawBuilder<unknown>>;
/** bigint from the sequence row_version: new on every write of the row, never used twice, so it is its ETag. */
type Version = ColumnType<string, never, RawBuilder<unknown>>;

export interface ItemsTable {
  id: Generated<string>;
  title: string;
  description: string | null;
  status: Generated<'pending' | 'in_progress' | 'done'>;
  created_at: Timestamp;
  updated_at: Timestamp;
  version: Version;
}

export interface KvTable {
  key: string;
  value: string;
  updated_at: Timestamp;
  version: Version;
}

/** Every table. A migration that adds or changes one changes its type here. */
export interface Database {
  items: ItemsTable;
  kv: KvTable;
}
