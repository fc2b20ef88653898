/** The budget of a worker: what its tasks may hold follows who is there and what they hold, at once. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Budget } from '../../../lib/task/budget.ts';
import { limitsOf } from '../../../lib/task/surroundings.ts';

const MB = 1 << 20;

describe('a budget', () => {
  test('is of the one task that is there, and shared evenly by those that have much', () => {
    const budget = new Budget({ stateBytes: 100 * MB, journalBytes: 80 * MB });
    const first = budget.join();
    assert.deepEqual([first.stateBytesMax, first.journalBytesMax], [100 * MB, 80 * MB]);
    const second = budget.join();
    for (const share of [first, second]) share.stateBytes = 60 * MB;
    assert.deepEqual([first.stateBytesMax, second.stateBytesMax], [50 * MB, 50 * MB]);
    assert.deepEqual([first.journalBytesMax, second.journalBytesMax], [40 * MB, 40 * MB]);
  });

  test('leaves to one that has much what the others do not use, until they do', () => {
    const budget = new Budget({ stateBytes: 100 * MB });
    const [large, small, third] = [budget.join(), budget.join(), budget.join()];
    large.stateBytes = 70 * MB;
    small.stateBytes = 10 * MB;
    assert.equal(large.stateBytesMax, 90 * MB);
    assert.equal(small.stateBytesMax, Math.floor((100 * MB) / 3), 'its even share, whatever the large one holds');
    third.stateBytes = 30 * MB;
    assert.equal(large.stateBytesMax, 60 * MB);
  });

  test('is given back by who leaves, once, and no task gets less than the least', () => {
    const budget = new Budget({ stateBytes: 100 * MB });
    const shares = Array.from({ length: 50 }, () => budget.join());
    for (const share of shares) share.stateBytes = 5 * MB;
    assert.equal(shares[0]!.stateBytesMax, 8 * MB);
    for (const share of shares.slice(1)) {
      share.leave();
      share.leave();
    }
    assert.equal(shares[0]!.stateBytesMax, 100 * MB);
  });

  test('moves the limits of a task that runs, but for those that are fixed', () => {
    const budget = new Budget({ stateBytes: 100 * MB, journalBytes: 80 * MB });
    const limits = limitsOf(budget.join(), { relayBytesMax: 1 });
    const fixed = limitsOf(budget.join(), { stateBytesMax: 7 });
    assert.deepEqual([limits.checkpointBytes, limits.relayBytesMax, fixed.stateBytesMax], [40 * MB, 1, 7]);
    budget.join();
    budget.join();
    assert.deepEqual([limits.checkpointBytes, fixed.checkpointBytes, fixed.stateBytesMax], [20 * MB, 20 * MB, 7]);
  });
});
