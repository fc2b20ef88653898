/** The soak's verdict on memory, on lines, noise and steps. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { driftOf, type MemorySample } from '../../bench/drift.ts';

const MB = 2 ** 20;

/** A sample every ten seconds. */
function samples(count: number, megabytesAt: (i: number) => number): MemorySample[] {
  return Array.from({ length: count }, (_, i) => ({ atMs: i * 10_000, bytes: megabytesAt(i) * MB }));
}

describe('memory', () => {
  test('that rises in the warm-up only is flat', () => {
    const { verdict, grownBytes } = driftOf(samples(90, i => Math.min(100 + i * 5, 250)));
    assert.equal(verdict, 'flat');
    assert.equal(grownBytes, 0);
  });

  test('that breathes is flat', () => {
    assert.equal(driftOf(samples(90, i => 200 + (i % 9) * 10)).verdict, 'flat');
    assert.equal(driftOf(samples(90, i => 200 + (i % 25) * 24)).verdict, 'flat');
  });

  test('that rises by half a megabyte every ten seconds grows, however much it breathes', () => {
    const { verdict, grownBytes, bytesAnHour } = driftOf(samples(91, i => 200 + i * 0.5 + (i % 2) * 20));
    assert.equal(verdict, 'grows');
    // A floor is as exact as samples are near each other.
    assert.ok(Math.abs(grownBytes / MB - 30) < 3, `${grownBytes / MB} MB`);
    assert.ok(Math.abs(bytesAnHour / MB - 180) < 18, `${bytesAnHour / MB} MB an hour`);
  });

  test('that shrinks is flat', () => {
    assert.equal(driftOf(samples(90, i => 400 - i)).verdict, 'flat');
  });

  test('of few samples tells nothing', () => {
    assert.equal(driftOf([]).verdict, 'short');
    assert.equal(driftOf(samples(8, i => 100 + i * 100)).verdict, 'short');
    assert.equal(driftOf(samples(29, i => 100 + i * 100)).verdict, 'short');
    assert.equal(driftOf(samples(30, i => 100 + i * 100)).verdict, 'grows');
  });
});
