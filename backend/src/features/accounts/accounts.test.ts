import { asAdmin, expectProblem, useApi } from '../../../test/support/api.ts';
import { resetClients, seedClients } from './accounts.seed.ts';

const api = useApi();
const { at } = api;
let serial = 0;

async function createUser(limite = 0): Promise<number> {
  const response = await api.api.post('/users').send({ nome: 'Ana', email: `ana-${++serial}@example.com`, limite });
  expect(response.status).toBe(201);
  return response.body.id;
}
const transact = (n: number, user_id: number, tipo: 'c' | 'd', valor: number) =>
  at(n).post('/transactions').send({ user_id, tipo, valor, descricao: 'x' });
const balance = async (id: number) =>
  (await api.db.selectFrom('users').select('saldo').where('id', '=', id).executeTakeFirstOrThrow()).saldo;

/** What the balance must be: the sum of the user's transactions. */
async function sumOf(id: number): Promise<number> {
  const rows = await api.db.selectFrom('transactions').select(['tipo', 'valor']).where('user_id', '=', id).execute();
  return rows.reduce((sum, { tipo, valor }) => sum + (tipo === 'c' ? valor : -valor), 0);
}
const tally = (statuses: number[]) =>
  Object.fromEntries(
    Map.groupBy(statuses, String)
      .entries()
      .map(([status, all]) => [status, all.length]),
  );

describe('the balance', () => {
  test('When 200 debits run at once over two replicas, then they stop exactly at the limit and saldo is the sum', async () => {
    const id = await createUser(1_000);
    const debits = Array.from({ length: 200 }, (_, n) => transact(n, id, 'd', 7));
    const answers = await Promise.all(debits);
    // 142 × 7 = 994; one more would be 1001.
    expect(tally(answers.map(({ status }) => status))).toEqual({ 201: 142, 422: 58 });
    for (const { status, body } of answers) if (status === 201) expect(body.saldo).toBeGreaterThanOrEqual(-1_000);
    const refused = answers.find(({ status }) => status === 422);
    expect(refused?.body.detail).toMatch(/^the balance is -\d+ and the limit 1000: /);
    expect([await balance(id), await sumOf(id)]).toEqual([-994, -994]);
    // Each success saw a balance of its own: none was lost between two others.
    const seen = answers.filter(({ status }) => status === 201).map(({ body }) => body.saldo as number);
    expect(seen.sort((a, b) => b - a)).toEqual(Array.from({ length: 142 }, (_, n) => -7 * (n + 1)));
  });

  test('When credits, debits, limit changes and a deletion race, then saldo is still the sum and above the limit', async () => {
    const id = await createUser(500);
    const requests = Array.from({ length: 200 }, (_, n) => {
      if (n % 20 === 0)
        return at(n)
          .put(`/users/${id}`)
          .send({ limite: n % 40 === 0 ? 100 : 700 });
      if (n === 150) return at(n).delete(`/users/${id}`);
      return n % 3 === 0 ? transact(n, id, 'c', n) : transact(n, id, 'd', n);
    });
    const statuses = (await Promise.all(requests)).map(({ status }) => status);
    expect(statuses.filter((status) => ![200, 201, 409, 422].includes(status))).toEqual([]);
    const { saldo, limite } = (await api.api.get(`/users/${id}`)).body;
    expect([saldo, saldo >= -limite]).toEqual([await sumOf(id), true]);
  });

  test('A statement always fits itself: its balance is that of its newest transaction', async () => {
    const id = await createUser(1_000_000);
    const writes = Array.from({ length: 60 }, (_, n) => transact(n, id, n % 2 === 0 ? 'd' : 'c', n + 1));
    const statements = Array.from({ length: 30 }, (_, n) => at(n).get(`/clientes/${id}/extrato`));
    await Promise.all(writes);
    const history = await api.db
      .selectFrom('transactions')
      .selectAll()
      .where('user_id', '=', id)
      .orderBy('id')
      .execute();
    const balances = new Map<number, number>([[0, 0]]);
    let sum = 0;
    for (const { tipo, valor } of history) {
      sum += tipo === 'c' ? valor : -valor;
      balances.set(valor, sum); // each amount occurs once
    }
    for (const { body } of await Promise.all(statements)) {
      expect(body.saldo.total).toBe(balances.get(body.ultimas_transacoes[0]?.valor ?? 0));
    }
    // PostgreSQL leaves out trailing zeros, which would put 12.5Z behind 12.51Z.
    const times = history.map(({ realizada_em }) =>
      realizada_em.replace('Z', '').padEnd('2026-11-25T00:23:31.554559'.length, '0'),
    );
    expect(times).toEqual(times.toSorted());
  });

  test('An amount that a JSON number cannot hold is refused, and a credit past the largest one too', async () => {
    const id = await createUser();
    expectProblem(await transact(0, id, 'c', Number.MAX_SAFE_INTEGER + 1), 422);
    expect((await transact(0, id, 'c', Number.MAX_SAFE_INTEGER)).status).toBe(201);
    expectProblem(await transact(0, id, 'c', 1), 422);
    expect([await balance(id), await sumOf(id)]).toEqual([Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]);
  });
});

describe('bad transactions', () => {
  const good = { valor: 1, tipo: 'c', descricao: 'x' };
  test.each([
    ['a fraction', { ...good, valor: 1.2 }],
    ['a text as amount', { ...good, valor: '1' }],
    ['a negative amount', { ...good, valor: -1 }],
    ['another type', { ...good, tipo: 'x' }],
    ['a type in capitals', { ...good, tipo: 'C' }],
    ['no description', { valor: 1, tipo: 'c' }],
    ['an empty description', { ...good, descricao: '' }],
    ['null as description', { ...good, descricao: null }],
    ['a balance', { ...good, saldo: 5 }],
  ])('%s is refused and changes nothing', async (_, body) => {
    const id = await createUser(100);
    expectProblem(await api.api.post('/transactions').send({ user_id: id, ...body }), 422);
    expectProblem(await api.api.post(`/clientes/${id}/transacoes`).send(body), 422);
    expect([await balance(id), await sumOf(id)]).toEqual([0, 0]);
  });
});

describe('users', () => {
  test('A limit that would not cover the balance is refused, and says so', async () => {
    const id = await createUser(100);
    await transact(0, id, 'd', 60);
    const refused = await api.api.put(`/users/${id}`).send({ limite: 59 });
    expectProblem(refused, 422);
    expect(refused.body.detail).toMatch(/^the balance is -60: /);
    expect((await api.api.put(`/users/${id}`).send({ limite: 60 })).body).toMatchObject({ limite: 60, saldo: -60 });
  });

  test('When many use one email at once, in whatever letters, then one is made', async () => {
    const email = 'Only.One@Example.com';
    const requests = Array.from({ length: 20 }, (_, n) =>
      at(n)
        .post('/users')
        .send({ nome: `writer ${n}`, email: n % 3 === 0 ? email.toUpperCase() : email }),
    );
    const answers = await Promise.all(requests);
    expect(tally(answers.map(({ status }) => status))).toEqual({ 201: 1, 409: 19 });
    expectProblem(answers.find(({ status }) => status === 409) as (typeof answers)[0], 409);
    const stored = await api.db.selectFrom('users').select('nome').where('email', 'ilike', email).execute();
    expect(stored).toEqual([{ nome: answers.find(({ status }) => status === 201)?.body.nome }]);
  });

  test('The balance is part of the user: a transaction makes an old ETag stale', async () => {
    const id = await createUser();
    const { etag } = (await api.api.get(`/users/${id}`)).headers as { etag: string };
    await transact(1, id, 'c', 5);
    expect((await api.api.get(`/users/${id}`).set('If-None-Match', etag)).status).toBe(200);
    expectProblem(await api.api.put(`/users/${id}`).set('If-Match', etag).send({ nome: 'lost' }), 412);
    expectProblem(await api.api.delete(`/users/${id}`).set('If-Match', etag), 412);
  });

  test.each([
    ['letters beyond ASCII', 'ána@example.com'],
    ['combining marks', `a${'\u0301'.repeat(10_000)}@example.com`],
    ['a domain beyond ASCII', 'ana@münchen.de'],
    ['255 characters', `${'a'.repeat(64)}@${'b.'.repeat(94)}com`],
    ['a line separator', 'a\u2028b@example.com'],
    ['no domain', 'ana@'],
  ])('An email with %s is refused', async (_, email) => {
    expectProblem(await api.api.post('/users').send({ nome: 'Ana', email }), 422);
  });

  test('When a limit is refused while the balance moves, then the user is never said to be missing', async () => {
    const id = await createUser(1_000);
    await transact(0, id, 'd', 1);
    const moving = Array.from({ length: 100 }, (_, n) => transact(n, id, n % 2 === 0 ? 'c' : 'd', 1));
    const changes = Array.from({ length: 100 }, (_, n) =>
      at(n)
        .put(`/users/${id}`)
        .send({ limite: n % 2 === 0 ? 0 : 1_000 }),
    );
    await Promise.all(moving);
    const statuses = (await Promise.all(changes)).map(({ status }) => status);
    expect(statuses.filter((status) => status !== 200 && status !== 422)).toEqual([]);
  });

  test('A token for administrators is not asked for, and does no harm', async () => {
    expect((await api.api.get('/users').set(asAdmin)).status).toBe(200);
  });
});

describe('the clients of the Rinha', () => {
  test('When somebody else has an email that looks like theirs, then they are made all the same', async () => {
    for (const n of [1, 2]) {
      const email = `cliente-${n}@rinha.example`;
      expect((await api.api.post('/users').send({ nome: 'first', email })).status).toBe(201);
    }
    expect(await seedClients(api.db)).toHaveLength(5);
    await api.db.deleteFrom('users').where('id', '<=', 5).execute();
  });

  test('When they are seeded twice, then there are five with their limits, and no sixth', async () => {
    expect((await seedClients(api.db)).sort()).toEqual([1, 2, 3, 4, 5]);
    await transact(0, 1, 'd', 10);
    expect(await seedClients(api.db)).toEqual([]);
    const clients = await api.db
      .selectFrom('users')
      .select(['id', 'limite', 'saldo'])
      .where('id', '<', 1001)
      .orderBy('id')
      .execute();
    expect(clients).toEqual([
      { id: 1, limite: 100_000, saldo: -10 },
      { id: 2, limite: 80_000, saldo: 0 },
      { id: 3, limite: 1_000_000, saldo: 0 },
      { id: 4, limite: 10_000_000, saldo: 0 },
      { id: 5, limite: 500_000, saldo: 0 },
    ]);
    await createUser();
    expectProblem(await api.api.get('/clientes/6/extrato'), 404);
  });

  test('When they are reset while money moves, then saldo is still the sum', async () => {
    await seedClients(api.db);
    const other = await createUser();
    await transact(0, other, 'c', 5);
    const moving = Array.from({ length: 60 }, (_, n) => transact(n, (n % 5) + 1, 'd', 1));
    await Promise.all([resetClients(api.db), ...moving]);
    for (const id of [1, 2, 3, 4, 5]) expect(await balance(id)).toBe(await sumOf(id));
    await resetClients(api.db);
    for (const id of [1, 2, 3, 4, 5]) expect([await balance(id), await sumOf(id)]).toEqual([0, 0]);
    expect(await balance(other)).toBe(5);
  });
});
