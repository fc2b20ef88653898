/** The ids of the state's and the crash's events. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { frameOf, idOf, scattered, upTo } from '../../bench/keyed.ts';

describe('ids', () => {
  test('are all different and equally long', () => {
    const ids = new Set(Array.from(upTo(100_000), idOf));
    assert.equal(ids.size, 100_000);
    for (const id of ids) assert.match(id, /^[0-9a-f]{16}$/);
  });

  test('come scattered: each at most once, from everywhere', () => {
    for (const limit of [1, 2, 1_000, 65_536]) {
      const count = Math.ceil(limit / 10);
      const numbers = [...scattered(count, limit)];
      assert.equal(new Set(numbers).size, count);
      assert.ok(numbers.every(n => n >= 0 && n < limit));
    }
    const [one = 0, two = 0] = scattered(2, 1_000);
    assert.ok(Math.abs(two - one) > 100);
  });

  test('stand in a frame a line each', () => {
    assert.equal(frameOf({ from: 5, count: 2, atMs: 9 }), `{"id":"${idOf(5)}","at":9}\n{"id":"${idOf(6)}","at":9}`);
  });
});
