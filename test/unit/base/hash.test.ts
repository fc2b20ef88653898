/** The frozen hash: golden vectors, agreement with a byte-wise second implementation, spread over partitions. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hash32, partitionOf } from '../../../lib/base/hash.ts';

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
