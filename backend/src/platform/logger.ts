import { type Logger, pino } from 'pino';

/** One JSON object a line, with the level as a word. */
export function createLogger(instance: string, level = 'info'): Logger {
  return pino({
    level,
    base: { instance },
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}
