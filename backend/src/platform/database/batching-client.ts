import type { Socket } from 'node:net';
import { Client, type ClientConfig, Query, type QueryResult } from 'pg';

/** Texts that get a name. Ours are some hundred; a list with ever new shapes must not fill the memory of PostgreSQL. */
const MAX_NAMES = 500;
const names = new Map<string, string>();

/** Of a prepared statement: PostgreSQL parses and plans a text once a connection, which is half of what a short one costs. */
function nameOf(text: string): string | undefined {
  const known = names.get(text);
  if (known || names.size >= MAX_NAMES) return known;
  const name = `${/^\w+/.exec(text)?.[0]}_${names.size}`; // traces show it
  names.set(text, name);
  return name;
}

/** What node-postgres has and does not declare. */
interface Internals {
  readonly connection: {
    readonly stream: Socket;
    sync(): void;
    query(text: string): void;
    describe(message: unknown): void;
    /** Ours: what is known of each named statement's columns. */
    described?: Map<string, object>;
  };
  _handleCommandComplete(message: unknown): void;
  _handleReadyForQuery(message: { status: string }): void;
  _handleErrorMessage(error: unknown): void;
}
const InternalClient = Client as unknown as new (config?: ClientConfig) => Client & Internals;

type Wire = Internals['connection'];
const InternalQuery = Query as unknown as new (
  text: string,
  values?: unknown[],
) => Query & {
  name: string | undefined;
  readonly _result: object;
  _accumulateRows: boolean;
  prepare(wire: Wire): void;
  handleRowDescription(message: unknown): void;
};

/**
 * PostgreSQL describes the columns of a prepared statement once a connection, not with each answer; it refuses to run one whose
 * columns have changed since. To send, read and set up the description costs 10 µs of a create.
 */
class NamedQuery extends InternalQuery {
  #described: Map<string, object> | undefined;

  override prepare(wire: Wire): void {
    if (this.name) this.#described = wire.described ??= new Map();
    const columns = this.#described?.get(this.name as string);
    const { describe } = wire;
    if (columns) {
      wire.describe = () => {};
      Object.assign(this._result, columns);
      this._accumulateRows = true;
    }
    super.prepare(wire);
    wire.describe = describe;
  }

  override handleRowDescription(message: unknown): void {
    super.handleRowDescription(message);
    const { fields, _parsers, _prebuiltEmptyResultObject } = this._result as Record<string, unknown>;
    this.#described?.set(this.name as string, { fields, _parsers, _prebuiltEmptyResultObject });
  }
}

interface Group {
  readonly size: number;
  over: number;
}

/**
 * Sends the statements of one tick in one packet and as one group, that is with one Sync at its end: PostgreSQL then answers
 * with one packet too, and wakes us once. (In `pipeline` mode, which this needs, node-postgres sends a Sync with each
 * statement, and PostgreSQL a packet with each Sync.) When one fails, PostgreSQL skips the rest of its group.
 *
 * A connection is one request's, so that a group is what that request sends: the last statement of a transaction with COMMIT.
 *
 * A query that is given up ends its connection. Without `pipeline` node-postgres only forgets the query: a BEGIN that was given
 * up and then ran left the next INSERT in a transaction that nobody committed: acknowledged, and lost.
 */
export class BatchingClient extends InternalClient {
  /** Those under way, oldest first. */
  readonly #groups: Group[] = [];
  /** Statements that were sent without their Sync. */
  #open = 0;
  #corked = false;
  readonly #sync: () => void;

  constructor(config?: ClientConfig) {
    super(config);
    const wire = this.connection;
    this.#sync = wire.sync.bind(wire);
    wire.sync = () => void this.#open++;
    // The simple protocol, which is its own Sync.
    const query = wire.query.bind(wire);
    wire.query = (text) => {
      this.#close();
      this.#groups.push({ size: 1, over: 0 });
      query(text);
    };
  }

  // biome-ignore lint/suspicious/noExplicitAny: the overloads of Client.query, passed on as they come
  override query(text: any, values?: any, callback?: any): any {
    this.#cork();
    if (typeof text !== 'string' || !values || callback) return super.query(text, values, callback);
    return this.#named(text, values);
  }

  /** As `super.query({ text, values, name })`, which would copy that object by its property descriptors: 3 % of a create. */
  #named(text: string, values?: unknown[]): Promise<QueryResult> {
    const { promise, resolve, reject } = Promise.withResolvers<QueryResult>();
    const query = Object.assign(new NamedQuery(text, values), { name: nameOf(text) });
    super.query(query as never, (error: Error | null, result: QueryResult) =>
      error ? reject(error) : resolve(result),
    );
    return promise;
  }

  /** Until no promise has anything more to say. */
  #cork(): void {
    if (this.#corked) return;
    const { stream } = this.connection;
    this.#corked = true;
    stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#close();
      stream.uncork();
    });
  }

  #close(): void {
    if (this.#open === 0) return;
    this.#groups.push({ size: this.#open, over: 0 });
    this.#open = 0;
    this.#sync();
  }

  /** One statement of the group is over. @returns whether PostgreSQL says nothing about it, because others follow */
  #another(): boolean {
    const [group] = this.#groups;
    return group !== undefined && ++group.over < group.size;
  }

  override _handleCommandComplete(message: unknown): void {
    super._handleCommandComplete(message);
    if (this.#another()) super._handleReadyForQuery({ status: 'T' });
  }

  override _handleErrorMessage(error: unknown): void {
    super._handleErrorMessage(error);
    while (this.#another()) {
      super._handleReadyForQuery({ status: 'E' });
      super._handleErrorMessage(error);
    }
  }

  override _handleReadyForQuery(message: { status: string }): void {
    this.#groups.shift();
    super._handleReadyForQuery(message);
  }
}
