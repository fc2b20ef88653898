/** Sizes without encoding: estimates good enough to cut batches and to hold a memory budget. */

/** What a value costs beyond which we do not look: nested deeper, or further in an array. */
const DEPTH_MAX = 4;
const ITEMS_MAX = 32;
const UNSEEN_BYTES = 16;

/** About how many bytes `value` takes when packed among its like (names of fields cost nothing). */
export function roughBytes(value: unknown, depth = 0): number {
  switch (typeof value) {
    case 'number':
      return (value | 0) === value ? 3 : 9;
    case 'string':
      return value.length + 4;
    case 'bigint':
      return BigInt.asIntN(64, value) === value ? 9 : String(value).length + 4;
    case 'object':
      break;
    default:
      return 1;
  }
  if (value === null) return 1;
  if (value instanceof Uint8Array) return value.length + 4;
  if (value instanceof Date) return 9;
  if (depth === DEPTH_MAX) return UNSEEN_BYTES;
  if (Array.isArray(value)) return sumOf(value, value.length, depth);
  if (value instanceof Map) return 2 * sumOf(value.values(), value.size, depth);
  if (value instanceof Set) return sumOf(value, value.size, depth);
  return sumOf(Object.values(value), Object.keys(value).length, depth);
}

/** The first few stand for all. */
function sumOf(values: Iterable<unknown>, count: number, depth: number): number {
  let seen = 0;
  let bytes = 0;
  for (const value of values) {
    bytes += roughBytes(value, depth + 1);
    if (++seen === ITEMS_MAX) break;
  }
  return 3 + (seen === 0 ? 0 : Math.ceil((bytes / seen) * count));
}

/** A running mean that follows what it is shown: each sample counts a sixteenth. */
export class RunningMean {
  value: number;
  #isFirst = true;

  /** @param guess the mean as long as nothing was shown. */
  constructor(guess: number) {
    this.value = guess;
  }

  show(sample: number): void {
    this.value = this.#isFirst ? sample : this.value + (sample - this.value) / 16;
    this.#isFirst = false;
  }
}
