/** A little of everything, through the edge: so that every panel has something to show. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

type Send = (method: string, path: string, body?: unknown) => Promise<Response>;

/** One client's round over all features, good requests and refused ones. */
async function round(send: Send): Promise<void> {
  const created = async (path: string, body: unknown) => (await (await send('POST', path, body)).json()) as never;
  for (const path of ['/ping', '/health', '/items', '/kv/stats', '/products', '/products/1', '/tasks', '/none'])
    await send('GET', path);

  const item: { id: string } = await created('/items', { title: 'load' });
  await send('GET', `/items/${item.id}`);
  await send('PUT', `/items/${item.id}`, { status: 'done' });
  await send('DELETE', `/items/${item.id}`);
  await send('POST', '/items', { title: 5 });

  const key = randomUUID();
  await send('PUT', '/kv', { key, value: 'load' });
  for (let n = 0; n < 3; n++) await send('GET', `/kv?key=${key}`);
  await send('DELETE', `/kv?key=${key}`);

  const { task }: { task: { id: number } } = await created('/tasks', { title: 'load' });
  for (let n = 0; n < 2; n++) await send('GET', `/tasks/${task.id}`);
  await send('DELETE', `/tasks/${task.id}`);

  const user: { id: number } = await created('/users', {
    nome: 'Load',
    email: `${randomUUID()}@example.com`,
    limite: 1000,
  });
  await send('POST', '/transactions', { user_id: user.id, valor: 10, tipo: 'c', descricao: 'load' });
  await send('GET', `/transactions?user_id=${user.id}`);
  await send('DELETE', `/users/${user.id}`);

  const cart: { id: string } = await created('/carts', undefined);
  await send('POST', `/carts/${cart.id}/items`, { product_id: 1, quantity: 2 });
  await send('POST', `/carts/${cart.id}/items`, { product_id: 2, quantity: 1 });
  await send('GET', `/carts/${cart.id}`);
  await send('POST', `/carts/${cart.id}/checkout`, { name: 'Load', email: 'load@example.com', address: 'Rua 1' });
  await send('POST', `/carts/${cart.id}/checkout`, { name: 'Load', email: 'load@example.com', address: 'Rua 1' });
  await send('GET', `/orders/${cart.id}`);
}

/**
 * Three clients run round after round until they are told to stop. A request that fails ends nothing: the load is there
 * for faults too.
 */
export function startLoad(url: string): { stop(): Promise<{ requests: number; failed: number }> } {
  let on = true;
  let requests = 0;
  let failed = 0;
  const send: Send = async (method, path, body) => {
    requests++;
    const answer = await fetch(`${url}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    if (answer.status >= 500) failed++;
    return answer;
  };
  const client = async () => {
    while (on) {
      await round(send).catch(() => {});
      await sleep(200);
    }
  };
  const clients = [client(), client(), client()];
  return {
    async stop() {
      on = false;
      await Promise.all(clients);
      return { requests, failed };
    },
  };
}
