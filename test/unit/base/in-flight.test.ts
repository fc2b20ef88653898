/** What is under way, held against a map on random histories. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { InFlight } from '../../../lib/base/in-flight.ts';

/** Negative: something comes in. Otherwise: which of those that are there goes out, oldest first, as a share. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant(-1) },
  { weight: 2, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
);

describe('what is under way', () => {
  test('is found under its token until it is taken, however much comes and goes, and tokens only grow', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), steps => {
        const flight = new InFlight<number>();
        const model = new Map<number, number>();
        let last = 0;
        steps.forEach((share, item) => {
          if (share < 0) {
            const token = flight.add(item);
            assert.ok(token > last);
            last = token;
            model.set(token, item);
          } else if (model.size > 0) {
            const token = [...model.keys()][Math.min(model.size - 1, Math.floor(share * model.size))]!;
            assert.equal(flight.take(token), model.get(token));
            assert.equal(flight.take(token), undefined);
            model.delete(token);
          }
          assert.equal(flight.size, model.size);
        });
        const even = [...model.values()].filter(item => item % 2 === 0);
        assert.deepEqual(
          flight.takeAll(item => item % 2 === 0),
          even,
        );
        for (const [token, item] of model) assert.equal(flight.take(token), item % 2 === 0 ? undefined : item);
        assert.equal(flight.size, 0);
      }),
      { numRuns: 300 },
    );
  });

  test('keeps its place when tokens come round to it again', () => {
    const flight = new InFlight<string>();
    const slow = flight.add('slow');
    for (let i = 0; i < 1_000; i++) assert.equal(flight.take(flight.add('quick')), 'quick');
    assert.equal(flight.take(slow), 'slow');
    assert.equal(flight.take(0), undefined);
  });
});
