/** Keys: golden texts, what cannot be a key, round trips, injectivity, survival in UTF-8. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeKey, encodeKey, fromKeyColumn, KEY_LENGTH_MAX, keyText, toKeyColumn } from '../../../lib/record/key.ts';

const unit = fc.oneof(
  fc.constantFrom('\u0000', '\u0001', '\u0002', '"', '1', ':', 'a', '\ud83d', '\ude80'),
  fc.nat(0xffff).map(u => String.fromCharCode(u)),
);
const scalar = fc.oneof(
  fc.string(),
  fc.string({ unit, maxLength: 6 }),
  fc.integer(),
  fc.double({ noNaN: true, min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
  fc.constantFrom(0, -0, 5e-324, Number.MAX_SAFE_INTEGER, 0.1, '', '1', '-1', 2n ** 53n, 2n ** 53n - 1n, -(2n ** 53n)),
  fc.bigInt(),
  fc.integer().map(BigInt),
  fc.boolean(),
);
const { key } = fc.letrec<{ key: unknown }>(tie => ({
  key: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(fc.oneof(tie('key'), fc.constantFrom(null, undefined)), { maxLength: 4 }),
  ),
}));

/** What the key is after its text: −0 is 0, undefined is null, a bigint that a number can be is one. */
function canonical(value: unknown): unknown {
  if (value === undefined) return null;
  if (Object.is(value, -0)) return 0;
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value);
  return Array.isArray(value) ? value.map(canonical) : value;
}

describe('keys', () => {
  test('golden texts never change', () => {
    const golden: [unknown, string | null][] = [
      [null, null],
      [undefined, null],
      ['', ''],
      ['user-7', 'user-7'],
      ['né', 'né'],
      ['\u0010x', '\u0010x'],
      ['\u0002x', '\u0001\u0002x'],
      ['\u0000', '\u0001\u0000'],
      ['a\ud800b', '\u0001"a\\ud800b"'],
      ['"quoted"', '"quoted"'],
      [42, '\u000242'],
      [-0, '\u00020'],
      [-1.5, '\u0002-1.5'],
      [42n, '\u000242'],
      [2 ** 53 - 1, '\u00029007199254740991'],
      [2n ** 53n - 1n, '\u00029007199254740991'],
      [2n ** 53n, '\u00039007199254740992'],
      [2n ** 53n + 1n, '\u00039007199254740993'],
      [-(2n ** 70n), '\u0003-1180591620717411303424'],
      [true, '\u00041'],
      [false, '\u00040'],
      [[], '\u0006'],
      [['a', 42], '\u00061:a3:\u000242'],
      [['', null], '\u00060:1:\u0005'],
      [[['a'], [undefined]], '\u00064:\u00061:a4:\u00061:\u0005'],
    ];
    for (const [value, text] of golden) assert.equal(encodeKey(value), text);
  });

  test('every key is read back from its text', () => {
    fc.assert(
      fc.property(key, value => assert.deepStrictEqual(decodeKey(encodeKey(value)), canonical(value))),
      { numRuns: 3000 },
    );
  });

  test('two keys share a text only if they are the same key', () => {
    const near = fc.oneof(
      fc.constantFrom<unknown>(
        '1',
        1,
        1n,
        true,
        [1],
        ['1'],
        [[1]],
        '\u00021',
        [null],
        [],
        '',
        [''],
        [['a', 'b']],
        [['a'], 'b'],
        ['a', 'b'],
      ),
      key,
    );
    fc.assert(
      fc.property(near, near, (left, right) => {
        let same = true;
        try {
          assert.deepStrictEqual(canonical(left), canonical(right));
        } catch {
          same = false;
        }
        assert.equal(encodeKey(left) === encodeKey(right), same);
      }),
      { numRuns: 3000 },
    );
  });

  test('a text of a key survives UTF-8', () => {
    fc.assert(
      fc.property(key, value => {
        const text = encodeKey(value);
        if (text !== null) assert.equal(Buffer.from(text, 'utf8').toString('utf8'), text);
      }),
      { numRuns: 2000 },
    );
  });

  test('what cannot be a key is refused with a readable text', () => {
    const refused: [unknown, RegExp][] = [
      [NaN, /^NaN cannot be a key: return a string, a finite number/],
      [Infinity, /^Infinity cannot be a key/],
      [{}, /^an object cannot be a key/],
      [Object.create(null), /^an object cannot/],
      [new Date(0), /^an object of class Date cannot/],
      [() => 1, /^a function cannot/],
      [Symbol('s'), /^a symbol cannot/],
      [['a', {}], /^an object cannot be part of a key/],
      [[[NaN]], /^NaN cannot be part of a key/],
      [2 ** 53, /^the number 9007199254740992 may stand for several integers, so .*: take the bigint/],
      [['a', -1e300], /^the number -1e\+300 may stand/],
    ];
    for (const [value, message] of refused) assert.throws(() => encodeKey(value), { code: 'RECORD_KEY', message });
  });

  test('keys beyond the limits are refused, also endless ones', () => {
    assert.throws(() => encodeKey('x'.repeat(KEY_LENGTH_MAX + 1)), { code: 'RECORD_KEY', message: /KEY_LENGTH_MAX/ });
    assert.equal(encodeKey('x'.repeat(KEY_LENGTH_MAX))?.length, KEY_LENGTH_MAX);
    assert.throws(() => encodeKey(10n ** 5_000n), { code: 'RECORD_KEY', message: /KEY_LENGTH_MAX/ });
    assert.throws(() => encodeKey(1n << 10_000_000n), { code: 'RECORD_KEY', message: /KEY_LENGTH_MAX/ });
    assert.throws(() => encodeKey(new Array(1e9)), { code: 'RECORD_KEY', message: /KEY_LENGTH_MAX/ });
    const circle: unknown[] = [];
    circle.push(circle);
    assert.throws(() => encodeKey(circle), { code: 'RECORD_KEY', message: /KEY_DEPTH_MAX/ });
  });

  test('a text that no key has is refused', () => {
    const texts = [
      '\u0002',
      '\u0002x',
      '\u00021.0',
      '\u0002NaN',
      '\u0002-0',
      '\u00029007199254740992',
      '\u000301',
      '\u000342',
      '\u0004',
      '\u0005',
      '\u0001x',
      '\u0001"',
      '\u0001"a',
      '\u00061',
      '\u00069:a',
      '\u0006x:a',
      '\u000601:a',
      '\u00061.0:a',
      '\u0007',
      '\u0000',
    ];
    for (const text of texts) assert.throws(() => decodeKey(text), { code: 'RECORD_KEY' }, JSON.stringify(text));
  });

  test('any text is either read or refused, never something else', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(
            '\u0000',
            '\u0001',
            '\u0002',
            '\u0003',
            '\u0004',
            '\u0005',
            '\u0006',
            '1',
            '9',
            ':',
            '-',
            '"',
            'a',
            'e',
          ),
        }),
        text => {
          try {
            decodeKey(text);
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'RECORD_KEY');
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('people are shown the key, not its text', () => {
    assert.equal(keyText(encodeKey('user-7')), 'user-7');
    assert.equal(keyText(encodeKey(42)), '42');
    assert.equal(keyText(encodeKey(['shop', 42, 7n, 2n ** 60n, null])), '["shop",42,7,"1152921504606846976n",null]');
    assert.equal(keyText(null), '(none)');
  });

  test('a column of keys becomes the same keys again, and those of whole numbers are numbers in it', () => {
    const text = fc.oneof(
      fc.constant(null),
      key.map(value => encodeKey(value)),
      fc.nat(2 ** 31).map(value => encodeKey(value)),
      fc.constantFrom(
        '\u0002',
        '\u000201',
        '\u00021e21',
        '\u0002-0',
        '\u0002999999999',
        '\u00021000000000',
        '\u0002+1',
      ),
    );
    fc.assert(
      fc.property(fc.array(text), keys => {
        assert.deepEqual(fromKeyColumn([...toKeyColumn(keys)]), keys);
      }),
      { numRuns: 3000 },
    );
    assert.deepEqual(toKeyColumn([encodeKey(7), encodeKey(0), encodeKey(1.5)]), [7, 0, '\u00021.5']);
  });
});
