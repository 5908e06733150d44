/** Clients that read and write through the edge and never try again; and what of it is there afterwards. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepConnections, type Reply, sendOver } from '../support/client.ts';

/** Of failures, that a report shows. */
const MAX_KINDS = 10;

export type Client = ReturnType<typeof createClient>;

/** Sends requests to one address. */
export function createClient(base: string) {
  const agent = keepConnections();
  const send = (
    method: string,
    path: string,
    body?: object,
    headers?: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ) => sendOver(agent, method, base + path, body, headers, signal);

  /** All pages of a list. */
  async function listAll<T>(path: string, rowsOf: (body: unknown) => T[]): Promise<T[]> {
    const rows: T[] = [];
    for (let next: string | undefined = path; next; ) {
      let reply: Reply = await send('GET', next);
      // What was just killed may not be back: what the clients met is counted already, this only looks at what is there.
      for (let again = 0; reply.status === 503 && again < 10; again++) {
        await sleep(1000);
        reply = await send('GET', next);
      }
      if (reply.status !== 200) throw new Error(`GET ${next} answered ${reply.status} ${reply.text}`);
      rows.push(...rowsOf(JSON.parse(reply.text)));
      next = /^<([^>]+)>; rel="next"$/.exec(`${reply.headers.link}`)?.[1];
    }
    return rows;
  }

  return { send, listAll, close: () => agent.destroy() };
}

export const wasReplayed = ({ headers }: Reply) => headers['idempotent-replayed'] === 'true';
export const servedBy = ({ headers }: Reply) => `${headers['x-served-by']}`;

/** What the clients were told, and what they then found. */
export interface Report {
  requests: number;
  /** Requests without a good answer, by what they got instead. */
  readonly failures: Map<string, number>;
  /** Answers that came from an earlier attempt of the same request. */
  replays: number;
  /** Acknowledged writes that are there more than once, or whose second time was noticed. */
  duplicated: number;
  /** Acknowledged writes that are not there. */
  lost: number;
  /** How long the answers took, in milliseconds. */
  readonly durations: number[];
}

export const failed = ({ failures }: Report) => [...failures.values()].reduce((sum, n) => sum + n, 0);

interface Plan {
  readonly url: string;
  readonly perSecond: number;
  /** Called when the first requests are on their way. */
  readonly started?: () => void;
  /** Ends the load; checks follow. */
  readonly until: () => boolean;
}

/**
 * Mixed requests at a steady rate, whether answers come or not: 60 % reads, 40 % writes, of which half carry an
 * Idempotency-Key. Each write has a value of its own, so that one which happened twice, or not at all, is found.
 */
export async function runLoad({ url, perSecond, started, until }: Plan): Promise<Report> {
  const client = createClient(url);
  const run = randomUUID().slice(0, 8);
  const report: Report = {
    requests: 0,
    failures: new Map(),
    replays: 0,
    duplicated: 0,
    lost: 0,
    durations: [],
  };
  const user = JSON.parse(
    (await client.send('POST', '/users', { nome: run, email: `${run}@example.com`, limite: 1 })).text,
  ).id;
  const acknowledged = { items: new Set<string>(), tasks: new Set<string>(), money: 0 };

  async function ask(method: string, path: string, body?: object, key?: string): Promise<Reply | undefined> {
    report.requests++;
    const began = performance.now();
    const note = (what: string) => {
      report.failures.set(what, (report.failures.get(what) ?? 0) + 1);
      return undefined;
    };
    try {
      const reply = await client.send(method, path, body, key ? { 'Idempotency-Key': key } : {});
      report.durations.push(performance.now() - began);
      if (wasReplayed(reply)) report.replays++;
      if (reply.status < 300) return reply;
      const { detail } = JSON.parse(reply.text) as { detail: string };
      return note(`${method} ${reply.status} ${detail}`);
    } catch (error) {
      return note(`${method} ${(error as { code?: string }).code ?? (error as Error).message}`);
    }
  }

  const reads = ['/items?limit=5', '/tasks/1', '/tasks?limit=5', '/kv/stats', '/products/1', '/ping'];
  async function one(n: number): Promise<void> {
    if (n % 5 < 3) {
      await ask('GET', reads[n % reads.length] as string);
      return;
    }
    const value = `${run}-${n}`;
    const key = n % 8 < 4 ? value : undefined; // of each kind of write every other one
    switch (n % 4) {
      case 0:
        if (await ask('POST', '/items', { title: value }, key)) acknowledged.items.add(value);
        return;
      case 1:
        if (await ask('POST', '/tasks', { title: value }, key)) acknowledged.tasks.add(value);
        return;
      case 2: {
        const transaction = { user_id: user, valor: 1, tipo: 'c', descricao: 'load' };
        if (await ask('POST', '/transactions', transaction, key)) acknowledged.money++;
        return;
      }
      default: {
        // A DELETE that is done twice finds nothing the second time, and says so.
        if (!(await ask('PUT', '/kv', { key: value, value }, key))) return;
        const removed = await ask('DELETE', `/kv?key=${value}`, undefined, key && `${key}-delete`);
        if (removed && !JSON.parse(removed.text).deleted) report.duplicated++;
      }
    }
  }

  const pending = new Set<Promise<void>>();
  started?.();
  const began = performance.now();
  for (let n = 0; !until(); n++) {
    const asking = one(n).finally(() => pending.delete(asking));
    pending.add(asking);
    const ahead = (n / perSecond) * 1000 - (performance.now() - began);
    if (ahead > 0) await sleep(ahead);
  }
  await Promise.all(pending);

  const lists = {
    items: (body: unknown) => body as { title: string }[],
    tasks: (body: unknown) => (body as { tasks: { title: string }[] }).tasks,
  };
  for (const name of ['items', 'tasks'] as const) {
    const rows = await client.listAll(`/${name}?limit=200`, lists[name]);
    const found = rows.map(({ title }) => title).filter((title) => title.startsWith(run));
    const there = new Set(found);
    report.duplicated += found.length - there.size;
    for (const title of acknowledged[name]) if (!there.has(title)) report.lost++;
  }
  const transactions = await client.listAll(
    `/transactions?user_id=${user}&limit=200`,
    (body) => body as { id: number }[],
  );
  const { saldo } = JSON.parse((await client.send('GET', `/users/${user}`)).text);
  const extra = Math.max(saldo, transactions.length) - acknowledged.money;
  // A transaction of which the client does not know is there once or not at all.
  if (extra > 0 && failed(report) === 0) report.duplicated += extra;
  report.lost += Math.max(0, acknowledged.money - Math.min(saldo, transactions.length));
  client.close();
  return report;
}

/** In whole milliseconds. */
export function quantile(durations: readonly number[], q: number): number {
  const sorted = durations.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
}

export function describe(report: Report): string {
  const ms = (q: number) => quantile(report.durations, q);
  return (
    `${report.requests} requests: ${failed(report)} failed, ${report.duplicated} duplicated, ${report.lost} lost, ${report.replays} replays; ` +
    `p50 ${ms(0.5)} ms, p99 ${ms(0.99)} ms, slowest ${ms(1)} ms` +
    [...report.failures]
      .slice(0, MAX_KINDS)
      .map(([what, n]) => `\n      ${n} x ${what}`)
      .join('')
  );
}
