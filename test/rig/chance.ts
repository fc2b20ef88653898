/** Chance that is the same on every machine and every run: a number from two integers, without any state. */

/** In [0, 1), from the two integers alone (the mixer is Chris Wellons' lowbias32). */
export function chance(seed: number, salt: number): number {
  let x = (Math.imul(seed, 0x9e3779b1) + Math.imul(salt, 0x85ebca77)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}
