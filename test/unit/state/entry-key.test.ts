/** Where the record's key is in an entry's: what is written is read, and no two come to one text. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KEY_GROUPS, keyGroupOf } from '../../../lib/base/hash.ts';
import { encodeKey, type Key } from '../../../lib/record/key.ts';
import {
  ALL_KEYS,
  groupsOfTaskEntry,
  keyGroupOfEntry,
  narrowTaskEntry,
  readMark,
  readTimerId,
  writeMark,
  writeTimerId,
} from '../../../lib/state/entry-key.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\u0000', '\u0000\u0000a', '\u0000\u0001', '1\u0000ab', '3:abc', '\ud800'),
);
const key = fc.oneof(text, fc.integer(), fc.tuple(text, fc.integer())).map(given => encodeKey(given as Key)!);

describe('marks of key and id', () => {
  test('are read as what was written, whatever key and id look like, and are in the group of the key', () => {
    fc.assert(
      fc.property(fc.oneof(key, fc.constant(null)), text, (key, id) => {
        const mark = writeMark(key, id);
        assert.deepEqual(readMark(mark), { key, id });
        assert.equal(keyGroupOfEntry({ key: 'key-and-id' }, mark), key === null ? 0 : keyGroupOf(key));
      }),
    );
  });

  test('are the id alone where it is the key', () => {
    fc.assert(
      fc.property(key, key => {
        assert.equal(writeMark(key, key), key);
        assert.deepEqual(readMark(key), { key, id: key });
        assert.equal(keyGroupOfEntry({ key: 'key-and-id' }, key), keyGroupOf(key));
      }),
    );
  });
});

test('timers are read as what was written, and are in the group of the key', () => {
  fc.assert(
    fc.property(text, key, (name, key) => {
      assert.deepEqual(readTimerId(writeTimerId(name, key)), { name, key });
      assert.equal(keyGroupOfEntry({ key: 'name-and-key' }, writeTimerId(name, key)), keyGroupOf(key));
      assert.equal(keyGroupOfEntry({ key: 'key' }, key), keyGroupOf(key));
    }),
  );
});

test("a task's own entry is of no group, and of fewer groups with each cut, under a name of its own", () => {
  assert.equal(keyGroupOfEntry({ key: 'task' }, ALL_KEYS), null);
  assert.equal(groupsOfTaskEntry(ALL_KEYS), null);
  const whole = narrowTaskEntry(ALL_KEYS, { from: 0, to: KEY_GROUPS })!;
  const half = narrowTaskEntry(whole, { from: 100, to: 20_000 })!;
  assert.deepEqual(groupsOfTaskEntry(whole), { from: 0, to: KEY_GROUPS });
  assert.deepEqual(groupsOfTaskEntry(half), { from: 100, to: 20_000 });
  assert.deepEqual(groupsOfTaskEntry(narrowTaskEntry(half, { from: 0, to: 101 })!), { from: 100, to: 101 });
  assert.equal(narrowTaskEntry(half, { from: 0, to: 100 }), null);
  assert.notEqual(narrowTaskEntry(half, { from: 100, to: 101 }), narrowTaskEntry(ALL_KEYS, { from: 100, to: 101 }));
});
