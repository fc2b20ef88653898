/** The latency histogram, held against the sorted samples. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Latencies } from '../../rig/latency.ts';

describe('latencies', () => {
  test('have no quantile before the first sample', () => {
    assert.equal(new Latencies().quantileMs(0.5), null);
  });

  test('know the longest of them exactly', () => {
    const latencies = new Latencies();
    for (const ms of [3, 7.123, 0.01]) latencies.add(ms);
    assert.equal(latencies.maxMs, 7.123);
  });

  test('give quantiles that are at most 3 % off', () => {
    const samples = fc.array(fc.double({ min: 0.06, max: 1_000_000, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(samples, fc.constantFrom(0, 0.5, 0.99, 1), (samples, share) => {
        const latencies = new Latencies();
        for (const sample of samples) latencies.add(sample);
        const sorted = [...samples].sort((left, right) => left - right);
        const exact = sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]!;
        const estimate = latencies.quantileMs(share)!;
        assert.ok(Math.abs(estimate / exact - 1) < 0.03, `${estimate} for ${exact}`);
      }),
    );
  });
});
