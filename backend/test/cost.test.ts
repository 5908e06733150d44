/**
 * What a request costs, in things that no machine and no neighbour changes: packets. A write to a socket is the dearest
 * thing that a replica does (docs/benchmarks.md), here and for whoever is woken by it.
 */
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { findItem } from '../src/features/items/items.repository.ts';
import { useApi, warm } from './support/api.ts';

const api = useApi();

type Name = 'postgres' | 'redis';
const packets: Name[] = [];
const ports: Record<string, Name> = {
  [new URL(process.env.TEST_POSTGRES_URL as string).port]: 'postgres',
  [new URL(process.env.TEST_REDIS_URL as string).port]: 'redis',
};
// Each call of one of these is one system call.
const originals = { _write: Socket.prototype._write, _writev: Socket.prototype._writev };

beforeAll(() => {
  for (const method of ['_write', '_writev'] as const) {
    const original = originals[method] as (...args: unknown[]) => void;
    Socket.prototype[method] = function (this: Socket, ...args: unknown[]) {
      const name = ports[`${this.remotePort}`];
      if (name) packets.push(name);
      original.apply(this, args);
    };
  }
});
afterAll(() => Object.assign(Socket.prototype, originals));

/** The packets of one request: the fewest of some, because the gate asks each second, and the connections are shared. */
async function packetsOf(request: () => PromiseLike<{ status: number }>, status: number) {
  const seen: string[] = [];
  for (let attempt = 0; attempt < 10; attempt++) {
    await sleep(10); // what the request before has left to say
    packets.length = 0;
    expect((await request()).status).toBe(status);
    await sleep(30); // the end of a write's marker waits for a moment
    const count = (name: Name) => packets.filter((packet) => packet === name).length;
    seen.push(`postgres ${count('postgres')}, redis ${count('redis')}`);
  }
  return seen.sort()[0];
}

const client = () => api.replicas[0].api;

test('A ping asks nobody', async () => {
  expect(await packetsOf(() => client().get('/ping'), 200)).toBe('postgres 0, redis 0');
});

test('A cached read is one packet to Redis', async () => {
  await warm(client(), '/tasks/1');
  // The one to PostgreSQL is the test's own: it compares every answer from the cache with the database (support/api.ts).
  expect(await packetsOf(() => client().get('/tasks/1'), 200)).toBe('postgres 1, redis 1');
});

test('A read of what is not cached is one packet to PostgreSQL', async () => {
  const { body } = await client().post('/items').send({ title: 'cost' });
  expect(await packetsOf(() => client().get(`/items/${body.id}`), 200)).toBe('postgres 1, redis 0');
});

test('A write of what is not cached is one packet to PostgreSQL: the row and its outcome', async () => {
  expect(await packetsOf(() => client().post('/items').send({ title: 'cost' }), 201)).toBe('postgres 1, redis 0');
});

test('A write of what is cached, made or changed, is two packets to Redis more: its announcement, and its end', async () => {
  expect(await packetsOf(() => client().post('/tasks').send({ title: 'cost' }), 201)).toBe('postgres 1, redis 2');
  await warm(client(), '/tasks/1');
  expect(await packetsOf(() => client().put('/tasks/1').send({ title: 'cost' }), 200)).toBe('postgres 1, redis 2');
});

test('A write of several statements sends the last of them with COMMIT: BEGIN, three of its own, outcome and COMMIT', async () => {
  const customer = { name: 'n', email: 'n@example.com', address: 'a', city: 'c', postal_code: '1', country: 'BR' };
  const carts: string[] = [];
  for (let n = 0; n < 10; n++) {
    const { id } = (await client().post('/carts')).body;
    await client().post(`/carts/${id}/items`).send({ product_id: 1, quantity: 1 });
    carts.push(id);
  }
  const checkOut = () => client().post(`/carts/${carts.pop()}/checkout`).send(customer);
  expect(await packetsOf(checkOut, 200)).toBe('postgres 5, redis 0');
});

test('Reads of one turn of the event loop share a packet to Redis', async () => {
  await sleep(50);
  packets.length = 0;
  const { redis } = api.replicas[0].deps;
  await Promise.all(Array.from({ length: 20 }, () => redis?.ping()));
  expect(packets).toEqual(['redis']);
});

test('So do reads of single rows to PostgreSQL', async () => {
  const { db } = api.replicas[0].deps;
  const { body } = await client().post('/items').send({ title: 'cost' });
  await findItem(db, body.id);
  await sleep(50);
  packets.length = 0;
  await Promise.all(Array.from({ length: 20 }, () => findItem(db, body.id)));
  expect(packets).toEqual(['postgres']);
});
