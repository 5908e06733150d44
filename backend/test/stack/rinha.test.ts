/** The public rules of the Rinha de Backend 2024-Q1, black box through Nginx. */
import { json, type Stack, seed, sendJson, startStack } from '../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
  seed(stack);
}, 60_000);
afterAll(() => stack.stop());

const transact = (id: number, body: unknown) => sendJson('POST', `${stack.url}/clientes/${id}/transacoes`, body);
const statement = (id: number) => fetch(`${stack.url}/clientes/${id}/extrato`);
const LIMITS = [100_000, 80_000, 1_000_000, 10_000_000, 500_000];

test('The five clients have their limits and nothing else; the sixth does not exist', async () => {
  for (const [n, limite] of LIMITS.entries()) {
    const answer = await statement(n + 1);
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { saldo: { total: 0, data_extrato: expect.stringMatching(/Z$/), limite }, ultimas_transacoes: [] },
    ]);
  }
  expect((await statement(6)).status).toBe(404);
  expect((await transact(6, { valor: 1, tipo: 'c', descricao: 'nobody' })).status).toBe(404);
});

test.each([1, 2, 3, 4, 5])(
  'Client %d: 25 debits at once, then 25 credits, and the balance is exact at each step',
  async (id) => {
    const limite = LIMITS[id - 1];
    const wave = async (tipo: 'c' | 'd') => {
      const answers = await Promise.all(
        Array.from({ length: 25 }, () => transact(id, { valor: 1, tipo, descricao: 'validacao' })),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      expect(new Set(answers.map((answer) => answer.headers.get('x-served-by'))).size).toBe(2);
      return Promise.all(answers.map(json));
    };
    const debited = await wave('d');
    expect(debited.map(({ saldo }) => saldo).sort((a, b) => b - a)).toEqual(
      Array.from({ length: 25 }, (_, n) => -(n + 1)),
    );
    expect(debited.every((body) => body.limite === limite)).toBe(true);
    expect((await json(await statement(id))).saldo).toMatchObject({ total: -25, limite });
    const credited = await wave('c');
    expect(credited.map(({ saldo }) => saldo).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 25 }, (_, n) => n - 24),
    );
    expect((await json(await statement(id))).saldo).toMatchObject({ total: 0, limite });
  },
);

test('A statement shows its client’s own write at once, on any replica, newest first and ten at most', async () => {
  const replicas = new Set<string | null>();
  for (let n = 1; n <= 30; n++) {
    const body = { valor: n, tipo: n % 2 === 0 ? 'd' : 'c', descricao: `toma ${n}` };
    const { saldo } = await json(await transact(1, body));
    for (const answer of [await statement(1), await statement(1)]) {
      replicas.add(answer.headers.get('x-served-by'));
      const extrato = await json(answer);
      expect(extrato.saldo.total).toBe(saldo);
      expect(extrato.ultimas_transacoes[0]).toEqual({ ...body, realizada_em: expect.stringMatching(/Z$/) });
      expect(extrato.ultimas_transacoes).toHaveLength(10);
      const times = extrato.ultimas_transacoes.map((each: { realizada_em: string }) => each.realizada_em);
      expect(times).toEqual(times.toSorted().reverse());
    }
  }
  expect(replicas.size).toBe(2);
});

test('A debit may take the balance to the limit and not one cent further', async () => {
  expect((await json(await statement(2))).saldo.total).toBe(0);
  expect((await transact(2, { valor: 80_001, tipo: 'd', descricao: 'too much' })).status).toBe(422);
  expect(await json(await transact(2, { valor: 80_000, tipo: 'd', descricao: 'all' }))).toEqual({
    limite: 80_000,
    saldo: -80_000,
  });
  expect((await transact(2, { valor: 1, tipo: 'd', descricao: 'one more' })).status).toBe(422);
  expect((await json(await statement(2))).saldo.total).toBe(-80_000);
});

describe('malformed transactions', () => {
  const good = { valor: 1, tipo: 'c', descricao: 'danada' };
  test.each([
    ['valor 1.2', { ...good, valor: 1.2 }],
    ['valor 0', { ...good, valor: 0 }],
    ['valor -1', { ...good, valor: -1 }],
    ['valor as text', { ...good, valor: '1' }],
    ['no valor', { tipo: 'c', descricao: 'danada' }],
    ['tipo x', { ...good, tipo: 'x' }],
    ['no tipo', { valor: 1, descricao: 'danada' }],
    ['descricao empty', { ...good, descricao: '' }],
    ['descricao null', { ...good, descricao: null }],
    ['descricao of 11 characters', { ...good, descricao: '123456789 e' }],
    ['no descricao', { valor: 1, tipo: 'c' }],
  ])('%s: 422, and the balance stays', async (_, body) => {
    const before = (await json(await statement(3))).saldo.total;
    expect((await transact(3, body)).status).toBe(422);
    expect((await json(await statement(3))).saldo.total).toBe(before);
  });
});

test('Seeding again changes nothing; with --reset it begins anew', async () => {
  await transact(4, { valor: 10, tipo: 'd', descricao: 'kept' });
  const before = (await json(await statement(4))).saldo.total;
  seed(stack);
  expect((await json(await statement(4))).saldo.total).toBe(before);
  seed(stack, '--reset');
  for (const [n, limite] of LIMITS.entries()) {
    expect(await json(await statement(n + 1))).toMatchObject({ saldo: { total: 0, limite }, ultimas_transacoes: [] });
  }
  expect(() => seed(stack, '--rest')).toThrow();
});
