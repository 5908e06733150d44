import { expect, test } from 'vitest';
import { type Field, toInput, toText } from './resource';

const cents: Field = { name: 'price', kind: 'cents' };

test.each([
  ['12.5', 1250],
  ['0,29', 29],
  ['1.10', 110],
  ['-3', -300],
  ['', undefined],
])('%s is so many cents', (text, value) => {
  expect(toInput(cents, text)).toBe(value);
});

test('what is no number is left to the API to refuse, not turned into another', () => {
  expect(toInput(cents, 'two')).toBeNaN();
  expect(toInput({ name: 'user_id', kind: 'integer' }, '7')).toBe(7);
});

test('an optional choice that was not made is not sent; a text may be emptied', () => {
  expect(toInput({ name: 'status', kind: 'choice' }, '')).toBeUndefined();
  expect(toInput({ name: 'description', kind: 'text' }, '')).toBe('');
});

test('a value comes back as it was typed', () => {
  expect(toText(cents, 1250)).toBe('12.50');
  expect(toText({ name: 'title', kind: 'line' }, null)).toBe('');
});
