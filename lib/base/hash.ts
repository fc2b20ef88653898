/**
 * The hash that places keys on groups, and groups on partitions. FROZEN FOR EVER: state, journals and subjects are laid out
 * by it, so another hash would be another cluster. `test/unit/base/hash.test.ts` holds its golden vectors.
 *
 * A *key group* is the unit in which state moves (`savepoint/cut.ts`): a key's group never changes, and a partition is a
 * range of groups, so another number of partitions cuts the same groups in other places (Carbone et al., State Management
 * in Apache Flink, VLDB 2017).
 *
 * FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv, 32 bits) over the text's UTF-8 bytes, then the finaliser `fmix32` of
 * MurmurHash3 (Appleby, public domain). FNV-1a alone leaves its low bits weak, and a group is made of just those.
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** The frozen hash of a text: an integer from 0 to 2^32 − 1. A lone surrogate counts as U+FFFD, as in UTF-8. */
export function hash32(text: string): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return finish(hashWide(text, i, hash));
    hash = Math.imul(hash ^ unit, FNV_PRIME);
  }
  return finish(hash);
}

/** So many that the largest of 1,000 partitions has 3 % more of them than the smallest. */
export const KEY_GROUPS = 32_768;

/** The key group, 0 … KEY_GROUPS − 1, of an encoded key (`record/key.ts`). */
export function keyGroupOf(encodedKey: string): number {
  return hash32(encodedKey) & (KEY_GROUPS - 1);
}

/** The partition, 0 … partitions − 1, that an encoded key belongs to. */
export function partitionOf(encodedKey: string, partitions: number): number {
  return Math.floor((keyGroupOf(encodedKey) * partitions) / KEY_GROUPS);
}

/** The key groups of a partition: from the first one up to, and without, the second. */
export function keyGroupsOf(partition: number, partitions: number): { readonly from: number; readonly to: number } {
  const first = (of: number) => Math.ceil((of * KEY_GROUPS) / partitions);
  return { from: first(partition), to: first(partition + 1) };
}

/** FNV-1a from `from` on, with the UTF-8 bytes of each code point made on the way: nothing is allocated. */
function hashWide(text: string, from: number, start: number): number {
  let hash = start;
  for (let i = from; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      hash = Math.imul(hash ^ unit, FNV_PRIME);
    } else if (unit < 0x800) {
      hash = Math.imul(hash ^ (0xc0 | (unit >> 6)), FNV_PRIME);
      hash = Math.imul(hash ^ (0x80 | (unit & 0x3f)), FNV_PRIME);
    } else {
      let point = unit;
      if (unit >= 0xd800 && unit <= 0xdfff) {
        const low = i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
        if (unit <= 0xdbff && low >= 0xdc00 && low <= 0xdfff) {
          point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
          i++;
        } else {
          point = 0xfffd;
        }
      }
      if (point < 0x10000) {
        hash = Math.imul(hash ^ (0xe0 | (point >> 12)), FNV_PRIME);
      } else {
        hash = Math.imul(hash ^ (0xf0 | (point >> 18)), FNV_PRIME);
        hash = Math.imul(hash ^ (0x80 | ((point >> 12) & 0x3f)), FNV_PRIME);
      }
      hash = Math.imul(hash ^ (0x80 | ((point >> 6) & 0x3f)), FNV_PRIME);
      hash = Math.imul(hash ^ (0x80 | (point & 0x3f)), FNV_PRIME);
    }
  }
  return hash;
}

/** MurmurHash3's fmix32: every input bit reaches every output bit. */
function finish(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
