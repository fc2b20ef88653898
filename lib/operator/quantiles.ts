/**
 * Quantiles with a relative error: the buckets of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable
 * quantile sketch with relative-error guarantees", 2019). A value falls in the bucket of its logarithm to the base
 * γ = (1 + accuracy) / (1 − accuracy), and any value of a bucket is within `accuracy` of the one it is reported as.
 *
 * Only counts are kept, so a sketch does not depend on the order of what it saw, and merging is exact. Values that
 * span nine decades at 1 % need about 1,000 buckets; the sketch grows with the spread, never with the count.
 */
export interface QuantileSketch {
  /** Buckets in the order of the values in them (see `codeOf`), and how many values fell in each. */
  readonly codes: number[];
  readonly counts: number[];
  total: number;
  min: number;
  max: number;
}

/** More than the logarithm of any double to the smallest base: sets positive codes above zero's, negative ones below. */
const CODE_OFFSET = 2 ** 24;
/** Finer than this, buckets are about as many as values. */
export const ACCURACY_MIN = 0.0001;

export function newQuantiles(): QuantileSketch {
  return { codes: [], counts: [], total: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
}

export function logGamma(accuracy: number): number {
  return Math.log((1 + accuracy) / (1 - accuracy));
}

/** The value's bucket; codes are ordered as values are. */
function codeOf(value: number, logBase: number): number {
  if (value === 0) return 0;
  const code = CODE_OFFSET + Math.ceil(Math.log(Math.abs(value)) / logBase);
  return value > 0 ? code : -code;
}

export function addQuantile(sketch: QuantileSketch, value: number, logBase: number): QuantileSketch {
  count(sketch, codeOf(value, logBase), 1);
  if (value < sketch.min) sketch.min = value;
  if (value > sketch.max) sketch.max = value;
  return sketch;
}

/** Changes `left` only. */
export function mergeQuantiles(left: QuantileSketch, right: QuantileSketch): QuantileSketch {
  for (let i = 0; i < right.codes.length; i++) count(left, right.codes[i]!, right.counts[i]!);
  if (right.min < left.min) left.min = right.min;
  if (right.max > left.max) left.max = right.max;
  return left;
}

function count(sketch: QuantileSketch, code: number, times: number): void {
  const { codes, counts } = sketch;
  let low = 0;
  let high = codes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (codes[middle]! < code) low = middle + 1;
    else high = middle;
  }
  if (codes[low] === code) {
    counts[low]! += times;
  } else {
    codes.splice(low, 0, code);
    counts.splice(low, 0, times);
  }
  sketch.total += times;
}

/** The value at rank ⌊q · (total − 1)⌋ of the sorted values, within the accuracy; the extremes exactly. */
export function quantileResult(sketch: QuantileSketch, q: number, logBase: number): number {
  const rank = Math.floor(q * (sketch.total - 1));
  if (rank === 0) return sketch.min;
  if (rank === sketch.total - 1) return sketch.max;
  let seen = 0;
  for (let i = 0; i < sketch.codes.length; i++) {
    seen += sketch.counts[i]!;
    if (seen > rank) return Math.min(sketch.max, Math.max(sketch.min, middleOf(sketch.codes[i]!, logBase)));
  }
  return sketch.max;
}

/** The value whose relative distance to both ends of the bucket is the same. */
function middleOf(code: number, logBase: number): number {
  if (code === 0) return 0;
  const upper = Math.exp((Math.abs(code) - CODE_OFFSET) * logBase);
  const middle = (2 * upper) / (1 + Math.exp(logBase));
  return code > 0 ? middle : -middle;
}
