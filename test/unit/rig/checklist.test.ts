/** What holds an output against its batch answer must notice every way to be wrong. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Checklist } from '../../rig/checklist.ts';

function check(expected: readonly string[], came: readonly string[]): Checklist {
  const checklist = new Checklist(expected);
  for (const row of came) checklist.tick(row);
  return checklist;
}

describe('a checklist', () => {
  test('holds when the same rows came, however often each and in whatever order', () => {
    const checklist = check(['a', 'b', 'a'], ['b', 'a', 'a']);
    assert.ok(checklist.holds);
    assert.equal(checklist.verified, 3);
  });

  test('names a row that is missing', () => {
    const checklist = check(['a', 'b', 'b'], ['a', 'b']);
    assert.ok(!checklist.holds);
    assert.deepEqual(checklist.missingFirst(), ['b']);
  });

  test('names a row that came once too often, and one that was never expected', () => {
    const checklist = check(['a'], ['a', 'a', 'x']);
    assert.ok(!checklist.holds);
    assert.equal(checklist.surplus, 2);
    assert.deepEqual(checklist.surplusFirst, ['a', 'x']);
  });

  test('holds exactly when the two are equal as multisets', () => {
    const rows = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 6 });
    fc.assert(
      fc.property(rows, rows, (expected, came) => {
        const equal = [...expected].sort().join() === [...came].sort().join();
        assert.equal(check(expected, came).holds, equal);
      }),
    );
  });
});
