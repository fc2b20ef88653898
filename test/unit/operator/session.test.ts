/** Session windows. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { collect, count, countDistinct } from '../../../lib/operator/aggregates.ts';
import { aggregate, reduce } from '../../../lib/operator/own-aggregates.ts';
import type { AggregateSpec, StatefulSpec } from '../../../lib/operator/spec.ts';
import { sessionBatch } from './batch.ts';
import { orderly, play, RUNS, unruly } from './histories.ts';
import { Rig, sorted } from './rig.ts';

type Options = { gap: number; grace?: number; emit?: 'final' | 'updates'; aggregates?: AggregateSpec[] };

const ids = () => collect((v: number) => v) as AggregateSpec;

function spec({ gap, grace = 0, emit = 'final', aggregates = [ids()] }: Options): StatefulSpec {
  return {
    kind: 'window',
    window: { kind: 'session', gapMs: gap },
    graceMs: grace,
    emit,
    results: aggregates.map((_, i) => `r${i}`),
    aggregates,
    shape: ({ startMs, endMs, results, final }) => ({ startMs, endMs, results, final }),
  };
}

interface Result {
  readonly startMs: number;
  readonly endMs: number;
  readonly results: unknown[];
  readonly final: boolean;
}
const brief = (rows: readonly { value: unknown }[]) =>
  rows.map(({ value }) => {
    const { startMs, endMs, results, final } = value as Result;
    return `${startMs}–${endMs}: ${results.join(' ')}${final ? '' : ' …'}`;
  });
/** Feeds one key; the value of a record is its time. */
const feed = (rig: Rig, ...times: number[]) => {
  for (const t of times) rig.receive('k', t, t);
};

describe('merging', () => {
  test('a difference equal to the gap joins, one more parts', () => {
    const rig = new Rig(spec({ gap: 10 }));
    feed(rig, 100, 110, 121);
    assert.deepEqual(brief(rig.advance(1000)), ['100–110: 100,110', '121–121: 121']);
  });

  test('a record between two sessions makes them one, and one on both edges too', () => {
    const rig = new Rig(spec({ gap: 10 }));
    feed(rig, 100, 115, 130, 107, 122);
    assert.deepEqual(brief(rig.advance(1000)), ['100–130: 100,107,115,122,130']);
  });

  test('sessions far apart of one key are kept side by side and close one by one', () => {
    const rig = new Rig(spec({ gap: 10 }));
    feed(rig, 200, 100, 150);
    assert.deepEqual(brief(rig.advance(111)), ['100–100: 100']);
    assert.deepEqual(brief(rig.advance(161)), ['150–150: 150']);
    assert.deepEqual(brief(rig.advance(211)), ['200–200: 200']);
  });
});

describe('merging what has grown', () => {
  /** Counts what goes through `merge`, item by item. */
  function counted(inner: AggregateSpec): { aggregate: AggregateSpec; items: () => number } {
    let items = 0;
    const merge = (left: unknown, right: unknown) => {
      items += (right as unknown[]).length;
      return inner.merge!(left, right);
    };
    return { aggregate: { ...inner, merge }, items: () => items };
  }

  test('the large session takes in the small ones, from whichever side they come', () => {
    const n = 300;
    for (const step of [1, -1]) {
      const listed = counted(collect((v: number) => v, { max: 10 * n }) as AggregateSpec);
      const different = counted(countDistinct((v: number) => v, { max: 10 * n }) as AggregateSpec);
      const rig = new Rig(spec({ gap: 10, aggregates: [listed.aggregate, different.aggregate] }));
      const order = Array.from({ length: n }, (_, i) => (step === 1 ? i : n - 1 - i));
      feed(rig, ...order.map(i => i * 15), ...order.slice(0, -1).map(i => i * 15 + step * 7));
      const [row, ...rest] = rig.advance(1e6).map(({ value }) => value as Result);
      assert.deepEqual(rest, []);
      assert.equal((row!.results[0] as unknown[]).length, 2 * n - 1);
      assert.equal(row!.results[1], 2 * n - 1);
      for (const { items } of [listed, different]) assert.ok(items() <= 3 * n, `${items()} items were merged`);
    }
  });

  test('a merge of the author that throws leaves both sessions as they were', () => {
    const fails = aggregate({
      init: () => 0,
      add: (sum: number, v: number) => sum + v,
      merge: () => {
        throw new Error('no');
      },
      result: sum => sum,
    }) as AggregateSpec;
    const rig = new Rig(spec({ gap: 10, aggregates: [ids(), fails] }));
    feed(rig, 100, 115, 107);
    assert.deepEqual(brief(rig.advance(1000)), ['100–100: 100 100', '115–115: 115 115']);
  });
});

describe('closing', () => {
  test('is strict: while W − grace is last + gap, a record there still joins', () => {
    const rig = new Rig(spec({ gap: 10, grace: 5 }));
    feed(rig, 100);
    assert.deepEqual(rig.advance(115), []);
    feed(rig, 110);
    assert.deepEqual(rig.advance(125), []);
    assert.deepEqual(brief(rig.advance(126)), ['100–110: 100,110']);
  });

  test('the row has the time of the last record', () => {
    const rig = new Rig(spec({ gap: 10 }));
    feed(rig, 100, 105);
    assert.deepEqual(
      rig.advance(500).map(row => row.timeMs),
      [105],
    );
  });

  test('a session that went on after its timer was set closes at its own time', () => {
    const rig = new Rig(spec({ gap: 10 }));
    for (let t = 100; t < 200; t += 7) {
      feed(rig, t);
      assert.deepEqual(rig.advance(t), []);
    }
    rig.restart();
    assert.deepEqual(rig.advance(208), []);
    assert.equal(rig.advance(209).length, 1);
  });

  test('sessions of several keys go out in the order in which they close', () => {
    const rig = new Rig(spec({ gap: 10, aggregates: [count()] }));
    for (const t of [300, 100, 200]) rig.receive(`k${t}`, t, t);
    assert.deepEqual(
      rig.advance(1000).map(row => row.timeMs),
      [100, 200, 300],
    );
  });

  test('nothing is left when no record can come near any more', () => {
    const rig = new Rig(spec({ gap: 10, grace: 5 }));
    feed(rig, 100);
    rig.advance(125);
    assert.notEqual(rig.state.entries, 0);
    rig.advance(126);
    assert.equal(rig.state.entries, 0);
  });
});

describe('lateness', () => {
  test('a record that would join a closed session is late', () => {
    const rig = new Rig(spec({ gap: 10 }));
    feed(rig, 100);
    assert.deepEqual(brief(rig.advance(111)), ['100–100: 100']);
    feed(rig, 110, 90);
    assert.deepEqual(
      rig.late.map(record => [record.timeMs, record.lateByMs]),
      [
        [110, 1],
        [90, 1],
      ],
    );
    feed(rig, 111);
    assert.deepEqual(brief(rig.advance(1000)), ['111–111: 111']);
  });

  test('a record older than W that joins nothing is in time while its own window is open', () => {
    const rig = new Rig(spec({ gap: 10, grace: 5 }));
    rig.advance(100);
    feed(rig, 85, 84);
    assert.deepEqual(
      rig.late.map(record => [record.timeMs, record.lateByMs]),
      [[84, 1]],
    );
    assert.deepEqual(brief(rig.advance(101)), ['85–85: 85']);
  });

  test('a record inside a long open session is in time however old', () => {
    const rig = new Rig(spec({ gap: 10 }));
    feed(rig, 100, 110, 120, 130, 140);
    rig.advance(140);
    feed(rig, 105, 99);
    assert.deepEqual(
      rig.late.map(record => record.timeMs),
      [99],
    );
    assert.deepEqual(brief(rig.advance(1000)), ['100–140: 100,105,110,120,130,140']);
  });
});

describe('updates', () => {
  test('show each changed session once a batch, and the final one at close', () => {
    const rig = new Rig(spec({ gap: 10, emit: 'updates' }));
    feed(rig, 100, 105, 150);
    assert.deepEqual(brief(rig.advance(100)), ['100–105: 100,105 …', '150–150: 150 …']);
    assert.deepEqual(brief(rig.advance(101)), []);
    feed(rig, 155);
    assert.deepEqual(brief(rig.advance(120)), ['100–105: 100,105', '150–155: 150,155 …']);
  });

  test('sessions that became one are shown as that one', () => {
    const rig = new Rig(spec({ gap: 10, emit: 'updates' }));
    feed(rig, 100, 115);
    rig.advance(0);
    feed(rig, 107);
    assert.deepEqual(brief(rig.advance(0)), ['100–115: 100,107,115 …']);
  });
});

describe('what cannot be aggregated', () => {
  test('aggregates without merge are refused from the start', () => {
    const lone = aggregate<number, number>({ init: () => 0, add: (n, v) => n + v }) as AggregateSpec;
    assert.throws(() => new Rig(spec({ gap: 10, aggregates: [lone] })), /merge/);
  });

  test('a null value is counted, a null key is poison', () => {
    const rig = new Rig(spec({ gap: 10 }));
    rig.receive('k', null, 1);
    rig.receive(null, 1, 1);
    assert.deepEqual(rig.drops, ['null-value']);
    assert.equal((rig.poisons[0]!.cause as { code: string }).code, 'RECORD_KEY');
  });

  test('a merge that fails leaves both sessions as they were', () => {
    const picky = reduce<number>((left, right) => {
      if (left + right > 210) throw new Error('too much');
      return left + right;
    }) as AggregateSpec;
    const rig = new Rig(spec({ gap: 10, aggregates: [ids(), picky] }));
    feed(rig, 100, 115, 107);
    assert.deepEqual(brief(rig.advance(1000)), ['100–100: 100 100', '115–115: 115 115']);
    assert.equal(rig.poisons.length, 1);
  });
});

describe('against the batch definition', () => {
  const rowsOf = (rows: Rig['rows']) =>
    rows.map(({ key, value, timeMs }) => {
      const { startMs, endMs, results } = value as Result;
      const list = (results[0] as number[]).toSorted((a, b) => a - b);
      return { key, value: { start: startMs, end: endMs, ids: list }, timeMs };
    });

  test('whatever the order, the cuts and the restarts, the rows are those of the batch', () => {
    fc.assert(
      fc.property(orderly, fc.nat(15), (history, gap) => {
        const rig = new Rig(spec({ gap, grace: history.graceMs }), { strict: true });
        const lastMs = play(rig, history);
        for (const horizon of [lastMs - history.graceMs, 100_000]) {
          assert.deepEqual(sorted(rowsOf(rig.rows)), sorted(sessionBatch(history.arrivals, { gap, horizon })));
          rig.advance(100_000 + history.graceMs);
        }
        assert.equal(rig.late.length, 0);
        assert.equal(rig.state.entries, 0);
      }),
      RUNS,
    );
  });

  test('with late records, the rows are those of the batch over the others, and none is late within grace', () => {
    fc.assert(
      fc.property(unruly, fc.nat(15), (history, gap) => {
        const rig = new Rig(spec({ gap, grace: history.graceMs }), { strict: true });
        play(rig, history);
        rig.advance(100_000 + history.graceMs);
        const late = new Set(rig.late.map(record => record.value));
        const accepted = history.arrivals.filter(arrival => !late.has(arrival.id));
        const expected = sessionBatch(accepted, { gap, horizon: 100_000 });
        assert.deepEqual(sorted(rowsOf(rig.rows)), sorted(expected));
        for (const record of rig.late) assert.ok(record.timeMs < record.watermarkMs - history.graceMs);
      }),
      RUNS,
    );
  });

  test('with updates, the finals are the same', () => {
    fc.assert(
      fc.property(orderly, fc.nat(15), (history, gap) => {
        const rig = new Rig(spec({ gap, grace: history.graceMs, emit: 'updates' }), { strict: true });
        play(rig, history);
        rig.advance(100_000 + history.graceMs);
        const finals = rig.rows.filter(row => (row.value as Result).final);
        assert.deepEqual(sorted(rowsOf(finals)), sorted(sessionBatch(history.arrivals, { gap, horizon: 100_000 })));
      }),
      RUNS,
    );
  });
});

describe('very many sessions of one key', () => {
  const GAP_MS = 10;

  test('are journaled one by one as they change, not all of them with each', () => {
    const rig = new Rig(spec({ gap: GAP_MS, grace: 1_000_000 }));
    const bytesOf = (t: number) => {
      rig.receive('k', 1, t);
      rig.operator.advance(0);
      return rig.state.takeDelta()!.length;
    };
    const first = bytesOf(0);
    for (let i = 1; i < 2_000; i++) bytesOf(i * 30);
    assert.ok(bytesOf(2_000 * 30) < first + 20, 'one more');
    assert.ok(bytesOf(1_000 * 30 + 1) < first + 20, 'one that goes on');
    assert.ok(bytesOf(1_000 * 30 + 11) < first + 20, 'one that goes on again');
  });

  test('are found, made one, closed and forgotten in whatever order they came, and restored so', () => {
    const rig = new Rig(spec({ gap: GAP_MS, grace: 100_000 }));
    const n = 1_000;
    for (let i = 0; i < n; i++) rig.receive('k', 1, ((i * 7) % n) * 15);
    rig.advance(0);
    assert.equal(rig.rows.length, 0);
    // Between each two that are neighbours: all become one.
    for (let i = 0; i < n - 1; i += 2) rig.receive('k', 1, i * 15 + 8);
    rig.advance(1);
    rig.restart();
    rig.sliceRows = 7;
    const starts = rig.advance(1_000_000).map(({ value }) => (value as { startMs: number }).startMs);
    assert.deepEqual(
      starts,
      Array.from({ length: n / 2 }, (_, i) => i * 30),
    );
    rig.advance(10_000_000);
    assert.equal(rig.state.entries, 0);
  });
});
