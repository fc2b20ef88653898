/** Stream-stream joins: the reference table of the semantics, its mirror, the edges, and every kind against its batch. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { JoinKind, StatefulSpec } from '../../../lib/operator/spec.ts';
import { SCAN_MAX } from '../../../lib/operator/time-index.ts';
import { joinBatch, type Rec } from './batch.ts';
import { orderly, play, RUNS, unruly } from './histories.ts';
import { Rig, sorted } from './rig.ts';

const KINDS: readonly JoinKind[] = ['inner', 'left', 'right', 'outer', 'semi', 'anti'];

function spec(options: { join: JoinKind; before: number; after: number; grace: number }): StatefulSpec {
  return {
    kind: 'join',
    join: options.join,
    beforeMs: options.before,
    afterMs: options.after,
    graceMs: options.grace,
    combine: (left, right) => [left, right],
  };
}

/**
 *   t     3  4  5  6  9  10 14 15 40 61 82 103
 *   L     A     B     C        D  E  F     G
 *   R        a     b     c  d           f
 */
const TABLE: readonly (readonly [t: number, left: string | null, right: string | null])[] = [
  [3, 'A', null],
  [4, null, 'a'],
  [5, 'B', null],
  [6, null, 'b'],
  [9, 'C', null],
  [10, null, 'c'],
  [14, null, 'd'],
  [15, 'D', null],
  [40, 'E', null],
  [61, 'F', null],
  [82, null, 'f'],
  [103, 'G', null],
];
const PAIRS = ['', 'A,a', 'B,a', 'A,b B,b', 'C,a C,b', 'A,c B,c C,c', 'A,d B,d C,d', 'D,a D,b D,c D,d', '', '', '', ''];
const ALONE: Record<string, Record<number, string>> = {
  inner: {},
  left: { 61: 'E,–', 82: 'F,–' },
  outer: { 61: 'E,–', 82: 'F,–', 103: '–,f' },
  right: { 103: '–,f' },
};

const nameOf = (value: unknown) => (value as (string | null)[]).map(part => part ?? '–').join(',');

describe('the reference table', () => {
  for (const [kind, alone] of Object.entries(ALONE)) {
    test(`${kind} emits, moment by moment, what the table says`, () => {
      const rig = new Rig(spec({ join: kind as JoinKind, before: 15, after: 15, grace: 5 }));
      TABLE.forEach(([t, left, right], i) => {
        if (left !== null) rig.receive('k', left, t, 0);
        if (right !== null) rig.receive('k', right, t, 1);
        const got = rig.advance(t).map(row => nameOf(row.value));
        const want = [...PAIRS[i]!.split(' '), alone[t] ?? ''].filter(text => text !== '');
        assert.deepEqual(got.sort(), want.sort(), `at ${t}`);
      });
    });
  }

  const MIRROR: Record<string, JoinKind> = { inner: 'inner', left: 'right', outer: 'outer', right: 'left' };
  for (const [kind, mirrored] of Object.entries(MIRROR)) {
    test(`${mirrored} with the sides exchanged is the mirror image of ${kind}`, () => {
      const rig = new Rig(spec({ join: mirrored, before: 15, after: 15, grace: 5 }));
      TABLE.forEach(([t, left, right], i) => {
        if (left !== null) rig.receive('k', left, t, 1);
        if (right !== null) rig.receive('k', right, t, 0);
        const got = rig.advance(t).map(row => nameOf((row.value as unknown[]).toReversed()));
        const want = [...PAIRS[i]!.split(' '), ALONE[kind]![t] ?? ''].filter(text => text !== '');
        assert.deepEqual(got.sort(), want.sort(), `at ${t}`);
      });
    });
  }
});

describe('the moment at which a record counts as unmatched', () => {
  for (const [port, join] of [
    [0, 'left'],
    [1, 'right'],
    [0, 'outer'],
    [1, 'outer'],
    [0, 'anti'],
  ] as const) {
    test(`W − grace must be beyond time + reach, strictly, on side ${port} of ${join}`, () => {
      const rig = new Rig(spec({ join, before: 15, after: 15, grace: 5 }));
      rig.receive('k', 'E', 40, port);
      assert.deepEqual(rig.advance(60), []);
      const rows = rig.advance(61);
      assert.deepEqual(rows, [{ key: 'k', value: port === 0 ? ['E', null] : [null, 'E'], timeMs: 40 }]);
      assert.deepEqual(rig.advance(1000), []);
    });
  }

  test('the reach is that of the side: after for left, before for right', () => {
    const rig = new Rig(spec({ join: 'outer', before: 3, after: 10, grace: 0 }));
    rig.receive('k', 'l', 100, 0);
    rig.receive('k', 'r', 200, 1);
    assert.deepEqual(rig.advance(110), []);
    assert.equal(rig.advance(111).length, 1);
    assert.deepEqual(rig.advance(203), []);
    assert.equal(rig.advance(204).length, 1);
  });

  test('a match that arrives out of order, within grace and at the last moment, leaves no spurious row', () => {
    const rig = new Rig(spec({ join: 'left', before: 0, after: 10, grace: 5 }));
    rig.receive('k', 'l', 100, 0);
    rig.advance(115);
    rig.receive('k', 'r', 110, 1);
    rig.advance(500);
    assert.deepEqual(rig.values(), [['l', 'r']]);
    assert.deepEqual(rig.late, []);
  });

  test('unmatched rows of both sides go out in the order of time', () => {
    const rig = new Rig(spec({ join: 'outer', before: 5, after: 5, grace: 0 }));
    for (const t of [40, 10, 70, 130]) rig.receive(`l${t}`, t, t, 0);
    for (const t of [100, 20, 50]) rig.receive(`r${t}`, t, t, 1);
    assert.deepEqual(
      rig.advance(1000).map(row => row.timeMs),
      [10, 20, 40, 50, 70, 100, 130],
    );
  });

  test('a record that arrives in a bucket which has begun to fall due is fired too', () => {
    const rig = new Rig(spec({ join: 'left', before: 0, after: 10, grace: 30 }));
    rig.receive('k', 'early', 100, 0);
    rig.advance(145);
    rig.receive('j', 'next', 117, 0);
    rig.receive('j', 'same bucket', 116, 0);
    assert.deepEqual(rig.advance(156), []);
    assert.deepEqual(
      rig.advance(157).map(row => row.timeMs),
      [116],
    );
    assert.equal(rig.advance(158).length, 1);
  });
});

describe('lateness', () => {
  test('a record at W − grace takes part, one before it is late and takes none', () => {
    const rig = new Rig(spec({ join: 'outer', before: 10, after: 10, grace: 5 }));
    rig.receive('k', 'l', 100, 0);
    rig.advance(100);
    rig.receive('k', 'in', 95, 1);
    rig.receive('k', 'out', 94, 1);
    rig.advance(1000);
    assert.deepEqual(rig.values(), [['l', 'in']]);
    assert.deepEqual(rig.late, [{ key: 'k', value: 'out', timeMs: 94, watermarkMs: 100, lateByMs: 1 }]);
  });

  test('late is judged by time even where a partner is still held', () => {
    const rig = new Rig(spec({ join: 'inner', before: 1000, after: 1000, grace: 0 }));
    rig.receive('k', 'l', 100, 0);
    rig.advance(200);
    rig.receive('k', 'r', 150, 1);
    assert.deepEqual(rig.advance(201), []);
    assert.equal(rig.late.length, 1);
  });
});

describe('matching', () => {
  test('both ends of the interval are inclusive, and it may be asymmetric', () => {
    const rig = new Rig(spec({ join: 'inner', before: 3, after: 7, grace: 0 }));
    rig.receive('k', 'l', 100, 0);
    for (const t of [96, 97, 100, 107, 108]) rig.receive('k', t, t, 1);
    assert.deepEqual(
      rig.advance(0).map(row => [(row.value as unknown[])[1], row.timeMs]),
      [
        [97, 100],
        [100, 100],
        [107, 107],
      ],
    );
  });

  test('an interval that lies wholly after the left record works', () => {
    const rig = new Rig(spec({ join: 'outer', before: -5, after: 10, grace: 0 }));
    rig.receive('k', 'l', 100, 0);
    for (const t of [104, 105, 110, 111]) rig.receive('k', t, t, 1);
    rig.advance(1000);
    assert.deepEqual(rig.values(), [
      ['l', 105],
      ['l', 110],
      [null, 104],
      [null, 111],
    ]);
  });

  test('an interval of no length matches equal times', () => {
    const rig = new Rig(spec({ join: 'inner', before: 0, after: 0, grace: 0 }));
    rig.receive('k', 'l', 100, 0);
    for (const t of [99, 100, 101]) rig.receive('k', t, t, 1);
    rig.advance(0);
    assert.deepEqual(rig.values(), [['l', 100]]);
  });

  test('records of different keys never match', () => {
    const rig = new Rig(spec({ join: 'inner', before: 10, after: 10, grace: 0 }));
    rig.receive('a', 'l', 100, 0);
    rig.receive('b', 'r', 100, 1);
    assert.deepEqual(rig.advance(500), []);
  });

  test('times before 1970 are times like others', () => {
    const rig = new Rig(spec({ join: 'left', before: 4, after: 4, grace: 0 }));
    rig.receive('k', 'l', -100, 0);
    rig.receive('k', 'r', -104, 1);
    rig.receive('k', 'far', -50, 0);
    rig.advance(0);
    assert.deepEqual(rig.values(), [
      ['l', 'r'],
      ['far', null],
    ]);
  });

  test('a null value is counted and otherwise nothing', () => {
    const rig = new Rig(spec({ join: 'outer', before: 10, after: 10, grace: 0 }));
    rig.receive('k', null, 100, 0);
    rig.receive('k', undefined, 100, 1);
    rig.advance(500);
    assert.deepEqual(rig.rows, []);
    assert.deepEqual(rig.drops, ['null-value', 'null-value']);
  });

  test('a null key matches nothing: its unmatched row goes out at once where its side has such rows', () => {
    for (const join of KINDS) {
      const rig = new Rig(spec({ join, before: 10, after: 10, grace: 0 }));
      rig.receive(null, 'l', 100, 0);
      rig.receive(null, 'r', 100, 1);
      const expected = [
        ...(['left', 'outer', 'anti'].includes(join) ? [['l', null]] : []),
        ...(['right', 'outer'].includes(join) ? [[null, 'r']] : []),
      ];
      assert.deepEqual(
        rig.take().map(row => row.value),
        expected,
        join,
      );
      assert.equal(rig.drops.filter(reason => reason === 'null-key').length, 2 - expected.length, join);
      assert.deepEqual(rig.advance(500), [], join);
    }
  });

  test('semi and anti rows have the time of their left record', () => {
    const semi = new Rig(spec({ join: 'semi', before: 10, after: 10, grace: 0 }));
    const anti = new Rig(spec({ join: 'anti', before: 10, after: 10, grace: 0 }));
    for (const rig of [semi, anti]) {
      rig.receive('k', 'matched', 100, 0);
      rig.receive('k', 'r', 105, 1);
      rig.receive('k', 'again', 106, 1);
      rig.receive('k', 'after', 110, 0);
      rig.receive('k', 'alone', 150, 0);
      rig.advance(1000);
    }
    assert.deepEqual(
      semi.rows.map(row => [row.value, row.timeMs]),
      [
        [['matched', null], 100],
        [['after', null], 110],
      ],
    );
    assert.deepEqual(
      anti.rows.map(row => [row.value, row.timeMs]),
      [[['alone', null], 150]],
    );
  });
});

describe('user code', () => {
  test('a combine function that throws makes the record in hand poison and leaves no trace of it', () => {
    const failing: StatefulSpec = {
      ...(spec({ join: 'left', before: 10, after: 10, grace: 0 }) as Extract<StatefulSpec, { kind: 'join' }>),
      combine(left, right) {
        if (right === 'bad' && left === 'l2') throw new Error('boom');
        return [left, right];
      },
    };
    const rig = new Rig(failing);
    rig.receive('k', 'l1', 100, 0);
    rig.receive('k', 'l2', 101, 0);
    rig.receive('k', 'bad', 102, 1);
    rig.receive('k', 'l3', 103, 0);
    rig.advance(1000);
    assert.deepEqual(rig.values(), [
      ['l1', null],
      ['l2', null],
      ['l3', null],
    ]);
    assert.deepEqual(
      rig.poisons.map(poison => [poison.value, String(poison.cause)]),
      [['bad', 'Error: boom']],
    );
  });

  test('a combine function that returns a promise is refused', () => {
    const rig = new Rig({
      ...(spec({ join: 'inner', before: 10, after: 10, grace: 0 }) as Extract<StatefulSpec, { kind: 'join' }>),
      combine: () => Promise.reject(new Error('unheard')),
    });
    rig.receive('k', 'l', 100, 0);
    rig.receive('k', 'r', 100, 1);
    assert.deepEqual(rig.rows, []);
    assert.match(String(rig.poisons[0]!.cause), /promise/);
  });
});

describe('state', () => {
  test('is empty once nothing can match, also for keys without traffic', () => {
    for (const join of KINDS) {
      const rig = new Rig(spec({ join, before: 20, after: 10, grace: 5 }));
      for (let i = 0; i < 100; i++) rig.receive(`k${i % 7}`, i, i, i % 2);
      rig.advance(99);
      assert.notEqual(rig.state.entries, 0);
      rig.advance(99 + 5 + 2 * 30);
      assert.equal(rig.state.entries, 0, join);
    }
  });
});

describe('against the batch definition', () => {
  for (const join of KINDS) {
    test(`${join}: whatever the order, the cuts and the restarts, the rows are those of the batch`, () => {
      fc.assert(
        fc.property(orderly, fc.integer({ min: -5, max: 25 }), fc.nat(25), (history, before, span) => {
          const after = span - before;
          const rig = new Rig(spec({ join, before, after, grace: history.graceMs }), { strict: true });
          const lastMs = play(rig, history);
          const side = (port: number): Rec[] => history.arrivals.filter(arrival => arrival.port === port);
          for (const horizon of [lastMs - history.graceMs, 100_000]) {
            const expected = joinBatch(side(0), side(1), { kind: join, before, after, horizon });
            assert.deepEqual(sorted(rig.rows), sorted(expected));
            rig.advance(100_000 + history.graceMs);
          }
          assert.equal(rig.late.length, 0);
          assert.equal(rig.state.entries, 0);
        }),
        RUNS,
      );
    });

    test(`${join}: with late records, the rows are those of the batch over the others`, () => {
      fc.assert(
        fc.property(unruly, fc.nat(15), fc.nat(15), (history, before, after) => {
          const rig = new Rig(spec({ join, before, after, grace: history.graceMs }), { strict: true });
          const accepted: Rec[][] = [[], []];
          play(rig, history, (arrival, watermarkMs) => {
            if (arrival.t >= watermarkMs - history.graceMs) accepted[arrival.port]!.push(arrival);
          });
          rig.advance(100_000 + history.graceMs);
          const expected = joinBatch(accepted[0]!, accepted[1]!, { kind: join, before, after, horizon: 100_000 });
          assert.deepEqual(sorted(rig.rows), sorted(expected));
          assert.equal(accepted[0]!.length + accepted[1]!.length + rig.late.length, history.arrivals.length);
        }),
        RUNS,
      );
    });
  }

  test('hot keys, whose lists are searched by an index, give the same', () => {
    const hot = fc.array(fc.tuple(fc.nat(1), fc.nat(200)), {
      minLength: 4 * SCAN_MAX,
      maxLength: 12 * SCAN_MAX,
      size: 'max',
    });
    fc.assert(
      fc.property(hot, fc.constantFrom(...KINDS), fc.nat(60), fc.nat(60), (events, join, before, after) => {
        const rig = new Rig(spec({ join, before, after, grace: 250 }), { strict: true });
        const sides: Rec[][] = [[], []];
        events.forEach(([port, t], id) => {
          sides[port]!.push({ key: 'k', id, t });
          rig.receive('k', id, t, port);
          if (id % 50 === 49) rig.advance(200);
          if (id % 100 === 99) rig.restart();
        });
        rig.advance(100_250);
        const expected = joinBatch(sides[0]!, sides[1]!, { kind: join, before, after, horizon: 100_000 });
        assert.deepEqual(sorted(rig.rows), sorted(expected));
      }),
      { numRuns: 100 },
    );
  });
});
