import { findViolation, type Operation } from './checker.ts';

const FIRST: Operation = { kind: 'write', value: 'a', invoke: -1, return: -1 };
const write = (value: string, invoke: number, ret: number, more = {}): Operation => ({
  kind: 'write',
  value,
  invoke,
  return: ret,
  ...more,
});
const read = (value: string, invoke: number, ret: number): Operation => ({ kind: 'read', value, invoke, return: ret });

/** Tries every order that respects time, with and without the writes whose outcome is unknown. */
function isLinearizable(history: readonly Operation[]): boolean {
  const done = new Set<Operation>();
  function extend(value: string | undefined): boolean {
    const left = history.filter((operation) => !done.has(operation));
    if (left.every((operation) => operation.refused || operation.return === Number.POSITIVE_INFINITY)) return true;
    // Whatever returned before another was invoked comes before it.
    const earliest = Math.min(...left.filter(({ refused }) => !refused).map((operation) => operation.return));
    for (const operation of left) {
      if (operation.refused || operation.invoke > earliest) continue;
      if (operation.kind === 'read' && operation.value !== value) continue;
      done.add(operation);
      const found = extend(operation.value);
      done.delete(operation);
      if (found) return true;
    }
    return false;
  }
  return extend(undefined);
}

function randomHistory(random: () => number): Operation[] {
  const history: Operation[] = [FIRST];
  const values = ['a'];
  const operations = 1 + Math.floor(random() * 6);
  const times = Array.from({ length: 40 }, (_, n) => n).sort(() => random() - 0.5);
  for (let n = 0; n < operations; n++) {
    const [x, y] = [times.pop() as number, times.pop() as number];
    const [invoke, ret] = [Math.min(x, y), Math.max(x, y)];
    if (random() < 0.4 || values.length === 1) {
      const value = `v${n}`;
      values.push(value);
      const outcome = random();
      if (outcome < 0.2) history.push(write(value, invoke, Number.POSITIVE_INFINITY));
      else history.push(write(value, invoke, ret, outcome < 0.3 ? { refused: true } : {}));
    } else {
      history.push(read(values[Math.floor(random() * values.length)] as string, invoke, ret));
    }
  }
  return history;
}

test('It agrees with a search through all orders on 50,000 small histories', () => {
  let violations = 0;
  for (let n = 0; n < 50_000; n++) {
    const history = randomHistory(Math.random);
    const found = findViolation(history);
    if (found) violations++;
    if ((found === undefined) !== isLinearizable(history)) throw new Error(JSON.stringify({ found, history }));
  }
  // Both answers were there to be agreed upon.
  expect(violations).toBeGreaterThan(5_000);
  expect(violations).toBeLessThan(45_000);
});

test.each([
  ['stale read', [FIRST, write('b', 1, 2), read('a', 3, 4)]],
  ['backward read', [FIRST, write('b', 1, 9), read('b', 2, 3), read('a', 4, 5)]],
  ['never written', [FIRST, read('z', 1, 2)]],
  ['refused value', [FIRST, write('b', 1, 2, { refused: true }), read('b', 3, 4)]],
  ['value from the future', [FIRST, read('b', 1, 2), write('b', 3, 4)]],
])('It names a %s', (kind, history) => {
  expect(findViolation(history)?.kind).toBe(kind);
});

test('A write whose outcome is unknown may happen late, or never', () => {
  const unknown = write('b', 1, Number.POSITIVE_INFINITY);
  expect(findViolation([FIRST, unknown, read('a', 2, 3), read('b', 50, 51)])).toBeUndefined();
  expect(findViolation([FIRST, unknown, read('a', 50, 51)])).toBeUndefined();
  expect(findViolation([FIRST, unknown, read('b', 2, 3), read('a', 50, 51)])?.kind).toBe('backward read');
});
