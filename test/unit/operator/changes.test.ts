/**
 * The change that a record is goes with it through a run: past every stateless operator, and through a step that holds its
 * records back.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AFTER, BEFORE, type Change, DELETE, INSERT, wordOf } from '../../../lib/change/change.ts';
import type { Operator, OperatorLook } from '../../../lib/operator/operator.ts';
import { newCursor, type PoisonedRecord, Run } from '../../../lib/operator/run.ts';
import { CHANGES, type StatelessSpec } from '../../../lib/operator/spec.ts';
import { Batch, Step } from '../../../lib/operator/step.ts';

const ALL: readonly Change[] = [INSERT, BEFORE, AFTER, DELETE];
const fails = (value: unknown): never => {
  throw new Error(`${value} is refused`);
};

/** One operator with two exits, and what came of records 0 to 3, each of the change of its number. */
function passed(spec: StatelessSpec): { out: string[]; poisoned: string[] } {
  const out: string[] = [];
  const poisons: PoisonedRecord[] = [];
  const receive = (key: string | null, value: unknown, timeMs: number, change: Change) =>
    void out.push(`${key} ${value} ${timeMs} ${wordOf(change)}`);
  const run = new Run(
    {
      entries: [[{ node: 0, port: 0 }]],
      nodes: [{ name: 'one', spec, targets: [{ exit: 0 }, { exit: 1 }] }],
      exits: [
        { kind: 'sink', sink: 'a' },
        { kind: 'sink', sink: 'b' },
      ],
    },
    {
      cursor: newCursor(),
      exits: [{ receive }, { receive() {} }],
      tables: null,
      late: () => {},
      poison: record => void poisons.push(record),
      drop: () => {},
    },
  );
  for (const change of ALL) run.entries[0]!.receive('k', change, 10 + change, change);
  return { out, poisoned: poisons.map(({ value, change }) => `${value} ${wordOf(change)}`) };
}

describe('a stateless operator', () => {
  const asTheyCome = ['k 0 10 insert', 'k 1 11 before', 'k 2 12 after', 'k 3 13 delete'];
  const rows: readonly (readonly [StatelessSpec, string[]])[] = [
    [{ kind: 'map', fn: value => `v${value}` }, asTheyCome.map(row => row.replace('k ', 'k v'))],
    [{ kind: 'filter', fn: value => value !== 2 }, asTheyCome.filter(row => !row.startsWith('k 2'))],
    [{ kind: 'flatMap', fn: value => [value, value] }, asTheyCome.flatMap(row => [row, row])],
    [{ kind: 'keyBy', fn: value => `key${value}` }, asTheyCome.map((row, i) => row.replace('k', `key${i}`))],
    [{ kind: 'carryId', fn: value => `id${value}` }, asTheyCome],
  ];
  for (const [spec, expected] of rows) {
    test(`passes on what each record is: ${spec.kind}`, () => {
      assert.equal(CHANGES[spec.kind], 'passes');
      assert.deepEqual(passed(spec), { out: expected, poisoned: [] });
    });

    test(`that fails says what the record was: ${spec.kind}`, () => {
      const { out, poisoned } = passed({ kind: spec.kind, fn: fails } as StatelessSpec);
      assert.deepEqual([out, poisoned], [[], ['0 insert', '1 before', '2 after', '3 delete']]);
    });
  }
});

/** An operator that takes all changes: what it was given, in order. */
class Taking implements Operator {
  readonly lagMs = 0;
  readonly got: string[] = [];

  receive(port: number, key: string | null, value: unknown, timeMs: number, change: Change): void {
    this.got.push(`${port} ${key} ${value} ${timeMs} ${wordOf(change)}`);
  }

  advance(): boolean {
    return true;
  }

  hold(): void {}
  resume(): void {}
  look(): OperatorLook {
    return { unit: 'rows', held: 0, nextMs: null };
  }
  want(): void {}
  wantAdvance(): void {}
}

describe('a step', () => {
  for (const holds of [false, true]) {
    test(`hands its operator each record with its change, ${holds ? 'held back' : 'as it comes'}`, () => {
      const operator = new Taking();
      const step = new Step({ name: 'taking', operator, cursor: newCursor(), batch: new Batch(() => !holds) });
      const expected: string[] = [];
      for (const batch of [
        [DELETE, INSERT, INSERT, AFTER, INSERT],
        [INSERT, BEFORE],
        [INSERT, INSERT],
      ] as const) {
        for (const [i, change] of batch.entries()) {
          step.push(i % 2, 'k', i, 5, change);
          expected.push(`${i % 2} k ${i} 5 ${wordOf(change)}`);
        }
        if (holds) assert.equal(operator.got.length, expected.length - batch.length);
        step.pass();
        assert.deepEqual(operator.got, expected);
      }
    });
  }
});
