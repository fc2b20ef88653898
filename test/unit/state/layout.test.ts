/** The schema of the disk. The bytes here are frozen: a change needs a new version and a way to read the old. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isMillraceError } from '../../../lib/base/errors.ts';
import {
  bucketPrefix,
  bucketRange,
  countKey,
  countRange,
  decodeCount,
  encodeCount,
  entryKey,
  keyOf,
  metaKey,
  parseCountKey,
  parsePrefix,
  prefixLength,
  totalKey,
} from '../../../lib/state/layout.ts';

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', '\ud800', 'a\udc00b', '\0', 'é'));
const bucket = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.constantFrom(0, -1, 1, 2 ** 32, -(2 ** 32), 2 ** 53 - 1));
const name = fc.constantFrom('a', 'a.b', 'ab', 'join-1.left', 'größe.x');

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('the schema of the disk', () => {
  test('keys have these bytes', () => {
    assert.equal(hex(entryKey(bucketPrefix('op.t', 1), 'key')), '6f702e7400' + '8000000000000001' + '6b6579');
    assert.equal(hex(entryKey(bucketPrefix('op.t', -1), '')), '6f702e7400' + '7fffffffffffffff');
    assert.equal(hex(entryKey(bucketPrefix('ä', 2 ** 40), '\u0006é')), 'c3a400' + '8000010000000000' + '06c3a9');
    assert.equal(hex(entryKey(bucketPrefix('t', 0), 'x\ud800')), '7400' + '8000000000000000' + 'ff0078d800');
    assert.equal(hex(countKey('op.t', 1)), '21636f756e7400' + '6f702e7400' + '8000000000000001');
    assert.equal(hex(totalKey()), '21746f74616c00');
    assert.equal(hex(metaKey('pointer')), '216d65746100' + '706f696e746572');
    assert.equal(hex(encodeCount(258)), '02010000');
  });

  test('every entry key is taken apart into what it was made of', () => {
    fc.assert(
      fc.property(name, bucket, text, (table, id, key) => {
        const bytes = entryKey(bucketPrefix(table, id), key);
        const end = prefixLength(bytes);
        assert.deepEqual(parsePrefix(bytes.subarray(0, end)), { table, bucket: id });
        assert.equal(keyOf(bytes.subarray(end)), key);
        assert.deepEqual(parseCountKey(Buffer.from(countKey(table, id))), { table, bucket: id });
      }),
    );
  });

  test('bytes order buckets as numbers do, and a range holds its buckets alone', () => {
    fc.assert(
      fc.property(name, name, bucket, bucket, text, (table, other, left, right, key) => {
        const entry = entryKey(bucketPrefix(table, left), key);
        const isIn = (range: { gte: Uint8Array; lt: Uint8Array }) =>
          Buffer.compare(range.gte, entry) <= 0 && Buffer.compare(entry, range.lt) < 0;
        assert.equal(isIn(bucketRange(table, right)), left === right);
        assert.equal(isIn(bucketRange(other, left)), table === other);
        assert.equal(isIn(bucketRange(table, Math.min(left, right), Math.max(left, right))), true);
        assert.equal(isIn(countRange()), false);
        if (left < right) assert.ok(Buffer.compare(entry, bucketPrefix(table, right)) < 0);
      }),
    );
  });

  test('damaged keys and counts are refused', () => {
    const isCorrupt = (error: unknown) => isMillraceError(error, 'STORE_CORRUPT');
    for (const bytes of ['', '00', '6100', '61006162636465666', '6162636465666768696a']) {
      assert.throws(() => prefixLength(Buffer.from(bytes, 'hex')), isCorrupt, bytes);
    }
    assert.throws(() => decodeCount(Buffer.alloc(3)), isCorrupt);
  });
});
