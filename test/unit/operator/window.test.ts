/** Tumbling and hopping windows. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { collect, count, sum } from '../../../lib/operator/aggregates.ts';
import { aggregate } from '../../../lib/operator/own-aggregates.ts';
import type { AggregateSpec, StatefulSpec, WindowSpec } from '../../../lib/operator/spec.ts';
import { type Rec, type WindowBatch, windowBatch } from './batch.ts';
import { orderly, play, RUNS, unruly } from './histories.ts';
import { Rig, sorted } from './rig.ts';

type Options = { window: WindowSpec; grace?: number; emit?: 'final' | 'updates'; aggregates?: AggregateSpec[] };

function spec({ window, grace = 0, emit = 'final', aggregates = [count()] }: Options): StatefulSpec {
  return {
    kind: 'window',
    window,
    graceMs: grace,
    emit,
    results: aggregates.map((_, i) => `r${i}`),
    aggregates,
    shape: ({ key, startMs, endMs, results, final }) => ({ key, startMs, endMs, results, final }),
  };
}

const tumbling = (sizeMs: number, offsetMs = 0): WindowSpec => ({ kind: 'tumbling', sizeMs, offsetMs });
const hopping = (sizeMs: number, advanceMs: number, offsetMs = 0): WindowSpec => ({
  kind: 'hopping',
  sizeMs,
  advanceMs,
  offsetMs,
});
/** As `collect`, but without `merge`: keeps hopping windows from being cut into panes. */
const collectSlowly = (): AggregateSpec =>
  aggregate<number, number[]>({ init: () => [], add: (ids, id) => [...ids, id] }) as AggregateSpec;

interface Result {
  readonly startMs: number;
  readonly endMs: number;
  readonly results: unknown[];
  readonly final: boolean;
}
const brief = (rows: readonly { key: string | null; value: unknown }[]) =>
  rows.map(({ key, value }) => {
    const { startMs, results, final } = value as Result;
    return `${key}@${startMs} ${results.join(' ')}${final ? '' : ' …'}`;
  });

describe('tumbling', () => {
  test('windows are [start, end), aligned to the epoch', () => {
    const rig = new Rig(spec({ window: tumbling(10) }));
    for (const t of [0, 9, 10, 19, 20, -1]) rig.receive('k', t, t);
    assert.deepEqual(brief(rig.advance(30)), ['k@-10 1', 'k@0 2', 'k@10 2', 'k@20 1']);
  });

  test('an offset moves the edges', () => {
    const rig = new Rig(spec({ window: tumbling(10, 3) }));
    for (const t of [2, 3, 12, 13]) rig.receive('k', t, t);
    assert.deepEqual(brief(rig.advance(100)), ['k@-7 1', 'k@3 2', 'k@13 1']);
  });

  test('a window closes when W reaches end + grace, once, with the event time end − 1', () => {
    const rig = new Rig(spec({ window: tumbling(10), grace: 5 }));
    rig.receive('k', 1, 1);
    assert.deepEqual(rig.advance(14), []);
    const [row] = rig.advance(15);
    assert.equal(row?.timeMs, 9);
    assert.deepEqual(row?.value, { key: 'k', startMs: 0, endMs: 10, results: [1], final: true });
    assert.deepEqual(rig.advance(1000), []);
    assert.equal(rig.state.entries, 0);
  });

  test('a record is late for a window that has closed', () => {
    const rig = new Rig(spec({ window: tumbling(10), grace: 5 }));
    rig.advance(14);
    rig.receive('k', 1, 0);
    rig.advance(15);
    rig.receive('k', 2, 9);
    assert.deepEqual(rig.late, [{ key: 'k', value: 2, timeMs: 9, watermarkMs: 15, lateByMs: 1 }]);
    assert.deepEqual(brief(rig.rows), ['k@0 1']);
  });

  test('a record older than W counts while its window is open', () => {
    const rig = new Rig(spec({ window: tumbling(100) }));
    rig.advance(99);
    rig.receive('k', 1, 0);
    assert.deepEqual(brief(rig.advance(100)), ['k@0 1']);
  });

  test('empty windows give nothing, however far the watermark leaps', () => {
    const rig = new Rig(spec({ window: tumbling(10) }));
    rig.receive('a', 1, 5);
    rig.receive('b', 1, 1_000_005);
    assert.deepEqual(brief(rig.advance(1_000_000_000)), ['a@0 1', 'b@1000000 1']);
  });

  test('keys have windows of their own, and results are in the order of the aggregates', () => {
    const rig = new Rig(spec({ window: tumbling(10), aggregates: [sum((v: number) => v) as AggregateSpec, count()] }));
    rig.receive('a', 3, 1);
    rig.receive('b', 5, 2);
    rig.receive('a', 4, 3);
    assert.deepEqual(brief(rig.advance(10)).sort(), ['a@0 7 2', 'b@0 5 1']);
  });
});

describe('hopping', () => {
  for (const [way, aggregates] of [
    ['by panes', [collect((v: number) => v) as AggregateSpec]],
    ['by windows', [collectSlowly()]],
  ] as const) {
    test(`${way}: a record counts in every window that holds it`, () => {
      const rig = new Rig(spec({ window: hopping(10, 4), aggregates: [...aggregates] }));
      rig.receive('k', 7, 9);
      rig.receive('k', 8, 10);
      assert.deepEqual(brief(rig.advance(100)), ['k@0 7', 'k@4 7,8', 'k@8 7,8']);
      assert.equal(rig.state.entries, 0);
    });

    test(`${way}: a record late for some of its windows counts in the others`, () => {
      const rig = new Rig(spec({ window: hopping(10, 5), aggregates: [...aggregates] }));
      rig.receive('k', 1, 7);
      assert.deepEqual(brief(rig.advance(10)), ['k@0 1']);
      rig.receive('k', 2, 8);
      rig.receive('k', 3, 4);
      assert.deepEqual(brief(rig.advance(15)), ['k@5 1,2']);
      assert.deepEqual(
        rig.late.map(record => [record.value, record.lateByMs]),
        [[3, 1]],
      );
    });

    test(`${way}: updates show each open window that the batch changed, once`, () => {
      const rig = new Rig(spec({ window: hopping(10, 5), emit: 'updates', aggregates: [...aggregates] }));
      rig.receive('k', 1, 7);
      rig.receive('k', 2, 8);
      assert.deepEqual(brief(rig.advance(0)), ['k@0 1,2 …', 'k@5 1,2 …']);
      rig.receive('k', 3, 12);
      assert.deepEqual(brief(rig.advance(10)), ['k@0 1,2', 'k@5 1,2,3 …', 'k@10 3 …']);
      assert.deepEqual(brief(rig.advance(100)), ['k@5 1,2,3', 'k@10 3']);
    });
  }

  test('a pane is dropped with the last window that holds it', () => {
    const rig = new Rig(spec({ window: hopping(10, 5) }));
    rig.receive('k', 1, 7);
    rig.advance(14);
    assert.equal(rig.state.entries, 1);
    rig.advance(15);
    assert.equal(rig.state.entries, 0);
  });

  test('a record between windows that do not touch is dropped and counted', () => {
    const rig = new Rig(spec({ window: hopping(3, 10) }));
    for (const t of [0, 2, 3, 9, 10]) rig.receive('k', t, t);
    assert.deepEqual(brief(rig.advance(100)), ['k@0 2', 'k@10 1']);
    assert.deepEqual(rig.drops, ['filtered', 'filtered']);
  });
});

describe('many windows over one moment', () => {
  const HOPS = 43_200;
  const halfDay = hopping(HOPS * 1_000, 1_000);
  let merges = 0;
  const counted = () =>
    aggregate<number, number>({
      init: () => 0,
      add: (sum, v) => sum + v,
      merge: (left, right) => {
        merges++;
        return left + right;
      },
    }) as AggregateSpec;

  test('one record and a second two days later cost what the rows do that come out', () => {
    merges = 0;
    const rig = new Rig(spec({ window: halfDay, aggregates: [counted()] }));
    rig.receive('k', 1, 0);
    rig.receive('k', 2, 2 * 24 * 3_600_000);
    assert.equal(rig.advance(2 * 24 * 3_600_000).length, HOPS);
    assert.equal(merges, 0);
    assert.ok(rig.tableCalls < 20 * HOPS, `${rig.tableCalls} calls of tables`);
  });

  for (const [way, step] of [
    ['at once', Number.POSITIVE_INFINITY],
    ['one by one', 1],
  ] as const) {
    test(`${way}, n windows over n panes take about n·log n merges`, () => {
      const n = 1_024;
      merges = 0;
      const rig = new Rig(spec({ window: hopping(n * 10, 10), aggregates: [counted()] }));
      for (let t = 0; t < n; t++) {
        rig.receive('k', 1, t * 10);
        if (step === 1) rig.advance(t * 10);
      }
      rig.advance(100 * n);
      const counts = rig.rows.map(({ value }) => (value as Result).results[0]);
      const expected = Array.from({ length: 2 * n - 1 }, (_, i) => (i < n ? i + 1 : 2 * n - 1 - i));
      assert.deepEqual(counts, expected);
      assert.ok(merges < 2 * n * 2 * Math.log2(n), `${merges} merges`);
      assert.ok(rig.tableCalls < 2 * n * 2 * Math.log2(n) + 20 * n, `${rig.tableCalls} calls of tables`);
    });
  }

  test('updates of one record cost what the rows do', () => {
    merges = 0;
    const rig = new Rig(spec({ window: halfDay, emit: 'updates', aggregates: [counted()] }));
    rig.receive('k', 1, 0);
    assert.equal(rig.advance(0).length, HOPS);
    assert.equal(merges, 0);
    assert.ok(rig.tableCalls < 20 * HOPS, `${rig.tableCalls} calls of tables`);
  });

  test('of a window whose keys go out in many batches, each looks at those that it sends', () => {
    const [keys, slice] = [3_000, 10];
    const rig = new Rig(spec({ window: hopping(10, 5) }));
    for (let i = 0; i < keys; i++) rig.receive(`k${i}`, 1, 0);
    rig.sliceRows = slice;
    const before = rig.tableCalls;
    assert.equal(rig.advance(100).length, 2 * keys);
    // What each slice does beside its rows is the same whatever is left.
    assert.ok(rig.tableCalls - before < 10 * keys, `${rig.tableCalls} calls of tables`);
  });

  test('an advance that does not divide the size makes two panes for each, not one for each common divisor', () => {
    const rig = new Rig(spec({ window: hopping(3_600_000, 3_599_999) }));
    for (let t = 0; t < 1_000; t++) rig.receive('k', 1, 100_000 + t);
    assert.equal(rig.state.entries, 1);
    assert.deepEqual(brief(rig.advance(1e8)), ['k@0 1000']);
  });
});

describe('updates', () => {
  test('come at the end of a batch though W did not move, and the last is marked final', () => {
    const rig = new Rig(spec({ window: tumbling(10), emit: 'updates' }));
    rig.receive('a', 1, 1);
    rig.receive('a', 1, 2);
    rig.receive('b', 1, 3);
    assert.deepEqual(brief(rig.advance(0)), ['a@0 2 …', 'b@0 1 …']);
    assert.deepEqual(brief(rig.advance(0)), []);
    rig.restart();
    rig.receive('b', 1, 4);
    assert.deepEqual(brief(rig.advance(5)), ['b@0 2 …']);
    assert.deepEqual(brief(rig.advance(10)), ['a@0 2', 'b@0 2']);
  });

  test('have the event time of their window, as finals do', () => {
    const rig = new Rig(spec({ window: tumbling(10), emit: 'updates' }));
    rig.receive('a', 1, 1);
    assert.equal(rig.advance(3)[0]?.timeMs, 9);
  });
});

describe('what cannot be aggregated', () => {
  test('a null value is counted, a null key is poison', () => {
    const rig = new Rig(spec({ window: tumbling(10) }));
    rig.receive('k', null, 1);
    rig.receive(null, 1, 1);
    assert.deepEqual(rig.drops, ['null-value']);
    assert.equal((rig.poisons[0]!.cause as { code: string }).code, 'RECORD_KEY');
    assert.deepEqual(rig.advance(100), []);
  });

  test('a record on which one aggregate fails is in none of them', () => {
    const failing = aggregate<number, number[]>({
      init: () => [],
      add(seen, v) {
        seen.push(v);
        return seen;
      },
    }) as AggregateSpec;
    const strict = aggregate<number, { n: number }>({
      init: () => ({ n: 0 }),
      add(total, v) {
        if (v === 13) throw new Error('unlucky');
        total.n += v;
        return total;
      },
      result: total => total,
    }) as AggregateSpec;
    for (const window of [tumbling(10), hopping(10, 5)]) {
      const rig = new Rig(spec({ window, aggregates: [count(), failing, strict] }));
      for (const v of [1, 13, 2]) rig.receive('k', v, 7);
      const row = rig.advance(100)[0]!.value as Result;
      assert.deepEqual(row.results, [2, [1, 2], { n: 3 }]);
      assert.deepEqual(
        rig.poisons.map(poison => poison.value),
        [13],
      );
    }
  });

  test('a result that fails is a letter that names the window, and the other windows go out', () => {
    const rig = new Rig(
      spec({ window: tumbling(10), aggregates: [collect((v: number) => v, { max: 2 }) as AggregateSpec] }),
    );
    for (const v of [1, 2, 3]) rig.receive('many', v, 5);
    rig.receive('few', 1, 5);
    assert.deepEqual(brief(rig.advance(10)), ['few@0 1']);
    assert.deepEqual(rig.poisons[0]!.value, { startMs: 0, endMs: 10 });
    assert.match(String(rig.poisons[0]!.cause), /collect\.max \(2\)/);
  });

  test('a row that was sent is not changed by what comes after it', () => {
    const grow = aggregate<number, number[]>({
      init: () => [],
      add(ids, id) {
        ids.push(id);
        return ids;
      },
    }) as AggregateSpec;
    const given: unknown[] = [];
    const rig = new Rig({
      ...(spec({ window: tumbling(10), emit: 'updates', aggregates: [grow] }) as Extract<
        StatefulSpec,
        { kind: 'window' }
      >),
      shape: ({ results }) => {
        given.push(results[0]);
        return results[0];
      },
    });
    rig.receive('k', 1, 1);
    rig.advance(0);
    rig.receive('k', 2, 1);
    rig.advance(0);
    assert.deepEqual(given, [[1], [1, 2]]);
  });
});

describe('against the batch definition', () => {
  const shapes = fc.record({
    size: fc.integer({ min: 1, max: 30 }),
    advance: fc.integer({ min: 1, max: 35 }),
    offset: fc.nat(20),
  });
  /** More hold a moment than are gone through one by one; with an advance of 2 the edges are apart. */
  const dense = fc.record({
    size: fc.constantFrom(35, 36, 67, 68),
    advance: fc.constantFrom(1, 2),
    offset: fc.nat(2),
  });
  const ids = (rows: Rig['rows']) =>
    rows.map(({ key, value, timeMs }) => {
      const { startMs, endMs, results } = value as Result;
      const list = (results[0] as number[]).toSorted((a, b) => a - b);
      return { key, value: { start: startMs, end: endMs, ids: list }, timeMs };
    });
  const rigOf = (shape: { size: number; advance: number; offset: number }, options: Omit<Options, 'window'>) =>
    new Rig(
      spec({
        ...options,
        window:
          shape.advance === shape.size
            ? tumbling(shape.size, shape.offset)
            : hopping(shape.size, shape.advance, shape.offset),
      }),
      { strict: true },
    );
  const ways = fc.constantFrom<() => AggregateSpec>(() => collect((v: number) => v) as AggregateSpec, collectSlowly);

  test('whatever the order, the cuts and the restarts, the rows are those of the batch', () => {
    fc.assert(
      fc.property(orderly, shapes, fc.boolean(), ways, (history, shape, isTumbling, way) => {
        const windows = { ...shape, advance: isTumbling ? shape.size : shape.advance };
        const rig = rigOf(windows, { grace: history.graceMs, aggregates: [way()] });
        const lastMs = play(rig, history);
        for (const horizon of [lastMs - history.graceMs, 100_000]) {
          const batch: WindowBatch = { ...windows, horizon };
          assert.deepEqual(sorted(ids(rig.rows)), sorted(windowBatch(history.arrivals, batch)));
          rig.advance(100_000 + history.graceMs);
        }
        assert.equal(rig.late.length, 0);
        assert.equal(rig.state.entries, 0);
      }),
      RUNS,
    );
  });

  test('with late records, each window has those that came while it was open', () => {
    fc.assert(
      fc.property(unruly, shapes, ways, (history, shape, way) => {
        const rig = rigOf(shape, { grace: history.graceMs, aggregates: [way()] });
        const arrivedAt = new Map<Rec, number>();
        play(rig, history, (arrival, watermarkMs) => arrivedAt.set(arrival, watermarkMs));
        rig.advance(100_000 + history.graceMs);
        const expected = windowBatch(
          history.arrivals,
          { ...shape, horizon: 100_000 },
          (record, end) => arrivedAt.get(record)! < end + history.graceMs,
        );
        assert.deepEqual(sorted(ids(rig.rows)), sorted(expected));
      }),
      RUNS,
    );
  });

  test('so it is where very many windows hold a moment, with and without late records and updates', () => {
    const by = () => collect((v: number) => v) as AggregateSpec;
    fc.assert(
      fc.property(unruly, dense, fc.constantFrom('final', 'updates'), (history, shape, emit) => {
        const rig = rigOf(shape, { grace: history.graceMs, emit, aggregates: [by()] });
        const arrivedAt = new Map<Rec, number>();
        play(rig, history, (arrival, watermarkMs) => arrivedAt.set(arrival, watermarkMs));
        rig.advance(100_000 + history.graceMs);
        const expected = windowBatch(
          history.arrivals,
          { ...shape, horizon: 100_000 },
          (record, end) => arrivedAt.get(record)! < end + history.graceMs,
        );
        const finals = rig.rows.filter(row => (row.value as Result).final);
        assert.deepEqual(sorted(ids(finals)), sorted(expected));
        assert.equal(rig.state.entries, 0);
      }),
      { numRuns: 40 },
    );
  });

  test('with updates, the last row of each window is the final one and the same', () => {
    fc.assert(
      fc.property(orderly, shapes, ways, (history, shape, way) => {
        const rig = rigOf(shape, { grace: history.graceMs, emit: 'updates', aggregates: [way()] });
        play(rig, history);
        rig.advance(100_000 + history.graceMs);
        const finals = rig.rows.filter(row => (row.value as Result).final);
        assert.deepEqual(sorted(ids(finals)), sorted(windowBatch(history.arrivals, { ...shape, horizon: 100_000 })));
        const last = new Map(rig.rows.map(row => [`${row.key}/${(row.value as Result).startMs}`, row]));
        assert.deepEqual(sorted([...last.values()]), sorted(finals));
      }),
      RUNS,
    );
  });
});
