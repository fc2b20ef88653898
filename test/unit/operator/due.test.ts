/** The queue of what is due. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Due, DueQueue } from '../../../lib/operator/due.ts';

const WIDTH = 100;
const due = (timeMs: number, key = 'k'): Due => ({ timeMs, bucket: Math.floor(timeMs / WIDTH), key, index: 0 });

test('members leave in the order of time, whether they were loaded with their bucket or came later', () => {
  const step = fc.oneof(
    fc.record({ load: fc.array(fc.nat(WIDTH - 1), { maxLength: 40 }) }),
    fc.record({ push: fc.nat(10 * WIDTH) }),
    fc.record({ popTo: fc.nat(20 * WIDTH) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const queue = new DueQueue();
      let held: number[] = [];
      let bucket = 0;
      for (const one of steps) {
        if ('load' in one) {
          const times = one.load.map(t => bucket * WIDTH + t);
          bucket++;
          queue.load(times.map(t => due(t)));
          held.push(...times);
        } else if ('push' in one) {
          queue.push(due(one.push));
          held.push(one.push);
        } else {
          const visited: number[] = [];
          queue.forEachUpTo(one.popTo, member => visited.push(member.timeMs));
          const expected = held.filter(t => t <= one.popTo).sort((a, b) => a - b);
          assert.deepEqual(
            visited.sort((a, b) => a - b),
            expected,
          );
          const popped: number[] = [];
          while ((queue.peek()?.timeMs ?? Number.POSITIVE_INFINITY) <= one.popTo) popped.push(queue.pop()!.timeMs);
          assert.deepEqual(popped, expected);
          held = held.filter(t => t > one.popTo);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('members of one time leave in the order of their keys, so that a restart changes nothing', () => {
  const queue = new DueQueue();
  queue.load([due(5, 'c'), due(5, 'a')]);
  queue.push(due(5, 'b'));
  assert.deepEqual(
    [queue.pop(), queue.pop(), queue.pop(), queue.pop()].map(member => member?.key),
    ['a', 'b', 'c', undefined],
  );
});

test('a large bucket is let go as its members leave', () => {
  const queue = new DueQueue();
  queue.load(Array.from({ length: 10_000 }, (_member, i) => due(i)));
  for (let i = 0; i < 10_000; i++) assert.equal(queue.pop()?.timeMs, i);
  assert.equal(queue.peek(), undefined);
});
