/** What is done to the replicas while clients read and write, and what must be true of it besides "no failed request". */
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../support/servers.ts';
import { runMigrations, sendJson } from '../support/stack.ts';
import { createClient, servedBy } from './load.ts';
import { runRetries } from './retries.ts';
import { honest, openSlow } from './slow-clients.ts';
import { nextVersion, type Stack, type StackOptions } from './stack.ts';

export interface Scenario {
  readonly what: string;
  readonly stack?: StackOptions;
  /** There is a time in which nobody can answer. */
  readonly outage?: true;
  /** Some write must have come a second time, or the scenario has missed its point. */
  readonly replays?: true;
  /** Once; leaves at least one replica running. @throws what is wrong. @returns what else it has to say */
  run(stack: Stack, times: number): Promise<string | undefined>;
}

/** Less than Nginx passes a replica over (2 s): it has only its list of last resort then, which is what this is about. */
const AFTER_KILL_MS = 500;
/** After a replica is back, Nginx may still pass it over for this long: touching the next one before would be two faults at once. */
const REST_MS = 4_000;
const expect = (holds: boolean, what: string) => {
  if (!holds) throw new Error(what);
};

/** Who answers, asked again and again. */
async function answering(stack: Stack, ms: number): Promise<Set<string>> {
  const client = createClient(stack.url);
  const seen = new Set<string>();
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) {
    seen.add(servedBy(await client.send('GET', '/ping')));
  }
  client.close();
  return seen;
}

const setFault = (stack: Stack, slot: number, fault: object) =>
  sendJson('PUT', `${stack.replicas[slot]?.debugUrl}/debug/fault`, fault);

export const scenarios: Readonly<Record<string, Scenario>> = {
  kill: {
    what: 'kill -9 of each replica in turn, as soon as the other is back',
    replays: true,
    async run(stack, times) {
      for (let n = 0; n < 6 * times; n++) {
        await stack.replace(n % 2, 'SIGKILL');
        await sleep(AFTER_KILL_MS);
      }
      return undefined;
    },
  },
  term: {
    what: 'SIGTERM to each replica in turn',
    async run(stack, times) {
      const codes: (number | null)[] = [];
      for (let n = 0; n < 6 * times; n++) {
        codes.push(await stack.replace(n % 2, 'SIGTERM'));
        await sleep(REST_MS);
      }
      expect(
        codes.every((code) => code === 0),
        `exit codes ${codes}`,
      );
      return undefined;
    },
  },
  hang: {
    what: 'one replica stopped (SIGSTOP) for 9 s',
    async run(stack, times) {
      for (let n = 0; n < times; n++) {
        const replica = stack.replicas[n % 2];
        replica?.signal('SIGSTOP');
        await sleep(9_000);
        replica?.signal('SIGCONT');
        await sleep(REST_MS);
        expect((await fetch(`${replica?.debugUrl}/health/ready`)).ok, 'the replica did not survive');
      }
      return undefined;
    },
  },
  crash: {
    what: 'one replica that drops every request without an answer, for 5 s',
    async run(stack, times) {
      for (let n = 0; n < times; n++) {
        await setFault(stack, n % 2, { kind: 'failing' });
        await sleep(5_000);
        await setFault(stack, n % 2, { kind: 'none' });
        await sleep(REST_MS);
      }
      return undefined;
    },
  },
  late: {
    what: 'a third replica of the next version, whose migration is missing for 3 s',
    async run(stack) {
      const code = nextVersion();
      const { debugUrl } = await stack.launch(2, code);
      const seen = answering(stack, 3_000);
      expect((await fetch(`${debugUrl}/health/ready`)).status === 503, 'it is ready without its migrations');
      expect(!(await seen).has('backend-3'), 'it answered before it was ready');
      runMigrations(stack.postgres, code);
      await until('its answers', async () => (await answering(stack, 500)).has('backend-3'));
      await stack.end(2, 'SIGTERM');
      return undefined;
    },
  },
  scale: {
    what: '2 replicas, 4, and 2 again',
    async run(stack, times) {
      for (let n = 0; n < times; n++) {
        await stack.start(2);
        await stack.start(3);
        await until('all four to answer', async () => (await answering(stack, 1_000)).size === 4);
        await stack.end(2, 'SIGTERM');
        await stack.end(3, 'SIGTERM');
        expect((await answering(stack, 1_000)).size === 2, 'others than the two answered');
      }
      return undefined;
    },
  },
  down: {
    what: 'no replica for 2 s, then one, then both',
    outage: true,
    async run(stack, times) {
      const client = createClient(stack.url);
      const waits: number[] = [];
      for (let n = 0; n < times; n++) {
        await Promise.all([stack.end(0, 'SIGKILL'), stack.end(1, 'SIGKILL')]);
        for (const end = Date.now() + 2_000; Date.now() < end; await sleep(50)) {
          const { status, headers } = await client.send('GET', '/items');
          const answer = `${status} ${headers['content-type']} Retry-After: ${headers['retry-after']}`;
          expect(answer === '503 application/problem+json Retry-After: 2', `the edge answered ${answer}`);
        }
        await stack.start(0);
        const began = performance.now();
        await until('an answer', async () => (await client.send('GET', '/items')).status === 200);
        waits.push(Math.round(performance.now() - began));
        await stack.start(1);
      }
      client.close();
      return `first success ${waits.join(', ')} ms after one was back`;
    },
  },
  slow: {
    what: 'one path of one replica slower than Nginx waits, asked for once a second',
    async run(stack, times) {
      await setFault(stack, 0, { kind: 'slow', ms: 8_000, path: '/users' });
      const client = createClient(stack.url);
      const asked: Promise<number>[] = [];
      for (let n = 0; n < 10 * times; n++) {
        asked.push(client.send('GET', '/users?limit=1').then(({ status }) => status));
        await sleep(1_000);
      }
      const statuses = await Promise.all(asked);
      client.close();
      await setFault(stack, 0, { kind: 'none' });
      expect(
        statuses.every((status) => status === 200),
        `the slow path answered ${statuses}`,
      );
      return undefined;
    },
  },
  idle: {
    what: 'writes just when Nginx gives up an idle connection (60 s made 1 s)',
    stack: { nginx: [['keepalive_timeout 60s;', 'keepalive_timeout 1s;']] },
    async run(stack, times) {
      const client = createClient(stack.url);
      const statuses = new Set<number>();
      for (let n = 0; n < 8 * times; n++) {
        const writes = Array.from({ length: 20 }, () => client.send('POST', '/items', { title: 'idle' }));
        for (const { status } of await Promise.all(writes)) statuses.add(status);
        await sleep(990 + (n % 5) * 5);
      }
      client.close();
      expect(statuses.size === 1 && statuses.has(201), `the writes answered ${[...statuses]}`);
      return undefined;
    },
  },
  retries: {
    what: 'clients that cut their connections and try again with an Idempotency-Key, while a replica is killed every 2 s',
    async run(stack, times) {
      let over = false;
      const killing = (async () => {
        for (let n = 0; !over; n++) {
          await stack.replace(n % 2, 'SIGKILL');
          await sleep(2_000);
        }
      })();
      const { problems, said } = await runRetries(stack.url, 500 * times).finally(() => {
        over = true;
      });
      await killing;
      expect(problems.length === 0, problems.slice(0, 5).join('; '));
      return said;
    },
  },
  slowloris: {
    what: '1,000 connections that send headers or bodies, or read answers, a few bytes at a time',
    stack: { settings: { LIMIT_CONNECTIONS: '10000' }, slowAnswers: false },
    async run(stack, times) {
      const quiet = await honest(stack.url, 15_000);
      const slow = openSlow(stack.nginx.port, 1_000);
      await sleep(2_000);
      const held = slow.counts().open;
      const busy = await honest(stack.url, 20_000 * times);
      const { open, ended } = slow.counts();
      slow.close();
      expect(
        quiet.failures + busy.failures === 0,
        `${quiet.failures} and ${busy.failures} failures of an honest client`,
      );
      expect(held > 900 && open > 900, `only ${held} and ${open} slow connections were open`);
      return `${held} held at first, ${open} at last, ${ended} ended by Nginx; p99 of an honest client ${quiet.p99} ms before, ${busy.p99} ms meanwhile`;
    },
  },
};
