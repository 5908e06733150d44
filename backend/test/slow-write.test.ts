/** How long a write may take, with the patience of a real replica. (What is left of one that died: stopped-replica.test.ts.) */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { useApi, warm } from './support/api.ts';

const api = useApi({ patience: undefined });

test('A write that waits for the lock of its row is not refused by a reader that meets its marker', async () => {
  await warm(api.api, '/tasks/1');
  let reading = 0;
  const writing = await api.db.transaction().execute(async (trx) => {
    await sql`select from tasks where id = 1 for update`.execute(trx);
    const answer = api.api
      .put('/tasks/1')
      .send({ title: 'slow' })
      .then((response) => response);
    for (const end = performance.now() + 2_700; performance.now() < end; await sleep(50)) {
      await api.at(1).get('/tasks/1');
      reading++;
    }
    return { answer };
  });
  expect((await writing.answer).status).toBe(200);
  expect(reading).toBeGreaterThan(10);
  expect((await api.at(1).get('/tasks/1')).body.task.title).toBe('slow');
});
