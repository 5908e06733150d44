/** One client's step in a mixed load: eight reads of ten, and what it creates it deletes again. */
import { expectAnswer, forgetKeys, iteration, json, keysOf, requireApi, send, setKeys } from './api.ts';
import { newItem, oneOf, pick } from './data.ts';

const KEYS = keysOf(50);
const VALUE = 'x'.repeat(200);

/** The setup and the teardown of a script that uses the mix. */
export function prepareMix(): void {
  requireApi();
  setKeys(KEYS, VALUE);
}
export const forgetMix = (): void => forgetKeys(KEYS);

export const mixedStep = iteration(() => {
  const dice = oneOf(10);
  if (dice <= 3)
    expectAnswer(send('GET', '/items', { query: { limit: 20 } }), 'GET /items: a list', 200, Array.isArray);
  else if (dice <= 5)
    expectAnswer(send('GET', '/tasks'), 'GET /tasks: a list', 200, ({ tasks }) => Array.isArray(tasks));
  else if (dice <= 8) readKey();
  else if (dice === 9) writeKey();
  else createAndDelete();
});

function readKey(): void {
  const key = pick(KEYS);
  const answer = send('GET', '/kv', { query: { key } });
  expectAnswer(answer, 'GET /kv: its value', 200, ({ data }) => data.key === key && data.value === VALUE);
}

function writeKey(): void {
  const body = { key: pick(KEYS), value: VALUE };
  expectAnswer(send('PUT', '/kv', { body }), 'PUT /kv: stored', 200, ({ status }) => status === 'ok');
}

function createAndDelete(): void {
  const body = newItem();
  const created = send('POST', '/items', { body });
  if (!expectAnswer(created, 'POST /items: created', 201, ({ title }) => title === body.title)) return;
  expectAnswer(send('DELETE', '/items/{id}', { path: { id: json(created).id } }), 'DELETE /items/{id}: gone', 204);
}
