/** The cache, broken on purpose: each variant lacks one rule of the protocol, and the suite must notice it. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { changeCode, copyOfCode } from '../support/stack.ts';

const backend = path.join(import.meta.dirname, '../..');
/** The code as it is. */
export const SOURCE = path.join(backend, 'src');

export interface Variant {
  /** What it does wrong. */
  readonly what: string;
  /** In which files of src/platform/cache, which text becomes which. */
  readonly changes: Readonly<Record<string, readonly (readonly [from: string, to: string])[]>>;
}

const CACHE = 'coherent-cache.ts';
const DROP = "redis.call('UNLINK', KEYS[i], KEYS[i + 1])";
const MARK = "redis.call('SADD', KEYS[i + 2], ARGV[1])";
const CLOSED = "if redis.call('EXISTS', KEYS[4]) == 0 then return {'CLOSED'} end";
const WRITE = '../http/write.ts';
const OUTCOMES = '../database/write-outcomes.ts';

/** Names as in the model (-DM_…) of which this protocol is the implementation, where the model has them. */
export const variants: Readonly<Record<string, Variant>> = {
  NODELV: {
    what: 'an announcement leaves the stored answers',
    changes: { 'scripts.ts': [[DROP, "redis.call('UNLINK', KEYS[i + 1])"]] },
  },
  NODELL: {
    what: 'an announcement leaves the leases',
    changes: { 'scripts.ts': [[DROP, "redis.call('UNLINK', KEYS[i])"]] },
  },
  NOMARK: { what: 'an announcement leaves no marker (no SADD)', changes: { 'scripts.ts': [[MARK, '']] } },
  NOPENDING: {
    what: 'readers ignore markers',
    changes: { 'scripts.ts': [['if #pending > 0 then', 'if false then']] },
  },
  ANYFILL: {
    what: 'a fill needs no token',
    changes: { 'scripts.ts': [["if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end", '']] },
  },
  NOOPEN: {
    what: 'a new memory is used at once (`open` is taken to be always set)',
    changes: { 'scripts.ts': [[CLOSED, '']] },
  },
  EARLYEND: {
    what: 'a marker expires, after 100 ms',
    changes: { 'scripts.ts': [[MARK, `${MARK} redis.call('PEXPIRE', KEYS[i + 2], 100)`]] },
  },
  NOGUARD: {
    what: 'a statement does not look at the gate',
    changes: { [OUTCOMES]: [['open === undefined\n', 'epoch !== undefined\n']] },
  },
  NOLOCK: {
    what: 'a memory is opened without waiting for the statements that run',
    changes: { 'open.ts': [['while (left.size > 0)', 'while (false as boolean)']] },
  },
  LATE: {
    what: 'a write is announced after it has happened',
    changes: {
      [WRITE]: [
        ['const guard = await announce(work.changed ?? []);', 'const guard = { epoch: UNCACHED };'],
        ['if (row !== undefined) {', 'if (row !== undefined) {\n      await announce(work.changed ?? []);'],
      ],
    },
  },
  ENDFIRST: {
    what: 'a marker ends as soon as it is there',
    changes: {
      [CACHE]: [['if (reply !== undefined) return', 'end({ ns, tags, name });\n      if (reply !== undefined) return']],
    },
  },
  NOSETTLE: {
    what: 'a marker is taken away before its name is settled',
    changes: { 'markers.ts': [['await settleName(control, name);', '']] },
  },
  NOREFUSE: {
    what: '503 is answered without settling the name',
    changes: {
      [WRITE]: [['else await insertOutcome(control,', 'else if (false as boolean) await insertOutcome(control,']],
    },
  },
  NONONCE: {
    what: 'a memory is opened by an attempt that began in another',
    changes: { 'scripts.ts': [["if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end", '']] },
  },
  NOTAKE: {
    what: 'an opening begins while another of the same epoch may still end',
    changes: { 'scripts.ts': [["if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end", '']] },
  },
  NORUNID: {
    what: 'names of keys do not tell one Redis process from another',
    changes: { 'gate.ts': [['`c:$' + '{runId()}:', '`c:same:']] },
  },
  NOPERMIT: {
    what: 'a permit to use the cache never lapses',
    changes: { 'gate.ts': [['now() < permit.until ? namespaceOf', 'permit.epoch ? namespaceOf']] },
  },
  NOWAIT: {
    what: 'a write passes as soon as the gate is closed',
    changes: {
      'gate.ts': [
        ['isOver(closed.epoch) ? closed.epoch', 'closed.epoch ? closed.epoch'],
        ['while (!open && !isOver(epoch)) {', 'while (false as boolean) {'],
      ],
    },
  },
  REOPENSOON: {
    what: 'the gate is opened again while permits of its last epoch may be in use',
    changes: { 'gate.ts': [['!state.old && isOver(state.epoch)', '!state.old']] },
  },
  JOIN: {
    what: 'a reader joins a load that runs already',
    changes: {
      'coalesce.ts': [
        [
          'if (flight.next) return',
          'if (flight) return { joined: true, value: flight.running as Promise<T> };\n    if (flight.next) return',
        ],
      ],
    },
  },
  LATEPERMIT: {
    what: 'a permit counts from the answer, not from before the question',
    changes: {
      'gate.ts': [['learn(state, asked);\n      if (!state.open', 'learn(state, now());\n      if (!state.open']],
    },
  },
  'cache-aside': {
    what: 'not this protocol at all: SET after a miss, DEL after COMMIT',
    changes: {},
  },
};

/** @returns the folder of the variant's source, to be imported, or run in its parent */
export function makeVariant(name: string): string {
  const variant = variants[name];
  if (!variant) throw new Error(`no variant ${name}: there are ${Object.keys(variants).join(', ')}`);
  const source = path.join(copyOfCode(), 'src');
  for (const [file, changes] of Object.entries(variant.changes)) {
    changeCode(path.join(source, 'platform/cache', file), changes);
  }
  if (name === 'cache-aside') {
    const text = readFileSync(path.join(import.meta.dirname, 'cache-aside.ts'), 'utf8')
      .replaceAll('../../src/platform/cache/', './')
      .replaceAll('../../src/platform/', '../');
    writeFileSync(path.join(source, 'platform/cache', CACHE), text);
  }
  return source;
}
