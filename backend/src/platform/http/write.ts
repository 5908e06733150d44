import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import { type Announce, Unsettled } from '../cache/cache.ts';
import { classifyDatabaseError } from '../database/errors.ts';
import {
  ageOfOldestOutcome,
  deleteOldOutcomes,
  findOutcomes,
  insertOutcome,
  isTaken,
  type Keeping,
  rowOf,
  UNCACHED,
} from '../database/write-outcomes.ts';
import type { WriteTransaction } from '../database/write-transaction.ts';
import type { Deps } from '../deps.ts';
import { HttpError, RETRY_AFTER, toHttpError } from './errors.ts';
import type { Incoming } from './handler.ts';
import type { Answer, OneWrite, Written } from './route.ts';
import { createTurns } from './turns.ts';

/**
 * What is kept of a write: the row that it changed, or its answer, or why there was none. Refused: it did not happen, and an attempt that
 * is late must not do it.
 */
type Outcome =
  | { readonly row: Record<string, unknown> }
  | { readonly answer: Answer }
  | { readonly problem: Problem }
  | { readonly refused: true };
type Problem = Pick<HttpError, 'status' | 'message' | 'errors' | 'headers'>;

/** The names of a write: Nginx's for the request, and the client's own for all of its retries, with a hash of the request. */
export type WriteNames = Pick<Keeping, 'attempt' | 'client' | 'request'>;
/** One statement, or several in a transaction. */
export type Work = OneWrite<unknown> | ((trx: WriteTransaction) => Promise<Written>);

const CLIENT_KEY = /^[\x21-\x7e]{1,255}$/;
/** SQLSTATE of lock_timeout: another transaction with this name is still open. */
const LOCK_TIMEOUT = '55P03';
const EXPIRY_MS = 60_000;
/**
 * Of a request whose statement may still be sent, far below the time that outcomes are kept: a replica that was stopped for longer must
 * not do what another was told to have refused, or has done. (Stopped with a connection in hand: client.ts, idle_session_timeout.)
 */
const MAX_AGE_MS = 60_000;

/**
 * The names of a write. Nginx overwrites X-Attempt-Key with a value that is the same on every attempt that it makes for one
 * request; a client cannot choose it. Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) may be quoted or not.
 * @throws HttpError 400
 */
export function readNames(request: Incoming): WriteNames {
  // Without Nginx there is one attempt only. Not the request's id, which a client chooses, and may choose twice.
  const attempt = `attempt:${request.headers['x-attempt-key'] ?? randomUUID()}`;
  const header = request.headers['idempotency-key'] as string | undefined; // Node joins those that come twice
  if (header === undefined) return { attempt };
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (!CLIENT_KEY.test(key)) {
    const message = 'must be 1 to 255 visible ASCII characters, such as a UUID';
    throw new HttpError(400, 'malformed header', { errors: [{ in: 'header', path: 'Idempotency-Key', message }] });
  }
  const { method, originalUrl, body, headers } = request;
  const text = JSON.stringify([method, originalUrl, headers['if-match'], body]);
  return { attempt, client: `client:${key}`, request: createHash('sha256').update(text).digest('base64url') };
}

export type Write = (names: WriteNames, work: Work) => Promise<Answer>;

/**
 * Makes each write happen at most once, however often Nginx or the client sends it: what came of it is kept under its names, by the
 * same statement or in the same transaction (docs/writes.md). A second one with a name waits there for the first, and does nothing if that commits.
 */
export function createWrite({ db, control, cache, metrics }: Deps): Write {
  const inTurn = createTurns();

  /** Not 503, which promises that nothing happened: this attempt may be the second, and the first may have committed, or hang elsewhere. */
  function unsettled(cause: unknown): Unsettled {
    metrics.writesUnsettled.inc();
    const lost = 'the database is not available: the write, or an earlier attempt of it, may or may not have happened';
    return new Unsettled(504, lost, { cause });
  }

  /** Gives the first answer once more. */
  async function replay({ attempt: own, client: key, request }: WriteNames, work: Work): Promise<Answer> {
    const rows = await findOutcomes(db, key ? [own, key] : [own]).catch((error: unknown) => {
      throw unsettled(error);
    });
    const [attempt, client] = [own, key].map((name) => rows.find((row) => row.name === name));
    if (client && client.request !== request)
      throw new HttpError(422, 'this Idempotency-Key came with another request');
    const outcome = (client ?? attempt)?.outcome as Outcome | undefined;
    if (!outcome || 'refused' in outcome) throw new HttpError(503, 'this write was given up; nothing was written');
    metrics.writeReplays.inc({ scope: attempt ? 'attempt' : 'client' });
    const headers = { 'Idempotent-Replayed': 'true' };
    if (!('row' in outcome) && 'problem' in outcome) {
      const { status, message, errors, headers: own } = outcome.problem;
      throw new HttpError(status, message, { ...(errors && { errors }), headers: { ...own, ...headers } });
    }
    const answer = 'row' in outcome ? (work as OneWrite<unknown>).answer(rowOf(outcome.row)) : outcome.answer;
    return { ...answer, headers: { ...answer.headers, ...headers } };
  }

  /**
   * A failed write must not happen later: an attempt of the same request may hang in another replica, or the statement may have been lost
   * on its way. So the failure is kept too, before the client is told.
   */
  async function settle(names: WriteNames, work: Work, error: unknown): Promise<Answer> {
    if (isTaken(error)) return replay(names, work);
    const problem = isStillRunning(names, error) ? new StillRunning() : toHttpError(error);
    const isFinal = problem.status < 500 && !(problem instanceof StillRunning);
    const { status, message, errors, headers } = problem;
    try {
      if (isFinal)
        await insertOutcome(db, { ...names, epoch: UNCACHED }, { problem: { status, message, errors, headers } });
      // Not under the client's name: the next attempt with it may succeed. By connections of its own: the pool may be exhausted.
      else await insertOutcome(control, { attempt: names.attempt, epoch: UNCACHED }, { refused: true });
    } catch (failure) {
      if (isTaken(failure)) return replay(names, work);
      if (isFinal && isStillRunning(names, failure)) return settle(names, work, failure);
      throw unsettled(problem.cause ?? failure);
    }
    if (classifyDatabaseError(error) === 'unknown-outcome') {
      throw new HttpError(503, 'the database was lost during the write; nothing was written', { cause: error });
    }
    throw problem instanceof StillRunning ? problem : error;
  }

  /** One statement: what is announced follows from the input. */
  async function send(names: WriteNames, work: OneWrite<unknown>, announce: Announce, inTime: () => void) {
    const guard = await announce(work.changed ?? []);
    const row = await work.statement(db, { ...names, ...guard }, inTime).catch((error: unknown) => {
      if (work.refused && !isTaken(error)) work.refused(error);
      throw error;
    });
    if (row !== undefined) {
      work.committed?.(row);
      return work.answer(row);
    }
    if (!work.absent) throw new Error('a statement that changes a row has changed none');
    const answer = await work.absent(db);
    await insertOutcome(db, { ...names, epoch: UNCACHED }, { answer });
    return answer;
  }

  /** Several: announced after the last of them, and its outcome goes with COMMIT in one packet. */
  async function transact(
    names: WriteNames,
    work: (trx: WriteTransaction) => Promise<Written>,
    announce: Announce,
    inTime: () => void,
  ) {
    let last: Promise<void> | undefined;
    let after: Written['committed'];
    const transaction = db.transaction().setIsolationLevel('read committed');
    const run = transaction.execute(async (trx) => {
      inTime();
      const { changed, committed, ...answer } = await work(trx as WriteTransaction);
      const guard = await announce(changed);
      last = insertOutcome(trx, { ...names, ...guard }, { answer });
      last.catch(() => {}); // then COMMIT fails
      after = committed;
      return answer;
    });
    const answer = await run.catch(async (error: unknown) => {
      await last; // throws why COMMIT failed, if that is why
      throw error;
    });
    after?.();
    return answer;
  }

  return (names, work) => {
    const began = performance.now();
    /** Asked when a connection is held: nothing is waited for between this and the statement. */
    const inTime = () => {
      if (performance.now() - began > MAX_AGE_MS)
        throw new HttpError(503, 'this replica was stopped; nothing was written');
    };
    const attempt = (announce: Announce) => {
      if (typeof work === 'function') return transact(names, work, announce, inTime);
      const once = () => send(names, work, announce, inTime);
      return work.row === undefined ? once() : inTurn(work.row, once);
    };
    return cache.write(names.attempt, attempt, (error) => settle(names, work, error));
  };
}

/** Whether another request under the client's name had not ended when PostgreSQL gave up waiting for it. */
const isStillRunning = ({ client }: WriteNames, error: unknown) =>
  client !== undefined &&
  error instanceof DatabaseError &&
  error.code === LOCK_TIMEOUT &&
  /write_outcomes/.test(error.where ?? '');

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
