import { AsyncLocalStorage } from 'node:async_hooks';
import { DatabaseError, type Pool, type QueryResult } from 'pg';
import type { BatchingClient } from './batching-client.ts';

/** After this, the others no longer wait for the one that holds up their packet. */
const SLOW_MS = 100;

interface Read {
  readonly text: string;
  readonly values: unknown[];
  readonly resolve: (result: QueryResult) => void;
  readonly reject: (error: unknown) => void;
  /** Keeps traces apart: who sends is not who asked. */
  readonly within: <T>(work: () => T) => T;
  over: boolean;
  again: boolean;
}

/** Whether the connection is of no more use. It may know that only later, when somebody else has it. */
const isLost = (error: unknown) => !(error instanceof DatabaseError) || error.severity === 'FATAL';

export type Wire = ReturnType<typeof createWire>;

/**
 * The path for statements that are built once (prepared.ts); it bypasses Kysely, which adds nothing to them.
 *
 * Reads of one turn of the event loop, whichever requests they are for, share a connection and a packet: each of these wakes a process of
 * PostgreSQL, and then us. Only for short ones that return a row or so. One that fails takes no others along: they are asked again; so, while there
 * are free connections, are those behind a slow one.
 */
export function createWire(pool: Pool) {
  let waiting: Read[] = [];

  async function send(reads: readonly Read[]): Promise<void> {
    let client: BatchingClient & { release(error?: unknown): void };
    try {
      client = (await pool.connect()) as unknown as typeof client;
    } catch (error) {
      for (const read of reads) read.reject(error);
      return;
    }
    const again = (from: number) => {
      for (const read of reads.filter(({ over }) => !over).slice(from)) {
        if (!read.again) void send([Object.assign(read, { again: true })]);
      }
    };
    // All but the first. Only by connections that nobody wants: when all is slow, asking twice makes it slower.
    const hurry = () => pool.idleCount + pool.options.max - pool.totalCount >= reads.length && again(1);
    const timer = reads.length > 1 ? setTimeout(hurry, SLOW_MS) : undefined;
    const replies = reads.map(({ text, values, within }) =>
      within(() => client.query(text, values) as Promise<QueryResult>),
    );
    for (const reply of replies) reply.catch(() => {}); // each is awaited below, maybe later than it fails
    let failure: unknown;
    for (const [n, reply] of replies.entries()) {
      const read = reads[n] as Read;
      try {
        const result = await reply;
        read.over = true;
        read.resolve(result);
      } catch (error) {
        // PostgreSQL has skipped those behind it.
        if (failure === undefined && !read.over) {
          read.over = true;
          read.reject(error);
        }
        failure ??= error;
      }
    }
    clearTimeout(timer);
    client.release(failure !== undefined && isLost(failure));
    if (failure) again(0);
  }

  return {
    read: (text: string, values: unknown[]): Promise<QueryResult> =>
      new Promise((resolve, reject) => {
        if (waiting.length === 0) {
          setImmediate(() => {
            const reads = waiting;
            waiting = [];
            void send(reads);
          });
        }
        waiting.push({
          text,
          values,
          resolve,
          reject,
          within: AsyncLocalStorage.snapshot(),
          over: false,
          again: false,
        });
      }),

    /** @param check called with a connection in hand; nothing is waited for between this and the statement */
    async write(text: string, values: unknown[], check: () => void): Promise<QueryResult> {
      const client = await pool.connect();
      let lost = false;
      try {
        check();
        return await client.query(text, values);
      } catch (error) {
        lost = isLost(error);
        throw error;
      } finally {
        client.release(lost);
      }
    },
  };
}
