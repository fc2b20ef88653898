import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf } from '../../../cmd/config.ts';
import { bytes, count, span, table, time } from '../../../cmd/output.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';

test('numbers, sizes, spans and times read as people write them', () => {
  assert.deepEqual([0, 999, 1_234_567, 0.4].map(count), ['0', '999', '1,234,567', '0']);
  assert.deepEqual([0, 1023, 1536, 5 * 2 ** 30].map(bytes), ['0 B', '1023 B', '1.5 KiB', '5.0 GiB']);
  assert.deepEqual([-5, 0, 59_999, 60_000, 90_000, 3_600_000, 3_601_000, 90_061_000].map(span), [
    '0s',
    '0s',
    '59s',
    '1m',
    '1m30s',
    '1h',
    '1h',
    '1d1h',
  ]);
  assert.deepEqual([null, 0, 1_500, Number.MAX_SAFE_INTEGER].map(time), [
    '–',
    '1970-01-01T00:00:00Z',
    '1970-01-01T00:00:01.500Z',
    '–',
  ]);
});

test('a table aligns words to the left and numbers to the right, without trailing space', () => {
  const text = table(
    [
      { head: 'NAME', cell: row => row[0]! },
      { head: 'IN', right: true, cell: row => row[1]! },
      { head: 'NOTE', cell: row => row[2]! },
    ],
    [
      ['a', '1', ''],
      ['long', '1,000', 'x'],
    ],
  );
  assert.equal(text, 'NAME     IN  NOTE\na         1\nlong  1,000  x');
});

test('an address is a host and a port; a port alone is of this machine', () => {
  assert.equal(addressOf('4280', '--listen'), '127.0.0.1:4280');
  assert.equal(addressOf(':4280', '--listen'), '127.0.0.1:4280');
  assert.equal(addressOf('[::1]:80', '--listen'), '[::1]:80');
  for (const wrong of ['', 'host', 'host:', 'host:70000', 'host:x']) {
    assert.throws(
      () => addressOf(wrong, '--listen'),
      error => isMillraceError(error, 'INVALID_ARGUMENT'),
    );
  }
});
