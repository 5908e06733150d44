import { type Logger, pino } from 'pino';

const BUFFER_CHARACTERS = 4096;
const FLUSH_MS = 200;
const WARN = pino.levels.values.warn as number;

/**
 * One JSON object a line, with the level as a word. Lines of level info wait up to 200 ms for others: one write a request took
 * a fifth of a cached read. A warning takes all that wait with it, and so does the end of the process; only SIGKILL loses
 * some, and Nginx has logged those requests too.
 */
export function createLogger(instance: string, level = 'info'): Logger {
  const destination = pino.destination({ sync: true });
  let lines = '';
  let flushing: NodeJS.Timeout | undefined;
  // Not the buffer of the destination itself: its flushSync() waits for the disk.
  const flush = () => {
    clearTimeout(flushing);
    flushing = undefined;
    if (lines) destination.write(lines);
    lines = '';
  };
  process.once('exit', flush);
  const stream = {
    [pino.symbols.needsMetadataGsym]: true,
    lastLevel: 0, // of the line that is written: pino sets it
    write(line: string) {
      lines += line;
      if (this.lastLevel >= WARN || lines.length > BUFFER_CHARACTERS) flush();
      else flushing ??= setTimeout(flush, FLUSH_MS).unref();
    },
    flushSync: flush,
  };
  const options = {
    level,
    base: { instance },
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, stream);
}
