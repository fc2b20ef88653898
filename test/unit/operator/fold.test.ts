/** The fold: whatever it adds without a call, a row is what the aggregates themselves would make of the records. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { avg, count, last, max, min, sum } from '../../../lib/operator/aggregates.ts';
import { Fold } from '../../../lib/operator/fold.ts';
import { reduce } from '../../../lib/operator/own-aggregates.ts';
import type { AggregateSpec } from '../../../lib/operator/spec.ts';
import { pack, unpack } from '../../../lib/record/rows.ts';

interface Value {
  readonly a: number;
  readonly b: number;
}
const a = (value: Value) => value.a;
const b = (value: Value) => value.b;
const ALL = [
  count(),
  min(a),
  max(a),
  sum(a),
  min(b),
  max(b),
  avg(b),
  last(a),
  reduce((left: Value, right: Value) => (left.a > right.a ? left : right)),
] as readonly unknown[] as readonly AggregateSpec[];

const number = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom(-0, 0.5, 1_767_225_600_000, -1e300));
const values = fc.array(fc.record({ a: number, b: number }, { noNullPrototype: true }), { maxLength: 12 });

/** As the aggregates say, one after the other. */
function expected(aggregates: readonly AggregateSpec[], records: readonly Value[]): unknown[] {
  return aggregates.map(aggregate =>
    records.reduce((row, value, i) => aggregate.add(row, aggregate.extract(value), i), aggregate.init()),
  );
}

test('a row is what the aggregates make of the records one by one, also when it comes back from the journal', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([...ALL], { minLength: 1 }), values, fc.nat(12), (aggregates, records, cut) => {
      const fold = new Fold(aggregates);
      let row = fold.start();
      records.forEach((value, i) => {
        if (i === cut) row = unpack(pack(row)) as unknown[];
        fold.extract(value);
        fold.add(row, i);
      });
      const wanted = expected(aggregates, records);
      assert.deepEqual(row, wanted);
      assert.deepEqual(unpack(pack(row)), wanted);
    }),
  );
});

test('a record enters several rows alike', () => {
  const fold = new Fold(ALL);
  const rows = [fold.start(), fold.start()];
  for (const [i, value] of [
    { a: 1, b: 9 },
    { a: 7, b: 2 },
  ].entries()) {
    fold.extract(value);
    fold.addAll(rows, i);
  }
  const wanted = expected(ALL, [
    { a: 1, b: 9 },
    { a: 7, b: 2 },
  ]);
  assert.deepEqual(rows, [wanted, wanted]);
});

test('min and max of no records are what merges with any number', () => {
  const fold = new Fold([min(a), max(a), count()] as unknown as AggregateSpec[]);
  const row = fold.start();
  fold.extract({ a: 3, b: 0 });
  fold.add(row, 0);
  const into = fold.start();
  fold.mergeInto(into, [row, fold.start()]);
  assert.deepEqual(into, [3, 3, 1]);
});

test('a record of which a function throws leaves its mark in no row', () => {
  const fold = new Fold([min(a), max((value: Value) => value.b)] as unknown as AggregateSpec[]);
  const row = fold.start();
  fold.extract({ a: 3, b: 4 });
  fold.add(row, 0);
  assert.throws(() => fold.extract({ a: 1, b: Number.NaN }), { code: 'RECORD_INVALID' });
  fold.extract({ a: 5, b: 5 });
  fold.add(row, 1);
  assert.deepEqual(row, [3, 5]);
});
