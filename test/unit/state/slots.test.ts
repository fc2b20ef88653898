/** Packed maps against plain ones: any keys, any order of adding, removing and moving, at sizes that split and shrink. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CHANGED, DIRTY, PINNED, STORED } from '../../../lib/state/bucket.ts';
import { hashOfKey } from '../../../lib/state/packed-key.ts';
import { Slots } from '../../../lib/state/slots.ts';

type Entry = [number: number, flags: number];

/** The map, and the plain one that it must equal. */
class Pair {
  readonly footprint = { bytes: 0 };
  readonly slots = new Slots(this.footprint);
  readonly model = new Map<string, Entry>();

  set(key: string, number: number, flags = 0): void {
    const slot = this.slots.find(hashOfKey(key), key);
    if (slot < 0) this.slots.add(hashOfKey(key), key, number, flags);
    else {
      this.slots.setNumber(slot, number);
      this.slots.setFlags(slot, flags);
    }
    this.model.set(key, [number, flags]);
  }

  delete(key: string): void {
    const slot = this.slots.find(hashOfKey(key), key);
    assert.equal(slot >= 0, this.model.delete(key), `'${key}' is found if it is there`);
    if (slot < 0) return;
    this.slots.remove(slot);
    this.slots.release(slot);
  }

  thinAll(): void {
    for (let number = 0; number < this.slots.pages; number++) this.slots.thin(number, CHANGED | PINNED);
  }

  check(): void {
    const { slots, model } = this;
    assert.equal(slots.size, model.size);
    const news = [...model.values()].filter(([, flags]) => flags & DIRTY).length;
    assert.equal(slots.news, news);
    const found = new Map<string, Entry>();
    for (const slot of slots) found.set(slots.keyAt(slot), [slots.numberAt(slot), slots.flagsAt(slot)]);
    assert.deepEqual(found, new Map(model));
    for (const [key, [number]] of model) assert.equal(slots.numberAt(slots.find(hashOfKey(key), key)), number);
    if (model.size === 0) assert.equal(this.footprint.bytes, 0, 'an empty one takes nothing');
  }
}

const anyKey = fc.oneof(
  fc.constantFrom('', 'a', 'b', 'é', '\u0100', '\ud800', '\udc00', '\ud83d\ude00', '\0', 'a\0', '\xff'),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom(126, 127, 128, 300, 70_000).map(units => 'x'.repeat(units)),
  fc.constantFrom(126, 127, 128, 300).map(units => '\u4e2d'.repeat(units)),
);
const anyNumber = fc.constantFrom(0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53 - 1, -1);

describe('packed maps', () => {
  test('they hold any key and number that a map holds', () => {
    const step = fc.record({ key: anyKey, number: anyNumber, isSet: fc.boolean(), flags: fc.constantFrom(0, DIRTY) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), steps => {
        const pair = new Pair();
        for (const { key, number, isSet, flags } of steps) {
          if (isSet) pair.set(key, number, flags);
          else pair.delete(key);
        }
        pair.check();
        for (const key of [...pair.model.keys()]) pair.delete(key);
        pair.check();
      }),
    );
  });

  test('they grow and shrink through many pages and tables', () => {
    const pair = new Pair();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 20_000; i++) pair.set(`${round}-${i}`, i, i % 3 === 0 ? DIRTY : STORED);
      pair.check();
      const full = pair.footprint.bytes;
      for (let i = 0; i < 20_000; i++) if (i % 50 !== round) pair.delete(`${round}-${i}`);
      pair.check();
      pair.thinAll();
      pair.check();
      assert.ok(pair.footprint.bytes < full / 4, `${pair.footprint.bytes} of ${full} bytes are left`);
    }
    pair.slots.clear();
    assert.equal(pair.footprint.bytes, 0);
  });

  test('an entry of sixteen characters takes less than 55 bytes', () => {
    const pair = new Pair();
    for (let i = 0; i < 100_000; i++) pair.set(String(i).padStart(16, '0'), i);
    assert.ok(pair.footprint.bytes < 55 * 100_000, `${pair.footprint.bytes / 100_000} bytes an entry`);
  });

  test('keys of one hash are told apart by their characters', () => {
    const byHash = new Map<number, string>();
    const alike: [string, string][] = [];
    for (let i = 0; alike.length < 4; i++) {
      const key = `k${i.toString(36)}`;
      const other = byHash.get(hashOfKey(key));
      if (other !== undefined) alike.push([other, key]);
      byHash.set(hashOfKey(key), key);
    }
    const pair = new Pair();
    for (const [one, other] of alike) {
      pair.set(one, 1);
      assert.equal(pair.slots.find(hashOfKey(other), other), -1);
      pair.set(other, 2);
    }
    pair.check();
    for (const [one] of alike) pair.delete(one);
    pair.check();
  });

  test('a slot is not given away before it is released', () => {
    const pair = new Pair();
    for (let i = 0; i < 40; i++) pair.set(`k${i}`, i);
    const slot = pair.slots.find(hashOfKey('k7'), 'k7');
    pair.slots.remove(slot);
    const before = new Set(Array.from({ length: 3000 }, (_, i) => pair.slots.add(hashOfKey(`n${i}`), `n${i}`, i, 0)));
    assert.ok(!before.has(slot));
    assert.equal(pair.slots.flagsAt(slot), 0);
    pair.slots.release(slot);
    assert.equal(pair.slots.add(hashOfKey('k7'), 'k7', 7, 0), slot);
  });

  test('a page with entries that must stay in their slots is left alone', () => {
    const pair = new Pair();
    for (let i = 0; i < 3_000; i++) pair.set(`k${i}`, i, i === 1_500 ? PINNED : 0);
    const pinned = pair.slots.find(hashOfKey('k1500'), 'k1500');
    for (let i = 0; i < 3_000; i++) if (i % 100 !== 0) pair.delete(`k${i}`);
    pair.thinAll();
    assert.equal(pair.slots.find(hashOfKey('k1500'), 'k1500'), pinned);
    pair.check();
  });

  test('what is there all the while comes up, whatever comes and goes meanwhile', () => {
    const pair = new Pair();
    for (let i = 0; i < 5_000; i++) pair.set(`k${i}`, i);
    const seen = new Set<string>();
    let step = 0;
    for (const slot of pair.slots) {
      seen.add(pair.slots.keyAt(slot));
      // Gone from before the reader's place and come back, which must not be where the reader has been.
      const key = `k${(step * 37 + 2_500) % 5_000}`;
      if (step < 5_000 && step % 5 === 0) {
        pair.delete(key);
        if (step % 10 === 0) pair.thinAll();
        pair.set(key, step);
      }
      step++;
    }
    assert.deepEqual(
      [...pair.model.keys()].filter(key => !seen.has(key)),
      [],
    );
    pair.check();
  });
});
