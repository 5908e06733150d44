/** Clients that read and write a few registers over HTTP, and remember what they saw. */
import { setTimeout as sleep } from 'node:timers/promises';
import { keepConnections, sendOver } from '../support/client.ts';
import type { Operation } from './checker.ts';

/** How a value is written to a register, and every way in which it can be read. */
export interface Register {
  readonly name: string;
  /** PUT here writes it. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  body(value: string): object;
  readonly reads: readonly Read[];
}
interface Read {
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: a body of any shape
  value(body: any): string;
}

interface Answer {
  readonly status: number;
  readonly cache: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: a body of any shape
  readonly body: any;
}

const agent = keepConnections();
export const hangUp = () => agent.destroy();

/** @throws when the connection breaks, also in the middle of the answer */
export async function send(
  base: string,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { status, headers: answered, text } = await sendOver(agent, method, base + path, body, headers);
  return { status, cache: answered['x-cache'] as string | undefined, body: JSON.parse(text) };
}

export interface Seen {
  /** By register. */
  readonly histories: Map<string, Operation[]>;
  readonly counts: {
    reads: number;
    writes: number;
    hits: number;
    failedReads: number;
    refusedWrites: number;
    unknownWrites: number;
  };
  /** When writes were refused, in ms from the start. */
  readonly refusals: number[];
  readonly statuses: Map<string, number>;
}

export interface Load {
  readonly registers: readonly Register[];
  /** Where requests go: the replicas themselves, and the edge. */
  readonly targets: readonly string[];
  readonly clients: number;
  readonly random: () => number;
  /** The share of writes. */
  readonly writes?: number | undefined;
  readonly until: () => boolean;
}

/** After a failure, so that a dead replica does not take all of the clients' time. */
const REST_MS = 5;

export async function runClients({ registers, targets, clients, random, writes = 0.3, until }: Load): Promise<Seen> {
  const histories = new Map(registers.map(({ name }) => [name, [] as Operation[]]));
  const counts = { reads: 0, writes: 0, hits: 0, failedReads: 0, refusedWrites: 0, unknownWrites: 0 };
  const statuses = new Map<string, number>();
  const refusals: number[] = [];
  const began = performance.now();
  let value = 0;
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  const seen = (what: string) => statuses.set(what, (statuses.get(what) ?? 0) + 1);

  async function write(register: Register, target: string, by: string): Promise<void> {
    const own = `${register.name}-${++value}`;
    const invoke = performance.now();
    const entry = { kind: 'write', value: own, invoke, by } as const;
    const history = histories.get(register.name) as Operation[];
    counts.writes++;
    try {
      const { status } = await send(target, 'PUT', register.path, register.body(own), register.headers);
      seen(`PUT ${status}`);
      if (status < 300) history.push({ ...entry, return: performance.now() });
      else if (status < 500 || status === 503) {
        counts.refusedWrites++;
        refusals.push(performance.now() - began);
        history.push({ ...entry, return: performance.now(), refused: true });
        await sleep(REST_MS);
      } else throw new Error(`${status}`);
    } catch {
      counts.unknownWrites++;
      history.push({ ...entry, return: Number.POSITIVE_INFINITY });
      await sleep(REST_MS);
    }
  }

  async function read(register: Register, target: string, by: string): Promise<void> {
    const { path, value } = pick(register.reads);
    const invoke = performance.now();
    counts.reads++;
    try {
      const { status, cache, body } = await send(target, 'GET', path);
      seen(`GET ${status}`);
      if (status !== 200) throw new Error(`${status}`);
      if (cache === 'HIT') counts.hits++;
      const entry = { kind: 'read', value: value(body), invoke, return: performance.now() } as const;
      histories.get(register.name)?.push({ ...entry, by: `${by} ${path} ${cache}` });
    } catch {
      counts.failedReads++;
      await sleep(REST_MS);
    }
  }

  await Promise.all(
    Array.from({ length: clients }, async (_, n) => {
      while (!until()) {
        const [register, target] = [pick(registers), pick(targets)];
        await (random() < writes ? write : read)(register, target, `client ${n} ${target}`);
      }
    }),
  );
  return { histories, counts, refusals, statuses };
}
