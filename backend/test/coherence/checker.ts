/**
 * Decides whether what clients saw of a register could have come from a register that everyone uses directly (Herlihy and Wing,
 * 1990: linearizable). Exact, in O(n log n), because every value is written once: P. Gibbons and E. Korach, "Testing Shared
 * Memories", SIAM Journal on Computing 26(4), 1997.
 */

export interface Operation {
  readonly kind: 'read' | 'write';
  readonly value: string;
  /** On one monotonic clock, in milliseconds. */
  readonly invoke: number;
  /** Infinity: a write whose outcome nobody knows; it may happen at any later time, or never. */
  readonly return: number;
  /** A write that was answered "it did not happen": its value must never be read. */
  readonly refused?: true;
  /** Who did it, for the report. */
  readonly by?: string;
}

export interface Violation {
  readonly kind:
    | 'never written'
    | 'refused value'
    | 'value from the future'
    | 'stale read'
    | 'backward read'
    | 'no order';
  /** The values that cannot be put in order. */
  readonly values: readonly string[];
  readonly operations: readonly Operation[];
}

interface Zone {
  readonly value: string;
  /** The earliest return and the latest invocation of the value's operations. */
  readonly first: number;
  readonly last: number;
}

/** @param history of one register; it begins with the write of its first value, with invoke = return = -1 */
export function findViolation(history: readonly Operation[]): Violation | undefined {
  const byValue = Map.groupBy(history, ({ value }) => value);
  const zones: Zone[] = [];
  for (const [value, operations] of byValue) {
    const write = operations.find(({ kind }) => kind === 'write');
    const reads = operations.filter(({ kind }) => kind === 'read');
    const report = (kind: Violation['kind']): Violation => ({ kind, values: [value], operations });
    if (!write) return report('never written');
    if (reads.length > 0 && write.refused) return report('refused value');
    if (reads.some((read) => read.return < write.invoke)) return report('value from the future');
    if (write.refused || (write.return === Number.POSITIVE_INFINITY && reads.length === 0)) continue;
    zones.push({
      value,
      first: Math.min(...operations.map((operation) => operation.return)),
      last: Math.max(...operations.map((operation) => operation.invoke)),
    });
  }
  const pairs: [Zone, Zone][] = [];

  // The register held a forward zone's value all the time from its first return to its last invocation.
  const forward = zones.filter(({ first, last }) => first < last).sort((a, b) => a.first - b.first);
  for (const [n, zone] of forward.entries()) {
    const next = forward[n + 1];
    if (next && next.first < zone.last) pairs.push([zone, next]);
  }
  // A backward zone's value was there for a moment somewhere between; it may not lie within a forward one.
  const backward = zones.filter(({ first, last }) => first >= last);
  for (const zone of backward) {
    const before = forward[lastBelow(forward, zone.last)];
    if (before && before.first < zone.last && zone.first < before.last) pairs.push([before, zone]);
  }
  // Of all violations, one that is easy to see.
  const found = pairs.map(([a, b]) =>
    describe(a.value, b.value, [...(byValue.get(a.value) ?? []), ...(byValue.get(b.value) ?? [])]),
  );
  return found.find(({ kind }) => kind !== 'no order') ?? found[0];
}

/** @returns the index of the last zone that begins before this time; -1: none does */
function lastBelow(zones: readonly Zone[], time: number): number {
  let [low, high] = [0, zones.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((zones[middle] as Zone).first < time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Puts into words why two values have no order, with the operations that show it. */
function describe(a: string, b: string, operations: readonly Operation[]): Violation {
  for (const [old, young] of [
    [a, b],
    [b, a],
  ] as const) {
    const of = (value: string, kind: Operation['kind']) =>
      operations.filter((operation) => operation.value === value && operation.kind === kind);
    const [written] = of(old, 'write');
    const [replaced] = of(young, 'write');
    if (!written || !replaced) continue;
    const late = of(old, 'read').sort((x, y) => y.invoke - x.invoke)[0];
    // The old value was there before the young one was even sent, or at the latest when a client had read it then.
    const seen = Math.min(written.return, ...of(old, 'read').map((read) => read.return));
    if (!late || seen > replaced.invoke) continue;
    if (replaced.return < late.invoke) {
      return { kind: 'stale read', values: [old, young], operations: [written, replaced, late] };
    }
    const earlier = of(young, 'read').find((read) => read.return < late.invoke);
    if (earlier) return { kind: 'backward read', values: [old, young], operations: [written, replaced, earlier, late] };
  }
  return { kind: 'no order', values: [a, b], operations: operations.slice(0, 20) };
}

export function formatViolation({ kind, values, operations }: Violation): string {
  const time = (ms: number) => (ms === Number.POSITIVE_INFINITY ? 'unknown' : ms.toFixed(1));
  const lines = [...operations]
    .sort((x, y) => x.invoke - y.invoke)
    .map((each) => `    ${each.kind} ${each.value}  ${time(each.invoke)} to ${time(each.return)}  ${each.by ?? ''}`);
  return [`${kind}: ${values.join(' and ')}`, ...lines].join('\n');
}
