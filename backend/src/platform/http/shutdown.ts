import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Idle connections of Nginx to us are used up in this time, instead of being cut under a request. */
const DRAIN_MS = 1_000;
/** Longer than Nginx waits for an answer (5 s); then whoever is left is cut off. */
const DEADLINE_MS = 10_000;

/**
 * Ends a server without failing a request: it goes on serving for a second while every answer asks to close its
 * connection (the caller sets `Connection: close`), then refuses new connections, and waits for the rest.
 * `server.close()` alone would never end: idle keep-alive connections hold it open.
 */
export async function drain(server: Server): Promise<void> {
  await sleep(DRAIN_MS);
  const closed = new Promise((resolve) => server.close(resolve));
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  const deadline = setTimeout(() => server.closeAllConnections(), DEADLINE_MS);
  await closed;
  clearInterval(idle);
  clearTimeout(deadline);
}
