/** Under which subjects a table's rows lie, or why that cannot be told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StreamInfo } from '../../../lib/port/log.ts';
import { type CopiedStream, PLAIN_CONFIG } from '../../../lib/port/stream-config.ts';
import { rowsOfBucket } from '../../../lib/topology/buckets.ts';

type Copies = { readonly mirror: CopiedStream } | { readonly sources: readonly CopiedStream[] };

const info = (subjects: readonly string[], copies?: Copies): StreamInfo => ({
  ...{ name: 'KV_copy', subjects, config: { ...PLAIN_CONFIG, ...copies }, created: '2026-01-01T00:00:00Z' },
  ...{ firstSeq: 1, lastSeq: 0, messages: 0, bytes: 0 },
});
const copied = (name: string, renamed: readonly (readonly [string, string])[]): CopiedStream => ({
  name,
  renamed: renamed.map(([src, dest]) => ({ src, dest })),
});
const mirror = (name: string, ...renamed: [string, string][]): Copies => ({ mirror: copied(name, renamed) });
const sources = (...all: [name: string, ...renamed: [string, string][]][]): Copies => ({
  sources: all.map(([name, ...renamed]) => copied(name, renamed)),
});
const OWN = ['$KV.copy.>'];
/** Buckets that are mirrors themselves; of `KV_ring` each is said to be the other's. */
const KNOWN: Readonly<Record<string, StreamInfo>> = {
  KV_near: { ...info([], mirror('KV_far')), name: 'KV_near' },
  KV_far: { ...info([], mirror('KV_shops')), name: 'KV_far' },
  KV_shops: { ...info(['$KV.shops.>']), name: 'KV_shops' },
  KV_plain: { ...info([], mirror('SHOPS')), name: 'KV_plain' },
  KV_ring: { ...info([], mirror('KV_gnir')), name: 'KV_ring' },
  KV_gnir: { ...info([], mirror('KV_ring')), name: 'KV_gnir' },
};

describe('rows of a bucket', () => {
  const cases: readonly [string, StreamInfo, string | RegExp][] = [
    ['lie under its own subjects', info(OWN), '$KV.copy.>'],
    ['lie under its own, where its stream keeps more', info(['$KV.>']), '$KV.copy.>'],
    ['are none, where its stream keeps something else', info(['orders.>']), /no KV bucket/],
    ['of a mirror lie under those of its origin', info([], mirror('KV_shops')), '$KV.shops.>'],
    [
      'of a mirror that renames them lie under its own',
      info([], mirror('KV_shops', ['$KV.shops.>', '$KV.copy.>'])),
      '$KV.copy.>',
    ],
    [
      'of a mirror that renames a part of them',
      info([], mirror('KV_shops', ['$KV.shops.eu.>', '$KV.copy.>'])),
      /cannot be told/,
    ],
    ['of a mirror that renames them to anything', info([], mirror('KV_shops', ['>', 'shops.>'])), /cannot be told/],
    ['of a mirror of what is no bucket', info([], mirror('SHOPS')), /cannot be told/],
    ['of a mirror of mirrors lie under those of the first', info([], mirror('KV_near')), '$KV.shops.>'],
    [
      'of a mirror of a mirror that renames what is not there',
      info([], mirror('KV_near', ['$KV.near.>', '$KV.copy.>'])),
      /one subject transform, from '\$KV\.shops\.>' to '\$KV\.copy\.>'/,
    ],
    ['of a mirror of a mirror of what is no bucket', info([], mirror('KV_plain')), /cannot be told/],
    ['of mirrors in a ring are somewhere', info([], mirror('KV_ring')), '$KV.ring.>'],
    [
      'of a mirror of what another domain has lie where they lie there',
      info([], { mirror: { ...copied('KV_near', []), external: '$JS.hub.API' } }),
      '$KV.near.>',
    ],
    [
      'that are copied from a mirror, under the beginning that they have not',
      info(OWN, sources(['KV_near', ['$KV.near.>', '$KV.copy.>']])),
      /transform, from '\$KV\.shops\.>' to '\$KV\.copy\.>'/,
    ],
    [
      'that are copied from another bucket as they are',
      info(OWN, sources(['KV_shops'])),
      /KV_shops.*transform, from '\$KV\.shops\.>' to '\$KV\.copy\.>'/,
    ],
    ['that are copied and renamed', info(OWN, sources(['KV_shops', ['$KV.shops.>', '$KV.copy.>']])), '$KV.copy.>'],
    ['that are copied and renamed, all of them', info(OWN, sources(['KV_shops', ['', '$KV.copy.eu.>']])), '$KV.copy.>'],
    [
      'that are copied from two, of which one renames them',
      info(OWN, sources(['KV_a', ['>', '$KV.copy.>']], ['KV_b'])),
      /KV_b/,
    ],
    ['that are copied and renamed to another bucket', info(OWN, sources(['KV_a', ['>', '$KV.copies.>']])), /KV_a/],
  ];
  for (const [what, stream, wanted] of cases) {
    test(what, () => {
      const found = rowsOfBucket('copy', stream, name => KNOWN[name] ?? null);
      if (typeof wanted === 'string') assert.deepEqual(found, { subject: wanted });
      else assert.match('mistake' in found ? found.mistake : '', wanted);
    });
  }
});
