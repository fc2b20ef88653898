/** Columns: records side by side, put in, copied and cut, are the records that they were. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import {
  addRecord,
  type Columns,
  changeAt,
  copyRecord,
  emptyColumns,
  sliceColumns,
} from '../../../lib/record/columns.ts';

interface Rec {
  readonly key: string | null;
  readonly value: unknown;
  readonly timeMs: number;
  readonly change: Change;
  readonly origin: number;
  readonly id: string | null;
  readonly trace: string | null;
}

const record: fc.Arbitrary<Rec> = fc.record(
  {
    key: fc.option(fc.constantFrom('a', 'b')),
    value: fc.nat(9),
    timeMs: fc.nat(99),
    change: fc.oneof(fc.constant(INSERT), fc.constantFrom<Change[]>(0, 1, 2, 3)),
    origin: fc.nat(99),
    id: fc.option(fc.constant('id'), { freq: 2 }),
    trace: fc.option(fc.constant('trace'), { freq: 2 }),
  },
  { noNullPrototype: true },
);
const records = fc.array(record, { maxLength: 12 });

function columnsOf(all: readonly Rec[]): Columns {
  const columns = emptyColumns();
  for (const { key, value, timeMs, change, origin, id, trace } of all) {
    addRecord(columns, key, value, timeMs, change, origin, id, trace);
  }
  return columns;
}

function recordsOf(columns: Columns): Rec[] {
  const { keys, values, timesMs, changes, origins, ids, traces } = columns;
  return keys.map((key, i) => ({
    key,
    value: values[i],
    timeMs: timesMs[i]!,
    change: changeAt(changes, i),
    origin: origins[i]!,
    id: ids?.[i] ?? null,
    trace: traces?.[i] ?? null,
  }));
}

describe('columns', () => {
  test('give back the records that were put in, whole, cut and copied', () => {
    fc.assert(
      fc.property(records, fc.nat(12), fc.nat(12), (all, one, other) => {
        const columns = columnsOf(all);
        assert.deepEqual(recordsOf(columns), all);
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        assert.deepEqual(recordsOf(sliceColumns(columns, from, to)), all.slice(from, to));
        const copy = emptyColumns();
        for (let i = 0; i < all.length; i++) copyRecord(copy, columns, all.length - 1 - i);
        assert.deepEqual(recordsOf(copy), all.toReversed());
        // What was cut off goes on being filled.
        const rest = sliceColumns(columns, from, all.length);
        addRecord(rest, 'k', 1, 2, DELETE, 3, null, null);
        assert.deepEqual(recordsOf(rest).at(-1)?.change, DELETE);
      }),
    );
  });

  test('of inserts alone have no column of changes', () => {
    const inserts = columnsOf([{ key: 'k', value: 1, timeMs: 1, change: INSERT, origin: 1, id: null, trace: null }]);
    assert.deepEqual(Object.keys(inserts), Object.keys(emptyColumns()));
    const copy = emptyColumns();
    copyRecord(copy, inserts, 0);
    assert.equal('changes' in copy, false);
    assert.equal('changes' in sliceColumns(inserts, 0, 0), false);
  });
});
