import { expect, test } from 'vitest';
import { type Field, toInput, toText, UNCLEAR } from './resource';

const cents: Field = { name: 'price', kind: 'cents' };
const integer: Field = { name: 'user_id', kind: 'integer' };

test.each([
  ['12.5', 1250],
  ['0,29', 29],
  ['1.10', 110],
  ['-3', -300],
  [' 7 ', 700],
  ['', undefined],
  [' ', undefined],
])('"%s" is so many cents', (text, value) => {
  expect(toInput(cents, text)).toBe(value);
});

test.each(['two', '1,000', '1.000', '1,000.50', '1e3', '0x10', '0.005', '90071992547409930'])(
  '"%s" is not guessed at',
  (text) => {
    expect(toInput(cents, text)).toBe(UNCLEAR);
  },
);

test('a number is a number', () => {
  expect(toInput(integer, '7')).toBe(7);
  expect(toInput(integer, '7.5')).toBe(UNCLEAR);
  expect(toInput(integer, '9007199254740993')).toBe(UNCLEAR);
});

test('a choice that was not made is not sent; a text may be emptied', () => {
  expect(toInput({ name: 'status', kind: 'choice' }, '')).toBeUndefined();
  expect(toInput({ name: 'description', kind: 'text' }, '')).toBe('');
});

test('a value is shown as it is typed', () => {
  expect(toText(cents, 1250)).toBe('12.50');
  expect(toText(cents, 1250, true)).toBe('12,50');
  expect(toText({ name: 'title', kind: 'line' }, null)).toBe('');
});
