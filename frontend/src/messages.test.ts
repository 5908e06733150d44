import { expect, test } from 'vitest';
import en from './messages/en.json';
import pt from './messages/pt.json';

/** "live.title" … */
function keysOf(messages: object, prefix = ''): string[] {
  return Object.entries(messages).flatMap(([key, value]) =>
    typeof value === 'string' ? `${prefix}${key}` : keysOf(value, `${prefix}${key}.`),
  );
}

test('both languages say the same things', () => {
  expect(keysOf(pt).sort()).toEqual(keysOf(en).sort());
});
