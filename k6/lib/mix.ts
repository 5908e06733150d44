/** One client's step in a mixed load: eight reads of ten, and what it creates it deletes again. */
import { type Answer, expectAnswer, forgetKeys, json, send } from './api.ts';
import { newItem, oneOf } from './data.ts';

const KEYS = 50;
const keyOf = (n: number): string => `k6:mix:${n}`;

export function mixedStep(): void {
  const dice = oneOf(10);
  if (dice <= 3)
    expectAnswer(send('GET', '/items', { query: { limit: 20 } }), 'GET /items: a list', 200, Array.isArray);
  else if (dice <= 5)
    expectAnswer(send('GET', '/tasks'), 'GET /tasks: a list', 200, ({ tasks }) => Array.isArray(tasks));
  else if (dice <= 8) readKey();
  else if (dice === 9) writeKey();
  else createAndDelete();
}

function readKey(): void {
  const key = keyOf(oneOf(KEYS));
  const answer = send('GET', '/kv', { query: { key }, expect: [200, 404] });
  const right = ({ data }: { data?: { key: string } }) => answer.status === 404 || data?.key === key;
  expectAnswer(answer, 'GET /kv: the key, or 404', answer.status === 404 ? 404 : 200, right);
}

function writeKey(): void {
  const body = { key: keyOf(oneOf(KEYS)), value: 'x'.repeat(200) };
  expectAnswer(send('PUT', '/kv', { body }), 'PUT /kv: stored', 200, ({ status }) => status === 'ok');
}

function createAndDelete(): void {
  const body = newItem();
  const created: Answer = send('POST', '/items', { body });
  if (!expectAnswer(created, 'POST /items: created', 201, ({ title }) => title === body.title)) return;
  expectAnswer(send('DELETE', '/items/{id}', { path: { id: json(created).id } }), 'DELETE /items/{id}: gone', 204);
}

/** The teardown of a script that uses the mix. */
export const forgetMix = (): void => forgetKeys(Array.from({ length: KEYS }, (_, n) => keyOf(n + 1)));
