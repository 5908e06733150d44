import type { ColumnType, Generated, RawBuilder } from 'kysely';

/** timestamptz, read as ISO 8601 UTC with microseconds ("2026-01-31T12:00:00.123456Z"); set by the database. */
type Timestamp = ColumnType<string, never, RawBuilder<unknown>>;
/** bigint from the sequence row_version: new on every write of the row, never used twice, so it is its ETag. */
type Version = ColumnType<number, never, RawBuilder<unknown>>;

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

export interface TasksTable {
  id: Generated<number>;
  title: string;
  description: string | null;
  status: Generated<'pending' | 'in_progress' | 'completed'>;
  created_at: Timestamp;
  updated_at: Timestamp;
  version: Version;
}

/** `saldo` is always the sum of the user's transactions, and never below `-limite`. Both are in cents. */
export interface UsersTable {
  id: Generated<number>;
  nome: string;
  email: string;
  limite: Generated<number>;
  saldo: Generated<number>;
  created_at: Timestamp;
  version: Version;
}

/** Written once, never changed. */
export interface TransactionsTable {
  id: Generated<number>;
  user_id: number;
  /** Cents, always positive: `tipo` tells credit from debit. */
  valor: number;
  tipo: 'c' | 'd';
  descricao: string;
  realizada_em: Timestamp;
}

export interface ProductsTable {
  id: Generated<number>;
  name: string;
  description: string | null;
  /** Cents. */
  price: number;
  created_at: Timestamp;
  updated_at: Timestamp;
  version: Version;
}

/** A cart is an open order. Everything that is null here is set when it is closed, and never changes again. Cents. */
export interface OrdersTable {
  id: Generated<string>;
  is_open: Generated<boolean>;
  order_number: number | null;
  name: string | null;
  email: string | null;
  address: string | null;
  city: string | null;
  postal_code: string | null;
  country: string | null;
  subtotal: number | null;
  shipping: number | null;
  total: number | null;
  created_at: Timestamp;
  closed_at: ColumnType<string | null, never, RawBuilder<unknown>>;
  version: Version;
}

/** One addition to a cart: name and price are those of the product at that moment. */
export interface OrderItemsTable {
  id: Generated<number>;
  order_id: string;
  product_id: number;
  name: string;
  /** Cents. */
  unit_price: number;
  quantity: number;
  created_at: Timestamp;
  updated_at: Timestamp;
  version: Version;
}

/** One row: whether the cache may be used, and in which epoch (platform/cache/gate.ts). */
export interface WriteGateTable {
  epoch: string;
  open: boolean;
  /** PostgreSQL's own: another after each failover or restore. */
  timeline: string;
}

/** When each replica of an older release last reached Redis. */
export interface CachePeerTable {
  instance: string;
  seen_at: Timestamp;
}

/** When each replica last asked for the gate, and last reached Redis then. */
export interface GatePeerTable {
  instance: string;
  asked_at: Timestamp;
  reached_at: Timestamp | null;
}

/** What came of a write, under each of the names that it was sent with (platform/http/write.ts). */
export interface WriteOutcomesTable {
  /** "attempt:…" (Nginx's name for a request) or "client:…" (an Idempotency-Key). */
  name: string;
  /** Hash of the request; only with a client's name, under which another request may come. */
  request: string | null;
  outcome: unknown;
  /** The guard (database/write-outcomes.ts). */
  epoch: string;
  created_at: Generated<Timestamp>;
}

/** Every table. A migration that adds or changes one changes its type here. */
export interface Database {
  items: ItemsTable;
  kv: KvTable;
  tasks: TasksTable;
  users: UsersTable;
  transactions: TransactionsTable;
  products: ProductsTable;
  orders: OrdersTable;
  order_items: OrderItemsTable;
  write_gate: WriteGateTable;
  cache_peer: CachePeerTable;
  gate_peer: GatePeerTable;
  write_outcomes: WriteOutcomesTable;
}
