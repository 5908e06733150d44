/** Clients that try again by themselves, as writes.md tells them to: the same Idempotency-Key until there is an answer. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply } from '../support/client.ts';
import { createClient, wasReplayed } from './load.ts';

/** Writes at once. */
const CLIENTS = 20;
/** Of the connections, that the client itself cuts before the answer. */
const CUT = 0.3;

/**
 * Every write is repeated: when its connection was cut, when the answer was 503 or 504, and once more when all is well.
 * @returns what is wrong, in words, and how often a request was sent
 */
export async function runRetries(url: string, writes: number): Promise<{ problems: string[]; said: string }> {
  const client = createClient(url);
  const run = randomUUID();
  const counts = { sent: 0, cut: 0, unavailable: 0, replayed: 0 };
  const problems: string[] = [];

  async function until2xx(n: number, cutting: boolean): Promise<Reply> {
    for (;;) {
      counts.sent++;
      const headers = { 'Idempotency-Key': `${run}-${n}` };
      const cut = cutting && Math.random() < CUT ? new AbortController() : undefined;
      if (cut) setTimeout(() => cut.abort(), Math.random() * 200);
      try {
        const reply = await client.send('POST', '/items', { title: `${run}-${n}` }, headers, cut?.signal);
        if (wasReplayed(reply)) counts.replayed++;
        if (reply.status < 500 && !reply.headers['retry-after']) return reply;
        counts.unavailable++;
        await sleep(100);
      } catch {
        counts.cut++;
      }
    }
  }

  let next = 0;
  async function work(): Promise<void> {
    while (next < writes) {
      const n = next++;
      const first = await until2xx(n, true);
      const again = await until2xx(n, false);
      if (first.status !== 201) problems.push(`write ${n} was answered ${first.status} ${first.text}`);
      else if (again.status !== 201 || again.text !== first.text || !wasReplayed(again)) {
        problems.push(`write ${n} was answered ${first.text}, and then ${again.status} ${again.text}`);
      }
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, work));
  const rows = await client.listAll('/items?limit=200', (body) => body as { title: string }[]);
  const found = rows.map(({ title }) => title).filter((title) => title.startsWith(run));
  client.close();
  if (found.length !== writes) problems.push(`${writes} writes made ${found.length} rows`);
  if (new Set(found).size !== writes) problems.push(`${writes} writes made ${new Set(found).size} different rows`);
  const { sent, cut, unavailable, replayed } = counts;
  const said = `${writes} writes, each at least twice: ${sent} requests, ${cut} cut, ${unavailable} unavailable, ${replayed} answered as the first time`;
  return { problems, said };
}
