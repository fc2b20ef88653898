/**
 * Latencies: a histogram with buckets 2 % apart, so that quantiles of millions of samples cost a few kilobytes and are
 * off by at most 2 %. The bench and the demo report from it.
 */
const GROWTH = Math.log(1.02);
const LEAST_MS = 0.05;
const BUCKETS = 1024;

export class Latencies {
  count = 0;
  /** The longest, exactly; 0 without samples. */
  maxMs = 0;
  private readonly buckets = new Uint32Array(BUCKETS);

  /** @param ms how long it took; below 0.05 ms counts as that. */
  add(ms: number): void {
    const bucket = ms <= LEAST_MS ? 0 : Math.ceil(Math.log(ms / LEAST_MS) / GROWTH);
    const index = Math.min(bucket, BUCKETS - 1);
    this.buckets[index] = this.buckets[index]! + 1;
    this.count++;
    if (ms > this.maxMs) this.maxMs = ms;
  }

  /** The latency in ms that a share of all samples (0 to 1) did not exceed; null without samples. */
  quantileMs(share: number): number | null {
    if (this.count === 0) return null;
    const rank = Math.max(1, Math.ceil(share * this.count));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.buckets[index]!;
      if (seen >= rank) return Number((LEAST_MS * Math.exp(index * GROWTH)).toPrecision(3));
    }
    return null;
  }
}
