import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisClient } from './redis.ts';

/** Until INFO is asked again on a connection that stands but did not answer in time. */
const RETRY_MS = 500;
/** Of the 40 hex digits of a run id. */
const RUN_ID_LENGTH = 12;

/** The value of a line of INFO. */
export function infoLine(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
}

/**
 * Knows which Redis process the connection leads to. Part of every key's name, so that what a process had in its memory, also
 * what comes back from a dump or a promoted copy, is never seen by anyone who is connected to another.
 *
 * Take it and send the command in the same tick: then the command cannot reach another process than the one it names. It
 * is unknown from the moment a connection ends until the next one has answered INFO.
 */
export function watchRunId(redis: RedisClient): () => string | undefined {
  let runId: string | undefined;
  let connection = 0;

  async function ask(): Promise<void> {
    const asked = ++connection;
    while (asked === connection) {
      const info = await redis.info('server').catch(() => '');
      if (asked !== connection) return; // the answer of a connection that has ended
      runId = infoLine(info, 'run_id')?.slice(0, RUN_ID_LENGTH);
      if (runId) return;
      await sleep(RETRY_MS, undefined, { ref: false });
    }
  }

  redis.on('close', () => {
    connection++;
    runId = undefined;
  });
  redis.on('ready', ask);
  if (redis.status === 'ready') void ask();
  return () => (redis.status === 'ready' ? runId : undefined);
}
