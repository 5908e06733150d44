import { HttpError } from './errors.ts';

/** How many writes of one row run at once in this replica: one at work, and one already on its way. */
const WIDTH = 2;
const MAX_WAIT_MS = 1_000;

/**
 * Writes of one row take turns before they ask for a connection. PostgreSQL would let them wait for the row's lock, each with a connection:
 * a busy row would take all of them from everybody else, and who waits there costs PostgreSQL several times what the write does.
 */
export function createTurns() {
  const rows = new Map<string, { running: number; waiting: Set<() => void> }>();

  /** @throws HttpError 503 when its turn does not come */
  return async function inTurn<T>(row: string, work: () => Promise<T>): Promise<T> {
    const queue = rows.get(row) ?? { running: 0, waiting: new Set() };
    rows.set(row, queue);
    if (queue.running < WIDTH) queue.running++;
    else {
      await new Promise<void>((resolve, reject) => {
        const start = () => {
          clearTimeout(timer);
          resolve();
        };
        const timer = setTimeout(() => {
          queue.waiting.delete(start);
          reject(new HttpError(503, 'too many writes of the same row'));
        }, MAX_WAIT_MS);
        queue.waiting.add(start);
      });
    }
    try {
      return await work();
    } finally {
      const [next] = queue.waiting;
      if (next) {
        queue.waiting.delete(next); // which takes this one's place
        next();
      } else if (--queue.running === 0) rows.delete(row);
    }
  };
}
