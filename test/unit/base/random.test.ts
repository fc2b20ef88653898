import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { backoffMs } from '../../../lib/base/backoff.ts';
import { Random } from '../../../lib/base/random.ts';

describe('random numbers', () => {
  test('are the same for the same seed, for ever', () => {
    const random = new Random(42);
    assert.deepEqual(
      Array.from({ length: 4 }, () => random.int(1_000_000)),
      [601_103, 448_290, 852_465, 669_734],
    );
  });

  test('spread evenly over their range and never reach its end', () => {
    const random = new Random(7);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const next = random.next();
      assert.ok(next >= 0 && next < 1);
      counts[Math.floor(next * 10)]!++;
    }
    for (const count of counts) assert.ok(count > 9_500 && count < 10_500, String(count));
  });

  test('take a chance as often as it says, never and always included', () => {
    const random = new Random(7);
    const hits = (p: number) => Array.from({ length: 10_000 }, () => random.chance(p)).filter(Boolean).length;
    assert.equal(hits(0), 0);
    assert.equal(hits(1), 10_000);
    assert.ok(Math.abs(hits(0.25) - 2_500) < 200);
  });

  test('of a fork do not depend on how often the other part rolls', () => {
    const [one, two] = [new Random(5), new Random(5)];
    const [a, b] = [one.fork(), two.fork()];
    one.next();
    assert.equal(a.next(), b.next());
  });

  test('come from a list only when there is something in it', () => {
    assert.ok(['a', 'b'].includes(new Random(1).pick(['a', 'b'])));
    assert.throws(() => new Random(1).pick([]), RangeError);
  });
});

describe('backoff', () => {
  test('doubles up to its ceiling', () => {
    const delays = Array.from({ length: 8 }, (_, attempt) => backoffMs(attempt, { baseMs: 20, maxMs: 1_000 }));
    assert.deepEqual(delays, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    assert.equal(backoffMs(5_000, { baseMs: 20, maxMs: 1_000 }), 1_000);
  });

  test('with jitter lies between half and whole', () => {
    const random = new Random(3);
    for (let i = 0; i < 1_000; i++) {
      const delayMs = backoffMs(2, { baseMs: 20, maxMs: 1_000, random });
      assert.ok(delayMs >= 40 && delayMs < 80);
    }
  });
});
