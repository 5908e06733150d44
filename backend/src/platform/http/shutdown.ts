import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

/** A step of the end. What has not finished by its deadline is left behind, so that the process ends in any case. */
export interface Phase {
  readonly name: string;
  readonly deadlineMs: number;
  run(): Promise<unknown>;
}

/** Runs the phases one after the other. Never throws: an error in one must not keep the next from its turn. */
export async function runPhases(phases: readonly Phase[], logger: Logger): Promise<void> {
  for (const { name, deadlineMs, run } of phases) {
    const began = performance.now();
    const late = new AbortController();
    const outcome = await Promise.race([
      run().then(
        () => 'done',
        (err) => {
          logger.warn({ err, phase: name }, 'shutdown');
          return 'failed';
        },
      ),
      sleep(deadlineMs, 'late', { signal: late.signal }).catch(() => ''),
    ]);
    late.abort();
    logger.info({ phase: name, outcome, ms: Math.round(performance.now() - began) }, 'shutdown');
  }
}

/**
 * Ends a server that no longer has to take anything new: refuses connections, and waits for what is under way.
 * `server.close()` alone would never end: idle keep-alive connections hold it open.
 */
export async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  await closed;
  clearInterval(idle);
}
