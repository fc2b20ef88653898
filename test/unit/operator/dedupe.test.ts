/** Deduplicate. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { StatefulSpec } from '../../../lib/operator/spec.ts';
import { dedupeBatch } from './batch.ts';
import { orderly, play, RUNS, unruly } from './histories.ts';
import { Rig, sorted } from './rig.ts';

function spec(options: { within: number; grace?: number; keep?: 'first' | 'last' }): StatefulSpec {
  return {
    kind: 'dedupe',
    id: value => (value as { id: string }).id,
    withinMs: options.within,
    graceMs: options.grace ?? 0,
    keep: options.keep ?? 'first',
  };
}

const times = (rig: Rig) => rig.rows.map(row => row.timeMs);

describe('a duplicate', () => {
  test('is a copy within `within` of an accepted record, both ends inclusive, on either side', () => {
    const rig = new Rig(spec({ within: 10 }));
    for (const t of [100, 110, 111, 90, 89, 100]) rig.receive('k', { id: 'x' }, t);
    assert.deepEqual(times(rig), [100, 111, 89]);
    assert.deepEqual(rig.drops, ['duplicate', 'duplicate', 'duplicate']);
  });

  test('of a duplicate is none: only accepted records count', () => {
    const rig = new Rig(spec({ within: 10 }));
    for (const t of [100, 108, 116]) rig.receive('k', { id: 'x' }, t);
    assert.deepEqual(times(rig), [100, 116]);
  });

  test('is known by key and id: the same id of another key passes, and so does another id', () => {
    const rig = new Rig(spec({ within: 10 }));
    rig.receive('a', { id: 'x' }, 100);
    rig.receive('b', { id: 'x' }, 100);
    rig.receive('a', { id: 'y' }, 100);
    rig.receive(null, { id: 'z' }, 100);
    assert.deepEqual(
      rig.rows.map(row => row.key),
      ['a', 'b', 'a', null],
    );
  });

  test('is found after a restart', () => {
    const rig = new Rig(spec({ within: 10 }));
    rig.receive('k', { id: 'x' }, 100);
    rig.receive('k', { id: 'later' }, 109);
    rig.advance(95);
    rig.restart();
    rig.receive('k', { id: 'x' }, 91);
    rig.receive('k', { id: 'later' }, 99);
    assert.deepEqual(times(rig), [100, 109]);
  });

  test('of the same instant only, when within is 0', () => {
    const rig = new Rig(spec({ within: 0 }));
    for (const t of [100, 100, 101]) rig.receive('k', { id: 'x' }, t);
    assert.deepEqual(times(rig), [100, 101]);
  });
});

describe('marks and lateness', () => {
  test('a mark is dropped when no record that can be judged is near it', () => {
    const rig = new Rig(spec({ within: 10, grace: 5 }));
    rig.receive('k', { id: 'x' }, 100);
    rig.advance(124);
    assert.equal(rig.state.entries, 1);
    rig.receive('k', { id: 'x' }, 110);
    assert.deepEqual(times(rig), [100]);
    rig.advance(125);
    assert.equal(rig.state.entries, 0);
  });

  test('a record before W − grace cannot be judged and is late, at it is accepted', () => {
    const rig = new Rig(spec({ within: 10, grace: 5 }));
    rig.advance(100);
    rig.receive('k', { id: 'x' }, 94);
    rig.receive('k', { id: 'y' }, 95);
    assert.deepEqual(times(rig), [95]);
    assert.deepEqual(rig.late, [{ key: 'k', value: { id: 'x' }, timeMs: 94, watermarkMs: 100, lateByMs: 1 }]);
  });

  test('a late copy whose mark is still there is a duplicate', () => {
    const rig = new Rig(spec({ within: 10, grace: 0 }));
    rig.receive('k', { id: 'x' }, 100);
    rig.advance(105);
    rig.receive('k', { id: 'x' }, 99);
    assert.deepEqual(rig.drops, ['duplicate']);
    assert.deepEqual(rig.late, []);
  });
});

describe('keep last', () => {
  test('sends later copies too, of equal times the later arrival, and drops older ones', () => {
    const rig = new Rig(spec({ within: 10, keep: 'last' }));
    for (const [v, t] of [
      ['first', 100],
      ['older', 95],
      ['newer', 105],
      ['between', 103],
      ['equal', 105],
    ] as const) {
      rig.receive('k', { id: 'x', v }, t);
    }
    assert.deepEqual(
      rig.rows.map(row => (row.value as { v: string }).v),
      ['first', 'newer', 'equal'],
    );
    assert.deepEqual(rig.drops, ['duplicate', 'duplicate']);
  });

  test('does not stretch: what is a copy is measured from the accepted record', () => {
    const rig = new Rig(spec({ within: 10, keep: 'last' }));
    for (const t of [100, 110, 111]) rig.receive('k', { id: 'x' }, t);
    rig.advance(100);
    rig.restart();
    rig.receive('k', { id: 'x' }, 105);
    assert.deepEqual(times(rig), [100, 110, 111]);
  });

  test('never sends a copy that is older than what went out for a neighbouring mark', () => {
    const rig = new Rig(spec({ within: 10, keep: 'last' }));
    for (const t of [100, 120, 110]) rig.receive('k', { id: 'x' }, t);
    assert.deepEqual(times(rig), [100, 120]);
  });
});

describe('what cannot be deduplicated', () => {
  test('a null value is counted and otherwise nothing', () => {
    const rig = new Rig(spec({ within: 10 }));
    rig.receive('k', null, 100);
    assert.deepEqual(rig.drops, ['null-value']);
    assert.deepEqual(rig.rows, []);
  });

  test('an id function that throws or gives no text makes the record poison', () => {
    const rig = new Rig(spec({ within: 10 }));
    rig.receive('k', {}, 100);
    rig.receive('k', { id: 7 }, 100);
    rig.receive('k', { id: Promise.resolve('x') }, 100);
    assert.equal(rig.poisons.length, 3);
    assert.equal(rig.state.entries, 0);
  });

  test('without an id function the id is the one that the reader computed', () => {
    const rig = new Rig({ kind: 'dedupe', id: null, withinMs: 10, graceMs: 0, keep: 'first' });
    for (const id of ['x', 'x', 'y', null]) {
      rig.carried = id;
      rig.receive('k', 'value', 100);
    }
    assert.equal(rig.rows.length, 2);
    assert.equal(rig.poisons.length, 1);
  });
});

describe('against the batch definition', () => {
  const carried = (within: number, grace: number): StatefulSpec => ({
    kind: 'dedupe',
    id: null,
    withinMs: within,
    graceMs: grace,
    keep: 'first',
  });

  test('whatever the cuts and the restarts, the rows are those of the batch in the order of arrival', () => {
    fc.assert(
      fc.property(orderly, fc.nat(40), (history, within) => {
        const rig = new Rig(carried(within, history.graceMs), { strict: true });
        play(rig, history);
        assert.deepEqual(
          rig.rows.map(row => ({ ...row })),
          dedupeBatch(history.arrivals, within),
        );
        assert.equal(rig.late.length, 0);
        rig.advance(100_000);
        assert.equal(rig.state.entries, 0);
      }),
      RUNS,
    );
  });

  test('where all copies of an id lie within `within`, each id of a key passes once in any order', () => {
    fc.assert(
      fc.property(orderly, history => {
        const rig = new Rig(carried(200, history.graceMs), { strict: true });
        play(rig, history);
        const ids = new Set(history.arrivals.map(arrival => JSON.stringify([arrival.key, arrival.dedupeId])));
        assert.equal(rig.rows.length, ids.size);
      }),
      RUNS,
    );
  });

  test('with late records, nothing is lost and no duplicate passes', () => {
    fc.assert(
      fc.property(unruly, fc.nat(40), (history, within) => {
        const rig = new Rig(carried(within, history.graceMs), { strict: true });
        play(rig, history);
        const late = new Set(rig.late.map(record => record.value));
        const judged = history.arrivals.filter(arrival => !late.has(arrival.id));
        assert.deepEqual(sorted(rig.rows), sorted(dedupeBatch(judged, within)));
        assert.equal(rig.rows.length + rig.drops.length + rig.late.length, history.arrivals.length);
      }),
      RUNS,
    );
  });
});
