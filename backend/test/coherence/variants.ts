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
const ANNOUNCE = 'if (change.tags.length > 0 && !(await announce(change.tags, await xidOf(trx)))) {';
const COMMIT = 'const result = await commit(db, async (trx) => {';
const WAIT = 'while (!(await everyEarlierIsOver(xid)))';

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
  NOBEGIN: {
    what: 'leases only: entries are dropped after COMMIT',
    changes: {
      [CACHE]: [
        [ANNOUNCE, 'if (false as boolean) {'],
        ['if (marker) end(marker);', "await announce(result.tags, '3');\n      if (marker) end(marker);"],
      ],
    },
  },
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
  XMAX: {
    what: 'a memory is opened without waiting for the transactions that run',
    changes: { 'open.ts': [[WAIT, 'while (false as boolean)']] },
  },
  SNAPSHOT: {
    what: 'pg_snapshot_xmax is taken for "all numbers handed out so far"',
    changes: {
      'open.ts': [
        ['select pg_current_xact_id()::text as xid', 'select pg_snapshot_xmax(pg_current_snapshot())::text as xid'],
      ],
    },
  },
  NONONCE: {
    what: 'a memory is opened by an attempt that began in another',
    changes: { 'scripts.ts': [["if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end", '']] },
  },
  EARLYEND: {
    what: 'a marker expires, after 100 ms',
    changes: { 'scripts.ts': [[MARK, `${MARK} redis.call('PEXPIRE', KEYS[i + 2], 100)`]] },
  },
  ENDFIRST: {
    what: 'END is sent before COMMIT',
    changes: {
      [CACHE]: [
        [
          '() => true,\n        () => false,\n      );\n    }',
          '() => (end(marker as Marker), true),\n        () => false,\n      );\n    }',
        ],
      ],
    },
  },
  TIMER: {
    what: 'a marker that was met for 250 ms is taken to be over, without asking PostgreSQL',
    changes: { 'markers.ts': [["rows[0]?.status !== 'in progress'", 'rows.length === 1']] },
  },
  UNKNOWN: {
    what: 'a COMMIT whose answer was lost ends its marker',
    changes: { [CACHE]: [["if (marker && classifyDatabaseError(error) !== 'unknown-outcome')", 'if (marker)']] },
  },
  XIDLATE: {
    what: 'a write announces itself before PostgreSQL knows it as running',
    changes: {
      [CACHE]: [
        [COMMIT, `await announce(['kv:x'], '3');\n      ${COMMIT}`],
        [ANNOUNCE, 'if (false as boolean) {'],
      ],
    },
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
  NORUNID: {
    what: 'names of keys do not tell one Redis process from another',
    changes: { [CACHE]: [['[runId(), gate.epoch()]', "[runId() && 'same', gate.epoch()]"]] },
  },
  NOPERMIT: {
    what: 'a permit to use the cache never lapses',
    changes: {
      'gate.ts': [
        ['epoch: () => (now() < permit.until ? permit.epoch : undefined)', 'epoch: () => permit.epoch || undefined'],
      ],
    },
  },
  LATEPERMIT: {
    what: 'a permit counts from the answer, not from before the question',
    changes: {
      'gate.ts': [['learn(state, asked);\n      if (!state.open', 'learn(state, now());\n      if (!state.open']],
    },
  },
  NOWAIT: {
    what: 'a write passes as soon as the gate is closed',
    changes: {
      'gate.ts': [
        ['return !open && isOver(epoch);', 'return !open;'],
        ['while (!open && !isOver(epoch)) {', 'while (false as boolean) {'],
      ],
    },
  },
  REOPENSOON: {
    what: 'the gate is opened again while permits of its last epoch may be in use',
    changes: { 'gate.ts': [['if (!state.open && reached && isOver(state.epoch))', 'if (!state.open && reached)']] },
  },
  GATEXIDLATE: {
    what: 'a write asks the gate before PostgreSQL knows it as running',
    changes: {
      [CACHE]: [
        [COMMIT, `const early = await gate.mayPass(db as never);\n      ${COMMIT}`],
        ['if (!(await gate.mayPass(trx)))', 'if (!early)'],
      ],
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
