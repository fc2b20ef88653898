/** The frozen hash: golden vectors, agreement with a byte-wise second implementation, spread over partitions. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hash32, KEY_GROUPS, keyGroupOf, keyGroupsOf, partitionOf } from '../../../lib/base/hash.ts';

/** The definition, slowly: exact arithmetic over the UTF-8 bytes. */
function slowHash(text: string): number {
  const mask = 0xffffffffn;
  let hash = 0x811c9dc5n;
  for (const byte of Buffer.from(text, 'utf8')) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & mask;
  hash = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & mask;
  hash = ((hash ^ (hash >> 13n)) * 0xc2b2ae35n) & mask;
  return Number(hash ^ (hash >> 16n));
}

describe('the frozen hash', () => {
  test('golden vectors never change', () => {
    const golden: [string, number][] = [
      ['', 2872998923],
      ['a', 444641715],
      ['user-42', 2083131798],
      ['2024-01-01T00:00:00Z', 2876456261],
      ['\u000242', 439592779],
      ['é', 2387039943],
      ['naïve café', 1404715442],
      ['日本', 4026831135],
      ['🚀', 2919106752],
      ['x🚀y', 1346954745],
      ['\ud800', 1205388858],
      ['\u00010', 1459715267],
      ['The quick brown fox jumps over the lazy dog', 3429625917],
    ];
    for (const [text, hash] of golden) assert.equal(hash32(text), hash, JSON.stringify(text));
  });

  test('neither do key groups and partitions', () => {
    const golden: [string, number, number, number][] = [
      ['a', 12723, 6, 18],
      ['user-42', 4502, 2, 6],
      ['\u000242', 10059, 4, 14],
      ['naïve café', 16818, 8, 24],
      ['日本', 4383, 2, 6],
    ];
    for (const [key, group, of16, of48] of golden) {
      assert.deepEqual([keyGroupOf(key), partitionOf(key, 16), partitionOf(key, 48)], [group, of16, of48], key);
    }
  });

  test('a partition is a range of key groups, and the ranges are all of them', () => {
    for (const partitions of [1, 2, 3, 16, 48, 100, 1_000, 1_024]) {
      let next = 0;
      for (let partition = 0; partition < partitions; partition++) {
        const { from, to } = keyGroupsOf(partition, partitions);
        assert.equal(from, next);
        next = to;
      }
      assert.equal(next, KEY_GROUPS);
    }
    for (let i = 0; i < 5_000; i++) {
      for (const partitions of [1, 3, 16, 1_000]) {
        const { from, to } = keyGroupsOf(partitionOf(`k${i}`, partitions), partitions);
        const group = keyGroupOf(`k${i}`);
        assert.ok(from <= group && group < to, `k${i} of ${partitions}`);
      }
    }
  });

  test('it is FNV-1a and fmix32 over the UTF-8 bytes, also for lone surrogates', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.nat(0xffff).map(u => String.fromCharCode(u)) }),
    );
    fc.assert(
      fc.property(texts, text => hash32(text) === slowHash(text)),
      { numRuns: 2000 },
    );
  });

  test('similar keys spread evenly over any number of partitions', () => {
    for (const partitions of [2, 3, 16, 64, 100]) {
      for (const make of [(i: number) => `user-${i}`, (i: number) => `\u0002${i}`, (i: number) => `${i}@example.com`]) {
        const keys = 1000 * partitions;
        const counts = new Array<number>(partitions).fill(0);
        for (let i = 0; i < keys; i++) {
          const partition = partitionOf(make(i), partitions);
          counts[partition] = counts[partition]! + 1;
        }
        // Chi square with P − 1 degrees of freedom: mean P − 1, standard deviation √(2(P − 1)).
        const chiSquare = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
        assert.ok(chiSquare < partitions - 1 + 5 * Math.sqrt(2 * (partitions - 1)), `${partitions}: ${chiSquare}`);
      }
    }
  });
});
