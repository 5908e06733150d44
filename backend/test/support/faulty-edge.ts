/** Stands in front of the edge and spoils its answers, so that a test can see whether its clients notice. */
import { createServer, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenAnywhere } from './servers.ts';

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** What becomes of an answer. `/ping`, where scripts ask first whether anybody is at home, always gets a good one. */
export type Fault = (answer: Answer, request: IncomingMessage) => Answer | Promise<Answer>;

let answers = 0;
const remembered = new Map<string | undefined, Answer>();

export const FAULTS = {
  none: (answer) => answer,
  /** Nothing of what was asked for, though the status is right. */
  'wrong bodies': (answer) => ({ ...answer, body: answer.body === '' ? '' : '{}' }),
  failures: (answer) => ({ ...answer, status: 504, body: '' }),
  refusals: (answer) => ({ ...answer, status: 429, body: '' }),
  /** Of every fourth answer, because a twentieth is not certain among few; of checkouts, which are fewer, of each. */
  delays: (answer, { url }) => (url?.endsWith('/checkout') || answers++ % 4 === 0 ? sleep(1600, answer) : answer),
  'nothing cached': (answer) => ({ ...answer, headers: { ...answer.headers, 'x-cache': 'BYPASS' } }),
  'stale reads': (answer, { method, url }) => {
    if (method !== 'GET') return answer;
    if (!remembered.has(url)) remembered.set(url, answer);
    return remembered.get(url) ?? answer;
  },
  'wrong totals': (answer, { url }) =>
    url?.endsWith('/checkout') ? { ...answer, body: answer.body.replace(/"total":\d+/, '"total":1') } : answer,
  overdrafts: (answer) => ({ ...answer, body: answer.body.replaceAll(/"(saldo|total)":-?\d+/g, '"$1":-99999999999') }),
} satisfies Record<string, Fault>;

/** Holds every answer back for 5 s, once `ms` have passed since the first one, so that a setup is not held back. */
export function hangingAfter(ms: number): Fault {
  let first: number | undefined;
  return (answer) => {
    first ??= Date.now();
    return Date.now() - first < ms ? answer : sleep(5000, answer);
  };
}

export interface FaultyEdge {
  readonly url: string;
  fault: Fault;
  close(): void;
}

export async function startFaultyEdge(target: string): Promise<FaultyEdge> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { method = 'GET', url = '/', headers } = request;
    const sent = {
      ...(headers['content-type'] && { 'content-type': headers['content-type'] }),
      ...(headers.authorization && { authorization: headers.authorization }),
    };
    const init = { method, headers: sent, ...(body.length > 0 && { body }) };
    try {
      let found = await fetch(`${target}${url}`, init);
      while (url === '/ping' && !found.ok) found = await fetch(`${target}${url}`, init);
      const own = {
        'content-type': found.headers.get('content-type') ?? '',
        'x-cache': found.headers.get('x-cache') ?? '',
      };
      const answer: Answer = { status: found.status, headers: own, body: await found.text() };
      const spoilt = url === '/ping' ? answer : await edge.fault(answer, request);
      response.writeHead(spoilt.status, spoilt.headers).end(spoilt.body);
    } catch {
      response.destroy();
    }
  });
  const port = await listenAnywhere(server);
  const edge: FaultyEdge = {
    url: `http://127.0.0.1:${port}`,
    fault: FAULTS.none,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return edge;
}

/** A page of metrics on which everything grows, faster than anybody may; at times it lacks a figure, or comes from a new process. */
export async function startLeakingReplica(): Promise<{ url: string; close(): void }> {
  const started = Date.now();
  let pages = 0;
  const server = createServer((_request, response) => {
    const seconds = (Date.now() - started) / 1000;
    const connections = pages++ % 5 === 4 ? '' : `db_pool_size{instance="leaking"} ${seconds}\n`;
    response.end(`nodejs_heap_space_size_used_bytes{space="old",instance="leaking"} ${1e6 * seconds}
${connections}process_start_time_seconds{instance="leaking"} ${Math.floor(seconds / 5)}
process_open_fds{instance="leaking"} ${seconds}
`);
  });
  const port = await listenAnywhere(server);
  return { url: `http://127.0.0.1:${port}`, close: () => void server.close() };
}
