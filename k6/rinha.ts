/**
 * The public load test of the Rinha de Backend 2024-Q1, rate for rate: RinhaBackendCrebitosSimulation.scala of
 * https://github.com/zanfranceschi/rinha-de-backend-2024-q1, of which this is a port from Gatling to k6. First its
 * opening checks, then four minutes of debits (to 220/s), credits (to 110/s) and statements (to 10/s). Its contract: 98 %
 * of the answers in less than 250 ms, and no balance beyond the limit.
 * k6/run.sh sets the five clients back to a balance of 0 first, which the opening checks ask for.
 */
import http from 'k6/http';
import { Counter, Rate } from 'k6/metrics';
import { type Answer, expectAnswer, iteration, json, request, requireApi, send } from './lib/api.ts';
import { oneOf, text } from './lib/data.ts';
import { ALL_STARTED, options as make, time } from './lib/options.ts';

export { handleSummary } from './lib/summary.ts';

const inconsistencies = new Counter('rinha_inconsistencies');
const inTime = new Rate('rinha_answers_in_time');

const ramp = (rate: number, exec: string, preAllocatedVUs: number) => ({
  executor: 'ramping-arrival-rate' as const,
  startRate: 1,
  stages: [
    { duration: time(120), target: rate },
    { duration: time(120), target: rate },
  ],
  preAllocatedVUs,
  exec,
});

export const options = make(
  {
    debits: ramp(220, 'debit', 300),
    credits: ramp(110, 'credit', 150),
    statements: ramp(10, 'statement', 30),
  },
  {
    ...ALL_STARTED,
    rinha_inconsistencies: ['count==0'],
    rinha_answers_in_time: ['rate>=0.98'],
    http_req_failed: ['rate==0'],
  },
  { noVUConnectionReuse: true, batch: 25, batchPerHost: 25 }, // as in Gatling, a user brings a connection of their own
);

const WRITE = '/clientes/{id}/transacoes';
const READ = '/clientes/{id}/extrato';
/** The limits of the clients 1 to 5. */
const LIMITS = [100_000, 80_000, 1_000_000, 10_000_000, 500_000];

type Kind = 'c' | 'd';
const write = (id: number, valor: number, tipo: string, descricao: string | null, expect: number[]): Answer =>
  send('POST', WRITE, { path: { id }, body: { valor, tipo, descricao }, expect });
const read = (id: number, expect = [200]): Answer => send('GET', READ, { path: { id }, expect });

/** What must hold of every answer that tells a balance: the client's own limit, and a balance within it. */
function withinLimit(id: number, { saldo, limite }: { saldo?: number; limite?: number }): void {
  const limit = LIMITS[id - 1] as number;
  if (limite !== limit || !Number.isInteger(saldo) || Number(saldo) < -limit) inconsistencies.add(1);
}

function openingCheck(right: boolean): void {
  if (!right) inconsistencies.add(1);
}

/** Twenty-five at once on client 1. */
function atOnce(tipo: Kind, balance: number): void {
  const body = { valor: 1, tipo, descricao: 'validacao' };
  const answers = http.batch(Array.from({ length: 25 }, () => request('POST', WRITE, { path: { id: 1 }, body })));
  for (const answer of answers) openingCheck(expectAnswer(answer as Answer, 'opening: 25 at once', 200));
  openingCheck(expectAnswer(read(1), `opening: balance ${balance}`, 200, ({ saldo }) => saldo.total === balance));
}

export function setup(): void {
  requireApi();
  atOnce('d', -25);
  atOnce('c', 0);
  for (const [index, limite] of LIMITS.entries()) {
    const id = index + 1;
    const fresh = expectAnswer(
      read(id),
      'opening: limit and balance',
      200,
      ({ saldo }) => saldo.limite === limite && saldo.total === 0,
    );
    openingCheck(fresh);
    withinLimit(id, json(write(id, 1, 'c', 'toma', [200])));
    withinLimit(id, json(write(id, 1, 'd', 'devolve', [200])));
    const newestFirst = expectAnswer(
      read(id),
      'opening: the last transactions',
      200,
      ({ ultimas_transacoes: [newest, older] }) => {
        return (
          newest.descricao === 'devolve' &&
          newest.tipo === 'd' &&
          newest.valor === 1 &&
          older.descricao === 'toma' &&
          older.tipo === 'c' &&
          older.valor === 1
        );
      },
    );
    openingCheck(newestFirst);
    for (const [valor, tipo, descricao] of MALFORMED) {
      expectAnswer(write(id, valor, tipo, descricao, [422]), 'opening: malformed, 422', 422);
    }
  }
  expectAnswer(read(6, [404]), 'opening: no client 6', 404);
}

const MALFORMED: [number, string, string | null][] = [
  [1.2, 'd', 'devolve'],
  [1, 'x', 'devolve'],
  [1, 'c', '123456789 e mais um pouco'],
  [1, 'c', ''],
  [1, 'c', null],
];

/** 422 is a right answer to a debit: the limit would not hold. */
function observe(answer: Answer, right: number[]): boolean {
  inTime.add(right.includes(answer.status) && answer.timings.duration < 250);
  return answer.status === 200;
}

export const debit = iteration(() => {
  const id = oneOf(5);
  const answer = write(id, oneOf(10_000), 'd', text(10), [200, 422]);
  if (observe(answer, [200, 422])) withinLimit(id, json(answer));
});

export const credit = iteration(() => {
  const id = oneOf(5);
  const answer = write(id, oneOf(10_000), 'c', text(10), [200]);
  if (observe(answer, [200])) withinLimit(id, json(answer));
});

export const statement = iteration(() => {
  const id = oneOf(5);
  const answer = read(id);
  if (!observe(answer, [200])) return;
  const { saldo } = json(answer);
  withinLimit(id, { saldo: saldo?.total, limite: saldo?.limite });
});
