/** The pace of a task: how large batches are, and which record is to blame for one that no commit holds. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { Pace } from '../../../lib/task/pace.ts';

const WHY = new MillraceError('LIMIT_REACHED', 'it makes too much');
const pace = () => new Pace({ commitBytesMax: 1_000, recordBytesMax: 4_000 });

describe('a pace', () => {
  test('lets a batch make what a commit may be, and one record that much more', () => {
    assert.deepEqual([pace().bytesMax, pace().outgrownBytes], [1_000, 5_000]);
  });

  test('shrinks while batches turn out more than twice as large, and grows again when they are small', () => {
    const one = pace();
    one.made(2_000);
    assert.equal(one.bytesMax, 1_000);
    one.made(2_001);
    one.made(2_001);
    assert.equal(one.bytesMax, 250);
    one.made(501);
    assert.equal(one.bytesMax, 250);
    for (const wanted of [500, 1_000, 1_000]) {
      one.made(500);
      assert.equal(one.bytesMax, wanted);
    }
  });

  test('that is slowed down goes on with one record at a time', () => {
    const one = pace();
    assert.equal(one.isLeast, false);
    one.slowDown();
    assert.equal(one.isLeast, true);
    one.made(10);
    assert.equal(one.isLeast, false);
  });

  test('knows a refused record by its input and its place there', () => {
    const one = pace();
    assert.equal(one.refusedOn('a'), null);
    one.refuse('a', { seq: 7, row: 2 }, WHY);
    const refused = one.refusedOn('a')!;
    assert.deepEqual(
      [refused({ seq: 7, row: 2 }), refused({ seq: 7, row: 1 }), refused({ seq: 8, row: 2 })],
      [WHY, null, null],
    );
    assert.equal(one.refusedOn('b'), null);
  });
});
