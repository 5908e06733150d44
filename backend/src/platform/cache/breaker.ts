import { ReplyError } from 'ioredis';

const FAILURES = 3;
const PAUSE_MS = 500;

/**
 * Skips Redis for half a second after three failures in a row: while it hangs, each request would wait 150 ms for nothing.
 * An error that Redis itself answers (out of memory) does not count: it came at once, and hits may go on.
 */
export function createBreaker() {
  let failures = 0;
  let until = 0;
  return {
    isOpen: () => until > 0 && performance.now() < until,
    succeeded() {
      failures = 0;
      until = 0;
    },
    failed(error: unknown) {
      if (error instanceof ReplyError || ++failures < FAILURES) return;
      until = performance.now() + PAUSE_MS;
    },
  };
}
