import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeKey } from '../../../lib/record/key.ts';
import { plain, plainKey } from '../../../lib/record/plain.ts';

test('what JSON lacks shows as what it is, and what it has stays', () => {
  const value = {
    text: 'a',
    big: 12345678901234567890n,
    nothing: null,
    left: undefined,
    numbers: [1.5, Number.NaN, Number.NEGATIVE_INFINITY, undefined],
    at: new Date(0),
    never: new Date(Number.NaN),
    bytes: new Uint8Array([1, 2, 255]),
    map: new Map<unknown, unknown>([[1n, new Set(['x', 2n])]]),
    deep: [{ flag: true }],
  };
  const shown = plain(value);
  assert.deepEqual(shown, {
    text: 'a',
    big: '12345678901234567890',
    nothing: null,
    numbers: [1.5, 'NaN', '-Infinity', null],
    at: '1970-01-01T00:00:00.000Z',
    never: null,
    bytes: { $bytes: 'AQL/' },
    map: { $map: [['1', { $set: ['x', '2'] }]] },
    deep: [{ flag: true }],
  });
  assert.deepEqual(JSON.parse(JSON.stringify(shown)), shown);
});

test('what holds itself ends, and a field called __proto__ is a field', () => {
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  assert.ok(JSON.stringify(plain(loop)).length < 1_000);
  const odd = plain(JSON.parse('{"__proto__":{"a":1}}')) as object;
  assert.equal(JSON.stringify(odd), '{"__proto__":{"a":1}}');
});

test('keys are shown decoded, bigints as texts', () => {
  const shown = (key: unknown) => plainKey(encodeKey(key)!);
  assert.deepEqual(['e1', 7, true, 7n, 2n ** 70n, ['de', 7n, null]].map(shown), [
    'e1',
    7,
    true,
    7,
    (2n ** 70n).toString(),
    ['de', 7, null],
  ]);
  assert.equal(plainKey('\u0007odd'), '\u0007odd');
});
