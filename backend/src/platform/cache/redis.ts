import { Redis } from 'ioredis';
import type { Logger } from 'pino';

export type RedisClient = Redis;

const COMMAND_TIMEOUT_MS = 150;

/**
 * A connection that fails fast instead of queueing: nothing is sent before it stands, nothing is sent twice, and an answer
 * that takes over 150 ms counts as none. A cache that is slower than the database is no help. It reconnects by itself.
 */
export function createRedis(
  url: string,
  connectionName: string,
  logger: Logger,
  commandTimeout = COMMAND_TIMEOUT_MS,
): RedisClient {
  const redis = new Redis(url, {
    connectionName,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout,
    connectTimeout: 1000,
    retryStrategy: (attempt) => Math.min(attempt * 100, 1000),
  });
  batchWrites(redis);
  let wasReady = false;
  redis.on('ready', () => {
    wasReady = true;
    logger.info('redis connected');
  });
  // One line a change, not one an attempt. Without a listener an error event would end the process.
  redis.on('error', (error) => {
    if (wasReady) logger.warn({ err: error }, 'redis lost: reads go to the database');
    wasReady = false;
  });
  return redis;
}

/**
 * Commands of one turn of the event loop leave in one packet: a write to a socket costs more than all that is done for a
 * command before it, here and in Redis. (ioredis' own enableAutoPipelining saves the packets too, and costs as much as it saves.)
 */
function batchWrites(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  let corked: Redis['stream'] | undefined;
  redis.sendCommand = (...command) => {
    const { stream } = redis;
    if (stream && corked !== stream) {
      corked = stream;
      stream.cork();
      setImmediate(() => {
        if (corked === stream) corked = undefined;
        stream.uncork();
      });
    }
    return send(...command);
  };
}
