/** Finding items of a hot key's list by time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { firstAfter, firstFrom, SCAN_MAX, TimeIndexes } from '../../../lib/operator/time-index.ts';

test('a short list has no index', () => {
  const indexes = new TimeIndexes<{ t: number }>(null);
  const list = Array.from({ length: SCAN_MAX }, (_item, i) => ({ t: i }));
  assert.equal(indexes.sortedOf(0, 'k', list), null);
  list.push({ t: 0 });
  assert.equal(indexes.sortedOf(0, 'k', list)!.length, SCAN_MAX + 1);
});

test('positions are in the order of time however the list grows, and a range is what a scan would find', () => {
  const times = fc.array(fc.nat(500), { minLength: SCAN_MAX + 1, maxLength: 300, size: 'max' });
  fc.assert(
    fc.property(times, fc.nat(500), fc.nat(100), fc.integer({ min: 1, max: 50 }), (all, from, length, step) => {
      const indexes = new TimeIndexes<{ t: number }>(null);
      const list: { t: number }[] = [];
      for (let at = 0; at < all.length; at += step) {
        for (const t of all.slice(at, at + step)) list.push({ t });
        indexes.sortedOf(3, 'k', list);
      }
      const sorted = indexes.sortedOf(3, 'k', list)!;
      const found = sorted.slice(firstFrom(list, sorted, from), firstAfter(list, sorted, from + length));
      const scanned = list.flatMap((item, i) => (item.t >= from && item.t <= from + length ? [i] : []));
      assert.deepEqual(
        found.toSorted((a, b) => a - b),
        scanned,
      );
      assert.deepEqual(
        sorted.map(i => list[i]!.t),
        all.toSorted((a, b) => a - b),
      );
    }),
  );
});

test('what is looked at for a range of a hot key grows with the logarithm of its list', () => {
  let looks = 0;
  class Item {
    readonly #t: number;
    constructor(t: number) {
      this.#t = t;
    }
    get t(): number {
      looks++;
      return this.#t;
    }
  }
  const list = Array.from({ length: 100_000 }, (_item, i) => new Item(i));
  const indexes = new TimeIndexes<Item>(null);
  const sorted = indexes.sortedOf(0, 'hot', list)!;
  looks = 0;
  assert.equal(firstAfter(list, sorted, 50_010) - firstFrom(list, indexes.sortedOf(0, 'hot', list)!, 50_000), 11);
  assert.ok(looks < 40, `looked at ${looks} items`);
});

test('a list that grows is not gone through again for what is new, in order or not', () => {
  for (const step of [1, 7]) {
    let looks = 0;
    const n = 20_000;
    const list: { readonly t: number }[] = [];
    const indexes = new TimeIndexes<{ readonly t: number }>(null);
    for (let i = 0; i < n; i++) {
      const t = (i * step) % n;
      list.push({
        get t() {
          looks++;
          return t;
        },
      });
      if (i % 40 === 0) indexes.sortedOf(0, 'hot', list);
    }
    assert.ok(looks < n * 40, `looked at ${looks} items`);
  }
});

test('items that nobody will look for any more are left out', () => {
  const indexes = new TimeIndexes<{ t: number; gone: boolean }>(item => item.gone);
  const list = Array.from({ length: 100 }, (_item, i) => ({ t: i, gone: i % 2 === 0 }));
  assert.equal(indexes.sortedOf(0, 'k', list)!.length, 50);
});

test('a dropped bucket is forgotten', () => {
  const indexes = new TimeIndexes<{ t: number }>(null);
  const list = Array.from({ length: 100 }, (_item, i) => ({ t: i }));
  const before = indexes.sortedOf(0, 'k', list);
  indexes.drop(0);
  assert.notEqual(indexes.sortedOf(0, 'k', list), before);
});
