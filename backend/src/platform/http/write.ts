import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import { classifyDatabaseError } from '../database/errors.ts';
import {
  ageOfOldestOutcome,
  deleteOldOutcomes,
  findOutcomes,
  insertOutcome,
  isTaken,
  type OutcomeName,
} from '../database/write-outcomes.ts';
import type { WriteTransaction } from '../database/write-transaction.ts';
import type { Deps } from '../deps.ts';
import { HttpError, RETRY_AFTER, toHttpError } from './errors.ts';
import type { Incoming } from './handler.ts';
import type { Answer, Written } from './route.ts';

/** What is kept of a write: its answer, or why there was none. Refused: it did not happen, and an attempt that is late must not do it. */
type Outcome = { readonly answer: Answer } | { readonly problem: Problem } | { readonly refused: true };
type Problem = Pick<HttpError, 'status' | 'message' | 'errors' | 'headers'>;

export interface WriteNames {
  readonly attempt: OutcomeName;
  readonly client?: OutcomeName | undefined;
}

/** Another request that bears one of these names is finished. */
class Taken extends Error {}

const CLIENT_KEY = /^[\x21-\x7e]{1,255}$/;
/** SQLSTATE of lock_timeout: another transaction with this name is still open. */
const LOCK_TIMEOUT = '55P03';
const EXPIRY_MS = 60_000;

/**
 * The names of a write. Nginx overwrites X-Attempt-Key with a value that is the same on every attempt that it makes for one
 * request; a client cannot choose it. Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) may be quoted or not.
 * @throws HttpError 400
 */
export function readNames(request: Incoming): WriteNames {
  // Without Nginx there is one attempt only. Not the request's id, which a client chooses, and may choose twice.
  const attempt = { name: `attempt:${request.headers['x-attempt-key'] ?? randomUUID()}`, request: null };
  const header = request.headers['idempotency-key'] as string | undefined; // Node joins those that come twice
  if (header === undefined) return { attempt };
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (!CLIENT_KEY.test(key)) {
    const message = 'must be 1 to 255 visible ASCII characters, such as a UUID';
    throw new HttpError(400, 'malformed header', { errors: [{ in: 'header', path: 'Idempotency-Key', message }] });
  }
  const { method, originalUrl, body, headers } = request;
  const text = JSON.stringify([method, originalUrl, headers['if-match'], body]);
  return { attempt, client: { name: `client:${key}`, request: createHash('sha256').update(text).digest('base64url') } };
}

export type Write = (names: WriteNames, work: (trx: WriteTransaction) => Promise<Written>) => Promise<Answer>;

/**
 * Makes each write happen at most once, however often Nginx or the client sends it: what came of it is kept under its names in its own
 * transaction (docs/writes.md). `work` runs first, so that this costs one statement; a second transaction with a name
 * waits there for the first, and is rolled back if that commits.
 */
export function createWrite({ db, control, cache, metrics }: Deps): Write {
  const named = ({ attempt, client }: WriteNames) => (client ? [attempt, client] : [attempt]);

  /** @throws Taken, or HttpError 409 */
  async function keep(on: typeof db, names: readonly OutcomeName[], outcome: Outcome): Promise<void> {
    await insertOutcome(on, names, outcome).catch((error: unknown) => {
      if (isTaken(error)) throw new Taken();
      const isRunning = error instanceof DatabaseError && error.code === LOCK_TIMEOUT && names.length > 1;
      throw isRunning ? new StillRunning() : error;
    });
  }

  /** Not 503, which promises that nothing happened: this attempt may be the second, and the first may have committed, or hang elsewhere. */
  function unsettled(cause: unknown): HttpError {
    metrics.writesUnsettled.inc();
    const lost = 'the database is not available: the write, or an earlier attempt of it, may or may not have happened';
    return new HttpError(504, lost, { cause });
  }

  /** Gives the first answer once more. */
  async function replay(names: WriteNames): Promise<Answer> {
    const rows = await findOutcomes(db, named(names)).catch((error: unknown) => {
      throw unsettled(error);
    });
    const find = (name: OutcomeName | undefined) => rows.find((row) => row.name === name?.name);
    const [attempt, client] = [find(names.attempt), find(names.client)];
    if (client && client.request !== names.client?.request) {
      throw new HttpError(422, 'this Idempotency-Key came with another request');
    }
    const outcome = (client ?? attempt)?.outcome as Outcome | undefined;
    if (!outcome || 'refused' in outcome) throw new HttpError(503, 'this write was given up; nothing was written');
    metrics.writeReplays.inc({ scope: attempt ? 'attempt' : 'client' });
    const headers = { 'Idempotent-Replayed': 'true' };
    if ('answer' in outcome) return { ...outcome.answer, headers: { ...outcome.answer.headers, ...headers } };
    const { status, message, errors, headers: own } = outcome.problem;
    throw new HttpError(status, message, { ...(errors && { errors }), headers: { ...own, ...headers } });
  }

  /**
   * A failed write must not happen later: an attempt of the same request may hang in another replica, or COMMIT may have been lost on
   * its way. So the failure is kept too, before the client is told.
   */
  async function settle(names: WriteNames, error: unknown): Promise<Answer> {
    const problem = toHttpError(error);
    const isFinal = problem.status < 500 && !(problem instanceof StillRunning);
    const { status, message, errors, headers } = problem;
    try {
      // In a transaction: of two names both are kept, or neither.
      if (isFinal) {
        const outcome = { problem: { status, message, errors, headers } };
        await db.transaction().execute((trx) => keep(trx, named(names), outcome));
      }
      // Not under the client's name: the next attempt with it may succeed. By connections of its own: the pool may be exhausted.
      else await keep(control, [names.attempt], { refused: true });
    } catch (failure) {
      if (failure instanceof Taken) return replay(names);
      if (failure instanceof StillRunning) return settle(names, failure);
      throw unsettled(problem.cause ?? failure);
    }
    if (classifyDatabaseError(error) === 'unknown-outcome') {
      throw new HttpError(503, 'the database was lost during the write; nothing was written', { cause: error });
    }
    throw error;
  }

  return async function write(names, work) {
    let committed: Written['committed'];
    try {
      const answer = await cache.write(db, async (trx) => {
        const { changed, committed: after, ...own } = await work(trx);
        committed = after;
        return { value: own, tags: changed, last: () => keep(trx, named(names), { answer: own }) };
      });
      committed?.();
      return answer;
    } catch (error) {
      return error instanceof Taken ? replay(names) : settle(names, error);
    }
  };
}

class StillRunning extends HttpError {
  constructor() {
    super(409, 'a request with this Idempotency-Key is still running', { headers: { 'Retry-After': RETRY_AFTER } });
  }
}

/** Forgets what was kept long enough, in the background, in small steps. */
export function expireOutcomes({ control, metrics, logger }: Deps) {
  const stopping = new AbortController();
  async function run() {
    while (!stopping.signal.aborted) {
      try {
        for (let more = true; more && !stopping.signal.aborted; ) {
          const step = await deleteOldOutcomes(control);
          metrics.writeOutcomesExpired.inc(step.deleted);
          more = step.more;
        }
        metrics.oldestWriteOutcome.set(await ageOfOldestOutcome(control));
      } catch (err) {
        logger.info({ err }, 'old outcomes of writes were not deleted');
      }
      await sleep(EXPIRY_MS, undefined, { ref: false, signal: stopping.signal }).catch(() => {});
    }
  }
  void run();
  return { stop: () => stopping.abort() };
}
