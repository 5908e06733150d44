/** Clients that are slow on purpose, or cannot help it: they send a header or a body, or read an answer, a few bytes at a time. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, quantile } from './load.ts';

type Kind = 'header' | 'body' | 'reader';
const KINDS: readonly Kind[] = ['header', 'body', 'reader'];
/** Less than Nginx waits between two bytes (10 s). */
const STEP_MS = 4_000;

const OPENING: Readonly<Record<Kind, string>> = {
  header: 'GET /ping HTTP/1.1\r\nHost: localhost\r\nX-Slow: ',
  body: 'POST /items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n{"title":"',
  reader: 'GET /items?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n',
};

/** Keeps `count` slow connections open, a third of each kind, and replaces those that Nginx ends. */
export function openSlow(port: number, count: number) {
  const sockets = new Map<Socket, Kind>();
  let over = false;
  let ended = 0;
  function open(kind: Kind): void {
    const socket = connect(port, '127.0.0.1');
    sockets.set(socket, kind);
    socket.on('error', () => {});
    socket.write(OPENING[kind]);
    if (kind === 'reader') socket.pause();
    socket.once('close', () => {
      sockets.delete(socket);
      if (over) return;
      ended++;
      setTimeout(() => !over && open(kind), 100);
    });
  }
  for (let n = 0; n < count; n++) open(KINDS[n % KINDS.length] as Kind);
  const timer = setInterval(() => {
    for (const [socket, kind] of sockets) {
      if (kind === 'reader') socket.read(1);
      else socket.write('x');
    }
  }, STEP_MS);
  return {
    /** Now, and how many Nginx has ended. */
    counts: () => ({ open: sockets.size, ended }),
    close() {
      over = true;
      clearInterval(timer);
      for (const socket of sockets.keys()) socket.destroy();
    },
  };
}

/** What an honest client sees meanwhile. @returns its failures, and how long 99 % of its answers took at most, in milliseconds */
export async function honest(url: string, ms: number): Promise<{ failures: number; p99: number }> {
  const client = createClient(url);
  const durations: number[] = [];
  let failures = 0;
  const asked: Promise<void>[] = [];
  for (let n = 0, end = performance.now() + ms; performance.now() < end; n++) {
    const began = performance.now();
    const sent =
      n % 4 === 0 ? client.send('POST', '/items', { title: 'honest' }) : client.send('GET', '/items?limit=5');
    asked.push(
      sent.then(
        ({ status }) => {
          durations.push(performance.now() - began);
          if (status >= 300) failures++;
        },
        () => {
          failures++;
        },
      ),
    );
    await sleep(20);
  }
  await Promise.all(asked);
  client.close();
  return { failures, p99: quantile(durations, 0.99) };
}
