/**
 * Counting different values in 4 KB: HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007) with 2^12 registers over the
 * frozen 32-bit hash, read by the estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches",
 * 2017, algorithm 6), which needs no tables and no special cases for few or many values.
 *
 * Standard error 1.04/√4096 = 1.6 % up to some 10^9 different values; the hash's own collisions are accounted for.
 * Registers only ever rise, so a sketch does not depend on the order of what it saw, and merging is exact.
 *
 * Most keys see few values: up to `SPARSE_MAX` used registers are kept as a sorted list of `register · 32 + rank`.
 */
import { hash32 } from '../base/hash.ts';

const BITS = 12;
const REGISTERS = 2 ** BITS;
/** Bits of the hash that a rank is read from; ranks run from 1 to one more than this. */
const RANK_BITS = 32 - BITS;
const SPARSE_MAX = 256;

export type DistinctSketch = number[] | Uint8Array;

/** @param text the value's canonical text */
export function addDistinct(sketch: DistinctSketch, text: string): DistinctSketch {
  const hash = hash32(text);
  const rest = hash << BITS;
  const rank = rest === 0 ? RANK_BITS + 1 : Math.clz32(rest) + 1;
  return raise(sketch, hash >>> RANK_BITS, rank);
}

/** Changes `left` at most; `right` stays as it is. */
export function mergeDistinct(left: DistinctSketch, right: DistinctSketch): DistinctSketch {
  let merged = left;
  if (Array.isArray(right)) for (const code of right) merged = raise(merged, code >>> 5, code & 31);
  else for (let i = 0; i < REGISTERS; i++) if (right[i]! > 0) merged = raise(merged, i, right[i]!);
  return merged;
}

function raise(sketch: DistinctSketch, register: number, rank: number): DistinctSketch {
  if (!Array.isArray(sketch)) {
    if (sketch[register]! < rank) sketch[register] = rank;
    return sketch;
  }
  let low = 0;
  let high = sketch.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sketch[middle]! >>> 5 < register) low = middle + 1;
    else high = middle;
  }
  const code = register * 32 + rank;
  if (low < sketch.length && sketch[low]! >>> 5 === register) {
    if (sketch[low]! < code) sketch[low] = code;
    return sketch;
  }
  if (sketch.length < SPARSE_MAX) {
    sketch.splice(low, 0, code);
    return sketch;
  }
  const dense = new Uint8Array(REGISTERS);
  for (const kept of sketch) dense[kept >>> 5] = kept & 31;
  dense[register] = rank;
  return dense;
}

/** The estimated number of different values, a whole number. */
export function distinctResult(sketch: DistinctSketch): number {
  const ranks = new Array<number>(RANK_BITS + 2).fill(0);
  if (Array.isArray(sketch)) {
    ranks[0] = REGISTERS - sketch.length;
    for (const code of sketch) ranks[code & 31]!++;
  } else {
    for (let i = 0; i < REGISTERS; i++) ranks[sketch[i]!]!++;
  }
  let z = REGISTERS * tau(1 - ranks[RANK_BITS + 1]! / REGISTERS);
  for (let k = RANK_BITS; k >= 1; k--) z = (z + ranks[k]!) / 2;
  z += REGISTERS * sigma(ranks[0]! / REGISTERS);
  return Math.round(REGISTERS ** 2 / (2 * Math.LN2 * z));
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY;
  let power = x;
  let weight = 1;
  let sum = x;
  for (;;) {
    power *= power;
    const before = sum;
    sum += power * weight;
    weight += weight;
    if (sum === before) return sum;
  }
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let root = x;
  let weight = 1;
  let sum = 1 - x;
  for (;;) {
    root = Math.sqrt(root);
    const before = sum;
    weight /= 2;
    sum -= (1 - root) ** 2 * weight;
    if (sum === before) return sum / 3;
  }
}
