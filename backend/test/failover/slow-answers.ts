/**
 * Loaded into a replica before its program: the answer to a write waits for a moment, after COMMIT. Without it the window in which
 * a death makes Nginx send a committed write again is too small to be hit.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';

const MAX_MS = 400;
const { end } = ServerResponse.prototype as unknown as { end(...args: unknown[]): unknown };
Object.assign(ServerResponse.prototype, {
  end(this: ServerResponse & { req: IncomingMessage }, ...args: unknown[]) {
    if (this.req.method === 'GET') return end.apply(this, args);
    setTimeout(() => end.apply(this, args), Math.random() * MAX_MS);
    return this;
  },
});
