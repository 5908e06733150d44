import { expect, test } from 'vitest';
import { type Beat, byReplica } from './live';

const beat = (number: number, replica: string | undefined, milliseconds: number): Beat =>
  ({ number, kind: 'ping', failed: replica === undefined, replica, milliseconds }) as Beat;

test('each replica has its own answers, its median, and how long it has been silent', () => {
  const beats = [beat(1, 'b', 30), beat(2, 'a', 2), beat(3, undefined, 99), beat(4, 'a', 4), beat(5, 'a', 9)];
  const { replicas, slowest } = byReplica(beats);
  expect(replicas.map(({ name, answers, median, silentFor }) => [name, answers, median, silentFor])).toEqual([
    ['a', 3, 4, 0],
    ['b', 1, 30, 3],
  ]);
  expect(slowest).toBe(30);
  expect(replicas[1]?.points).toBe('0,2.0');
});

test('nothing was answered yet', () => {
  expect(byReplica([])).toEqual({ replicas: [], slowest: 10, silent: [], isDown: false });
});

test('one of two that has not answered for six turns of both is silent; when nobody answers, that is another matter', () => {
  const others = Array.from({ length: 12 }, (_, n) => beat(n + 2, 'a', 1));
  expect(byReplica([beat(1, 'b', 1), ...others.slice(1)]).silent).toEqual([]);
  expect(byReplica([beat(1, 'b', 1), ...others]).silent.map(({ name }) => name)).toEqual(['b']);
  const lost = [20, 21, 22].map((number) => beat(number, undefined, 1));
  expect(byReplica([beat(1, 'b', 1), ...lost])).toMatchObject({ isDown: true, silent: [] });
});
