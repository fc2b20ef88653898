/** Aggregates: results, independence of order, merging, limits, and the errors they state. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  avg,
  COLLECT_MAX,
  collect,
  count,
  countDistinct,
  DISTINCT_MAX,
  first,
  last,
  max,
  min,
  quantile,
  sum,
  topN,
} from '../../../lib/operator/aggregates.ts';
import { aggregate, reduce } from '../../../lib/operator/own-aggregates.ts';
import type { AggregateSpec } from '../../../lib/operator/spec.ts';
import { pack, unpack } from '../../../lib/record/rows.ts';

interface Event {
  readonly v: number;
  readonly t: number;
  readonly name: string;
}
type Any<R> = AggregateSpec<Event, unknown, unknown, R>;

function over<R>(spec: Any<R>, events: readonly Event[]): R {
  let accumulator = spec.init();
  for (const event of events) accumulator = spec.add(accumulator, spec.extract(event), event.t);
  return spec.result(accumulator);
}

/** In parts, each through the journal's codec, then merged. */
function inParts<R>(spec: Any<R>, events: readonly Event[], size: number): R {
  let merged = spec.init();
  for (let at = 0; at < events.length; at += size) {
    let part = spec.init();
    for (const event of events.slice(at, at + size)) {
      part = unpack(pack(spec.add(part, spec.extract(event), event.t)));
    }
    merged = spec.merge!(merged, part);
  }
  return spec.result(merged);
}

const events = (...values: number[]): Event[] => values.map((v, i) => ({ v, t: i, name: `n${v}` }));
const value = (e: Event) => e.v;

const ALL: Record<string, Any<unknown>> = {
  count: count(),
  sumExact: sum(value, { scale: 2 }),
  min: min(value),
  max: max(value),
  first: first((e: Event) => e.name),
  last: last((e: Event) => e.name),
  collect: collect((e: Event) => [e.v, e.name]),
  countDistinct: countDistinct(value),
  countApproximately: countDistinct(value, { approximate: true }),
  quantile: quantile(value, 0.9),
  topN: topN((e: Event) => e.name, { n: 3, by: value }),
};

const someEvents = fc.array(
  fc.record({
    v: fc.integer({ min: -500_000, max: 500_000 }).map(cents => cents / 100),
    t: fc.nat(10),
    name: fc.string({ maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 80, size: 'max' },
);

describe('order and parts', () => {
  for (const [name, spec] of Object.entries(ALL)) {
    test(`${name} does not depend on the order of records, ties of time included, nor on how they were merged (*any order*)`, () => {
      fc.assert(
        fc.property(someEvents, fc.infiniteStream(fc.nat()), fc.integer({ min: 1, max: 20 }), (list, seeds, size) => {
          const shuffled = list
            .map(event => ({ event, at: seeds.next().value as number }))
            .sort((a, b) => a.at - b.at)
            .map(({ event }) => event);
          const result = over(spec, list);
          assert.deepEqual(over(spec, shuffled), result);
          assert.deepEqual(inParts(spec, shuffled, size), result);
        }),
      );
    });

    test(`${name}: merging changes the left side only (*right side untouched*)`, () => {
      const right = events(3, 1, 2).reduce((acc, e) => spec.add(acc, spec.extract(e), e.t), spec.init());
      const before = pack(right);
      let merged = spec.merge!(spec.init(), right);
      for (const e of events(9, -9, 8, 7)) merged = spec.add(merged, spec.extract(e), e.t);
      assert.deepEqual(pack(right), before);
      assert.notEqual(merged, right);
    });
  }
});

describe('results', () => {
  test('are what their names say', () => {
    const list = events(5, 1, 4, 1, 3);
    assert.equal(over(count(), list), 5);
    assert.equal(over(sum(value), list), 14);
    assert.equal(over(min(value), list), 1);
    assert.equal(over(max(value), list), 5);
    assert.equal(over(avg(value), list), 2.8);
    assert.equal(over(first(value), list), 5);
    assert.equal(over(last(value), list), 3);
    assert.deepEqual(over(collect(value), list.toReversed()), [5, 1, 4, 1, 3]);
    assert.equal(over(countDistinct(value), list), 4);
    assert.equal(over(quantile(value, 0.5), list), over(quantile(value, 0.5), list.toReversed()));
    assert.deepEqual(
      over(
        topN((e: Event) => e.v, { n: 2, by: value }),
        list,
      ),
      [5, 4],
    );
    assert.equal(over(reduce((a: Event, b: Event) => (a.v > b.v ? a : b)) as Any<Event>, list).v, 5);
    assert.equal(over(reduce((n: number, e: Event) => n + e.v, 100) as Any<number>, list), 114);
    assert.equal(
      over(
        aggregate({ init: () => 1, add: (n: number, e: Event) => n * e.v, result: n => `${n}` }) as Any<string>,
        list,
      ),
      '60',
    );
  });

  test('a fold starts from a value of its own each time', () => {
    const spec = reduce((seen: number[], e: Event) => {
      seen.push(e.v);
      return seen;
    }, [] as number[]) as Any<number[]>;
    assert.deepEqual(over(spec, events(1, 2)), [1, 2]);
    assert.deepEqual(over(spec, events(3)), [3]);
  });

  test('countDistinct tells numbers from texts and sees into lists', () => {
    const spec = countDistinct((e: { x: unknown }) => e.x) as AggregateSpec<{ x: unknown }, unknown, unknown, number>;
    let seen = spec.init();
    for (const x of [1, '1', 1, true, 'true', [1, 'a'], [1, 'a'], [1, 'b']])
      seen = spec.add(seen, spec.extract({ x }), 0);
    assert.equal(spec.result(seen), 6);
  });
});

describe('sums', () => {
  test('of doubles stay within a rounding or two of the truth where plain addition drifts', () => {
    const list = Array.from({ length: 100_000 }, () => 0.1);
    const plain = list.reduce((a, b) => a + b, 0);
    assert.notEqual(plain, 10_000);
    assert.equal(over(sum(value), events(...list)), 10_000);
    assert.equal(over(sum(value), events(1e100, 1, -1e100)), 1);
    assert.ok(Math.abs(over(avg(value), events(...list)) - 0.1) < 1e-17);
  });

  test('do not depend on the order beyond the last digit', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e9, max: 1e9, noNaN: true }), { maxLength: 60, size: 'max' }), list => {
        const one = over(sum(value), events(...list));
        const other = over(sum(value), events(...list.toReversed()));
        const magnitudes = list.reduce((a, b) => a + Math.abs(b), 0);
        assert.ok(Math.abs(one - other) <= Math.abs(one) * 2 ** -52 + magnitudes * 2 ** -90);
      }),
    );
  });

  test('that are too large half-way only are what they are, in any order and in parts', () => {
    const limit = {
      code: 'LIMIT_REACHED',
      message: /^sum: the numbers of one key and window add up to more than 1\.8e308/,
    };
    for (const orders of [
      [1e308, 1e308, -1e308],
      [1e308, -1e308, 1e308],
      [-1e308, 1e308, 1e308],
    ]) {
      assert.equal(over(sum(value), events(...orders)), 1e308);
    }
    assert.throws(() => over(sum(value), events(1e308, 1e308)), limit);
    assert.throws(() => over(sum(value), events(...new Array(50).fill(-Number.MAX_VALUE))), limit);
    assert.equal(over(sum(value), events(2 ** 1023, 2 ** 1023, 5e-324, -(2 ** 1023), -(2 ** 1023))), 5e-324);
    assert.equal(over(avg(value), events(1e308, 1e308)), 1e308);
    assert.equal(over(avg(value), events(...new Array(8).fill(-Number.MAX_VALUE))), -Number.MAX_VALUE);
    const exactly = (v: number) => BigInt(Math.round(v));
    const size = fc.oneof(
      fc.constantFrom(2 ** 1023, Number.MAX_VALUE, 1e308, 9e307),
      fc.double({ min: 2 ** 200, max: Number.MAX_VALUE, noNaN: true }),
    );
    const signed = fc.tuple(size, fc.boolean()).map(([v, isNegative]) => (isNegative ? -v : v));
    const agrees = (list: readonly number[], parts: number) => {
      const exact = list.reduce((total, v) => total + exactly(v), 0n);
      const largest = exactly(Number.MAX_VALUE);
      const magnitude = list.reduce((total, v) => total + (v < 0 ? -exactly(v) : exactly(v)), 0n);
      const isNear = (found: number, times: bigint) => {
        const off = exactly(found) * times - exact;
        // A last digit of the result, and of what went through it.
        assert.ok(
          (off < 0n ? -off : off) <= (magnitude >> 90n) + ((exact < 0n ? -exact : exact) >> 51n),
          `${list}: ${found}`,
        );
      };
      const ofSums = [list, list.toReversed(), list.toSorted((a, b) => a - b)].map(order => {
        try {
          return inParts(sum(value), events(...order), parts);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'LIMIT_REACHED');
          return null;
        }
      });
      for (const found of ofSums) {
        if (found !== null) isNear(found, 1n);
        else
          assert.ok(
            exact > (largest >> 20n) * ((1n << 20n) - 1n) || -exact > (largest >> 20n) * ((1n << 20n) - 1n),
            `${list}`,
          );
      }
      if (exact > largest + (largest >> 40n) || -exact > largest + (largest >> 40n)) {
        for (const found of ofSums) assert.equal(found, null);
      }
      isNear(inParts(avg(value), events(...list), parts), BigInt(list.length));
    };
    fc.assert(fc.property(fc.array(signed, { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 4 }), agrees), {
      numRuns: 3_000,
    });
  });

  test('with a scale are exact, far beyond what a double holds', () => {
    const spec = sum(value, { scale: 2 });
    assert.equal(over(spec, events(0.1, 0.2)), 0.3);
    assert.equal(over(spec, events(1.15, 2.35, -3.5)), 0);
    const large = 44_999_999_999_999;
    assert.equal(over(spec, events(...Array.from({ length: 1_000 }, () => large), 0.01)), large * 1_000);
    assert.equal(
      over(spec, [
        ...events(...Array.from({ length: 1_000 }, () => large)),
        ...events(...Array.from({ length: 1_000 }, () => -large), 0.01),
      ]),
      0.01,
    );
    assert.equal(over(sum(value, { scale: 0 }), events(1, 2)), 3);
  });

  test('with a scale, any cents add up', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1e12, max: 1e12 })), list => {
        const cents = list.reduce((a, b) => a + BigInt(b), 0n);
        assert.equal(over(sum(value, { scale: 2 }), events(...list.map(c => c / 100))), Number(`${cents}e-2`) + 0);
      }),
    );
  });

  test('with a scale refuse what has more decimals or is too large to have any', () => {
    const spec = sum(value, { scale: 2 });
    for (const bad of [0.001, 1.005, 1e14, 1e-9])
      assert.throws(() => over(spec, events(bad)), { code: 'RECORD_INVALID' });
    assert.throws(() => sum(value, { scale: -1 }), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => sum(value, { scale: 1.5 }), { code: 'INVALID_ARGUMENT' });
  });
});

describe('what is no number', () => {
  const NUMERIC: Record<string, (of: (e: Event) => number) => Any<unknown>> = {
    sum,
    sumExact: of => sum(of, { scale: 2 }),
    min,
    max,
    avg,
    quantile: of => quantile(of, 0.5),
    topN: of => topN(value, { n: 1, by: of }),
  };
  for (const [name, make] of Object.entries(NUMERIC)) {
    test(`${name} refuses it while extracting, before anything has changed (*extract first*)`, () => {
      for (const bad of ['7', null, undefined, Number.NaN, Number.POSITIVE_INFINITY, {}, Promise.resolve(1)]) {
        const spec = make(() => bad as number);
        assert.throws(() => spec.extract(events(1)[0]!), { name: 'MillraceError' }, `${name} of ${String(bad)}`);
      }
    });
  }

  test('a bigint is none, and it is said how to make one of it', () => {
    for (const spec of [sum, min, max, avg]) {
      assert.throws(() => spec((e: Event) => e.v).extract({ ...events(1)[0]!, v: (2n ** 53n) as unknown as number }), {
        code: 'RECORD_INVALID',
        message: /takes a finite number, not 9007199254740992; give Number\(…\) of a bigint/,
      });
    }
  });

  test('countDistinct refuses what has no text, and what is missing', () => {
    for (const bad of [{}, null, undefined, Number.NaN]) {
      assert.throws(() => countDistinct(() => bad).extract(events(1)[0]!), { name: 'MillraceError' });
    }
  });

  test('a function that returns a promise is refused', () => {
    for (const make of [first, last, collect]) {
      assert.throws(() => make(() => Promise.resolve(1)).extract(events(1)[0]!), { code: 'USER_CODE' });
    }
    const spec = aggregate({ init: () => 0, add: () => Promise.resolve(1) as unknown as number });
    assert.throws(() => spec.add(0, 1, 0), { code: 'USER_CODE' });
  });
});

describe('limits', () => {
  test('collect gives all or an error with the name of its limit, never a part (*adding never throws*)', () => {
    assert.equal(over(collect(value, { max: 3 }), events(1, 2, 3)).length, 3);
    assert.throws(() => over(collect(value, { max: 3 }), events(1, 2, 3, 4)), {
      code: 'LIMIT_REACHED',
      message: /collect\.max \(3\)/,
    });
    assert.throws(() => inParts(collect(value, { max: 3 }) as Any<unknown>, events(1, 2, 3, 4), 2), {
      code: 'LIMIT_REACHED',
    });
    const many = events(...Array.from({ length: COLLECT_MAX + 1 }, (_v, i) => i));
    assert.throws(() => over(collect(value), many), { code: 'LIMIT_REACHED' });
    assert.equal(over(collect(value), many.slice(1)).length, COLLECT_MAX);
  });

  test('an exact countDistinct puts long lists together as it does short ones', () => {
    const spec = (max: number) => countDistinct((v: number) => v, { max }) as AggregateSpec<number, string, string[]>;
    const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `n${from + i}`).sort();
    const [left, right] = [texts(0, 300), texts(200, 500)];
    const before = [...right];
    assert.deepEqual(spec(1000).merge!([...left], right), texts(0, 500));
    assert.deepEqual(right, before);
    assert.deepEqual(spec(1000).merge!([], right), right);
    assert.deepEqual(spec(500).merge!([...left], right).length, 500);
    assert.equal(spec(499).merge!([...left], right).length, 500);
  });

  test('an exact countDistinct gives the count or an error with the name of its limit', () => {
    const spec = countDistinct(value, { max: 3 });
    assert.equal(over(spec, events(1, 2, 3, 3, 2, 1)), 3);
    assert.throws(() => over(spec, events(1, 2, 3, 4)), { code: 'LIMIT_REACHED', message: /countDistinct\.max \(3\)/ });
    assert.throws(() => inParts(spec as Any<unknown>, events(1, 2, 3, 4), 2), { code: 'LIMIT_REACHED' });
    const many = events(...Array.from({ length: DISTINCT_MAX + 1 }, (_v, i) => i));
    assert.throws(() => over(countDistinct(value), many), { code: 'LIMIT_REACHED' });
  });

  test('arguments that make no sense are refused when the aggregate is made', () => {
    assert.throws(() => topN(value, { n: 0, by: value }), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => quantile(value, 1.5), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => quantile(value, Number.NaN), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => quantile(value, 0.5, { accuracy: 0 }), { code: 'INVALID_ARGUMENT' });
  });
});

describe('sketches', () => {
  test('approximate countDistinct stays within three standard errors (4.9 %) from one value to a million', () => {
    const spec = countDistinct((e: number) => `user-${e}`, { approximate: true });
    let sketch = spec.init();
    let added = 0;
    for (const n of [1, 10, 100, 1_000, 5_000, 10_000, 20_000, 100_000, 1_000_000]) {
      for (; added < n; added++) sketch = spec.add(sketch, spec.extract(added), 0);
      const error = Math.abs(spec.result(sketch) - n) / n;
      assert.ok(error <= 3 * 0.01625, `${n}: off by ${(100 * error).toFixed(1)} %`);
    }
    assert.equal((sketch as Uint8Array).length, 4096);
  });

  test('approximate countDistinct is off by 1.6 % in the mean square', () => {
    let squares = 0;
    const trials = 60;
    for (let trial = 0; trial < trials; trial++) {
      const spec = countDistinct((e: number) => `${trial}/${e}`, { approximate: true });
      let sketch = spec.init();
      for (let i = 0; i < 8_000; i++) sketch = spec.add(sketch, spec.extract(i), 0);
      squares += (spec.result(sketch) / 8_000 - 1) ** 2;
    }
    const deviation = Math.sqrt(squares / trials);
    assert.ok(deviation > 0.008 && deviation < 0.024, `standard error ${(100 * deviation).toFixed(2)} %`);
  });

  test('a sketch read back from the journal is not written through to its bytes', () => {
    const spec = countDistinct((e: number) => e, { approximate: true });
    let sketch = spec.init();
    for (let i = 0; i < 2_000; i++) sketch = spec.add(sketch, spec.extract(i), 0);
    const bytes = pack(sketch);
    const copy = bytes.slice();
    let read = unpack(bytes) as typeof sketch;
    for (let i = 2_000; i < 4_000; i++) read = spec.add(read, spec.extract(i), 0);
    assert.deepEqual(bytes, copy);
  });

  test('a quantile is within its relative accuracy of the true value, whatever the signs and magnitudes', () => {
    const number = fc.oneof(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: -1e-6, max: 1e-6, noNaN: true }),
      fc.double({ min: 1e200, max: 1e300, noNaN: true }),
      fc.constant(0),
    );
    const lists = fc.array(number, { minLength: 1, maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(
        lists,
        fc.constantFrom(0, 0.1, 0.5, 0.99, 1),
        fc.constantFrom(0.001, 0.01, 0.1),
        (list, q, accuracy) => {
          const truth = list.toSorted((a, b) => a - b)[Math.floor(q * (list.length - 1))]!;
          const result = over(quantile(value, q, { accuracy }), events(...list));
          assert.ok(Math.abs(result - truth) <= Math.abs(truth) * accuracy * (1 + 1e-9), `${result} for ${truth}`);
        },
      ),
      { numRuns: 500 },
    );
  });
});
