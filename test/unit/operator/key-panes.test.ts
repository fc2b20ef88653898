/** What a key's panes come to, over any stretch of them, however they come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Row } from '../../../lib/operator/fold.ts';
import { KeyPanes } from '../../../lib/operator/key-panes.ts';

/** A pane's row is its number, as often as it has changed; rows are merged in order. */
class Model {
  readonly panes = new KeyPanes();
  readonly rows = new Map<number, Row>();
  merges = 0;

  change(pane: number): void {
    const row = this.rows.get(pane);
    if (row === undefined) this.rows.set(pane, [pane]);
    else row.push(pane);
    this.panes.changed(pane);
  }

  /** Those below are dropped. */
  drop(below: number): void {
    for (const pane of [...this.rows.keys()].sort((a, b) => a - b)) {
      if (pane >= below) break;
      this.panes.drop(pane);
      this.rows.delete(pane);
    }
  }

  sum(from: number, to: number): Row {
    const merge = (rows: readonly Row[]) => {
      this.merges++;
      return rows.flat();
    };
    return this.panes.rowsOf(from, to, { rowOf: pane => this.rows.get(pane)!, merge }).flat();
  }

  expected(from: number, to: number): Row {
    const panes = [...this.rows.keys()].filter(pane => pane >= from && pane < to).sort((a, b) => a - b);
    return panes.flatMap(pane => this.rows.get(pane)!);
  }
}

test('any stretch is the panes in it, in order, after any changes and drops', () => {
  const pane = fc.integer({ min: -60, max: 60 });
  const step = fc.oneof(
    fc.record({ changes: fc.array(pane, { maxLength: 30, size: 'max' }) }),
    fc.record({ from: pane, length: fc.nat(100) }),
    fc.record({ dropBelow: pane }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), steps => {
      const model = new Model();
      for (const one of steps) {
        if ('changes' in one) for (const changed of one.changes) model.change(changed);
        else if ('dropBelow' in one) model.drop(one.dropBelow);
        else
          assert.deepEqual(model.sum(one.from, one.from + one.length), model.expected(one.from, one.from + one.length));
        assert.equal(model.panes.isEmpty, model.rows.size === 0);
      }
    }),
    { numRuns: 500 },
  );
});

test('a stretch that moves on merges each pane about once for each length of run', () => {
  const n = 4_096;
  const model = new Model();
  for (let pane = 0; pane < 2 * n; pane++) model.change(pane);
  const merge = () => {
    model.merges++;
    return [1];
  };
  for (let from = 0; from < n; from++) {
    model.drop(from);
    assert.ok(model.panes.rowsOf(from, from + n, { rowOf: () => [1], merge }).length <= 24);
  }
  assert.ok(model.merges <= 2 * n, `${model.merges} merges`);
});
