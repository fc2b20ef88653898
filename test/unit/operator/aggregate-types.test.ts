/** What the compiler infers from aggregates as the builder will hand them to it. A wrong type here fails `tsc`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  avg,
  collect,
  count,
  countDistinct,
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

interface Hire {
  readonly name: string;
  readonly salary: number;
  readonly site: string | null;
}

type Results<A> = { [Name in keyof A]: A[Name] extends { result(accumulator: never): infer R } ? R : never };

/** As the builder does it: the record's type is known, the aggregates are given as a record of specs. */
function windowOf<T>() {
  return {
    aggregate<A extends Record<string, AggregateSpec<T>>>(aggregates: A): { specs: A; results: Results<A> | null } {
      return { specs: aggregates, results: null };
    },
  };
}

type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;

test("the record's type flows into each function and the result types flow out", () => {
  const window = windowOf<Hire>().aggregate({
    hires: count(),
    pay: sum(e => e.salary),
    cents: sum(e => e.salary, { scale: 2 }),
    least: min(e => e.salary),
    most: max(e => e.salary),
    mean: avg(e => e.salary),
    opener: first(e => e.name),
    closer: last(e => e.site),
    names: collect(e => e.name, { max: 10 }),
    sites: countDistinct(e => e.site),
    sitesAbout: countDistinct(e => e.site, { approximate: true }),
    median: quantile(e => e.salary, 0.5),
    best: topN(e => e.name, { n: 3, by: e => e.salary }),
    richest: reduce((a, b) => (a.salary > b.salary ? a : b)),
    total: reduce((pay: number, e) => pay + e.salary, 0),
    own: aggregate({ init: () => 0, add: (n: number, e) => n + e.name.length, result: n => `${n} letters` }),
  });
  type Got = typeof window extends { results: infer R | null } ? Exclude<R, null> : never;
  const same: Same<
    Got,
    {
      hires: number;
      pay: number;
      cents: number;
      least: number;
      most: number;
      mean: number;
      opener: string;
      closer: string | null;
      names: string[];
      sites: number;
      sitesAbout: number;
      median: number;
      best: string[];
      richest: Hire;
      total: number;
      own: string;
    }
  > = true;
  assert.equal(same, true);
  assert.equal(Object.keys(window.specs).length, 16);
});

test('a field that the record does not have is a compile error', () => {
  const window = windowOf<Hire>().aggregate({
    // @ts-expect-error: there is no such field
    pay: sum(e => e.salari),
    // @ts-expect-error: a text cannot be summed
    names: sum(e => e.name),
  });
  assert.equal(Object.keys(window.specs).length, 2);
});
