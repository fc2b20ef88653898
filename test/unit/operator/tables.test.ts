/** What an operator declares is what it opens, of every kind and in every form; and it is plain data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count } from '../../../lib/operator/aggregates.ts';
import { buildOperator } from '../../../lib/operator/build.ts';
import type { AggregateSpec, StatefulSpec, WindowSpec } from '../../../lib/operator/spec.ts';
import { tablesOf } from '../../../lib/operator/tables.ts';
import { TaskState } from '../../../lib/state/state.ts';
import type { Tables } from '../../../lib/state/tables.ts';

const merging = count() as AggregateSpec;
const slow = { ...merging, merge: undefined } as unknown as AggregateSpec;
const windows = (window: WindowSpec, aggregate = merging): StatefulSpec[] =>
  (['final', 'updates'] as const).map(emit => ({
    ...{ kind: 'window', window, graceMs: 0, emit, results: ['r'], aggregates: [aggregate] },
    shape: row => row,
  }));
const times = { beforeMs: 1, afterMs: 1, graceMs: 0 };
const hopping: WindowSpec = { kind: 'hopping', sizeMs: 20, advanceMs: 5, offsetMs: 0 };

/** A kind that is not here does not compile. */
const SPECS: Readonly<Record<StatefulSpec['kind'], readonly StatefulSpec[]>> = {
  dedupe: (['first', 'last'] as const).map(keep => ({ kind: 'dedupe', id: null, withinMs: 1, graceMs: 0, keep })),
  join: (['inner', 'left', 'right', 'outer', 'semi', 'anti'] as const).map(join => ({
    ...{ kind: 'join', join, ...times },
    combine: (left, right) => [left, right],
  })),
  window: [
    ...windows({ kind: 'tumbling', sizeMs: 20, offsetMs: 0 }),
    ...windows(hopping),
    ...windows(hopping, slow),
    ...windows({ kind: 'session', gapMs: 8 }),
  ],
  tableJoin: [true, false].map(inner => ({ kind: 'tableJoin', inner, combine: stream => stream })),
  process: [{ kind: 'process', process: { onRecord: () => {} } }],
};

for (const spec of Object.values(SPECS).flat()) {
  test(`what an operator declares is what it opens: ${JSON.stringify(spec)}`, () => {
    const declared = tablesOf({
      nodes: [
        { name: 'before', spec: { kind: 'map', fn: value => value }, targets: [] },
        { name: 'op', spec, targets: [] },
      ],
    });
    assert.deepEqual(JSON.parse(JSON.stringify(declared)), declared);
    const tables = new TaskState(declared).tables('op');
    const opened: string[] = [];
    const watched: Tables = {
      values: name => {
        opened.push(`values op.${name}`);
        return tables.values(name);
      },
      numbers: name => {
        opened.push(`numbers op.${name}`);
        return tables.numbers(name);
      },
      lists: name => {
        opened.push(`lists op.${name}`);
        return tables.lists(name);
      },
    };
    buildOperator(spec, {
      ...{ name: 'op', tables: watched, emit: () => {}, late: () => {}, drop: () => {}, poison: () => {} },
      ...{ carriedId: () => null, hasPassed: () => false, owe: () => {}, worked: () => {}, full: () => false },
    });
    assert.deepEqual(opened.sort(), declared.map(({ kind, name }) => `${kind} ${name}`).sort());
  });
}
