/** A client that keeps its connections, never tries again, and tells a cut connection from an answer. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';

/** Longer than Nginx tries (6 s) and then waits for a replica (5 s); a client that gives up does not know the outcome. */
const PATIENCE_MS = 15_000;

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export const keepConnections = () => new Agent({ keepAlive: true, maxSockets: 512 });

/** @throws when the connection breaks, also in the middle of the answer */
export function sendOver(
  agent: Agent,
  method: string,
  url: string,
  body?: object,
  more: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = { ...(body && { 'Content-Type': 'application/json' }), ...more };
    const options = { method, agent, headers, timeout: PATIENCE_MS, ...(signal && { signal }) };
    const sent = request(url, options, (answer: IncomingMessage) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}
