/** Under which subjects a table's rows lie, or why that cannot be told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CopiedStream, StreamInfo } from '../../../lib/port/log.ts';
import { rowsOfBucket } from '../../../lib/topology/buckets.ts';

const info = (subjects: readonly string[], copied: readonly CopiedStream[] = []): StreamInfo => ({
  ...{ name: 'KV_copy', subjects, copied, atomic: false, traits: [], created: '2026-01-01T00:00:00Z' },
  ...{ firstSeq: 1, lastSeq: 0, messages: 0, bytes: 0 },
});
const of = (name: string, isMirror: boolean, ...renamed: [string, string][]): CopiedStream => ({
  ...{ name, isMirror },
  renamed: renamed.map(([from, to]) => ({ from, to })),
});
const OWN = ['$KV.copy.>'];

describe('rows of a bucket', () => {
  const cases: readonly [string, StreamInfo, string | RegExp][] = [
    ['lie under its own subjects', info(OWN), '$KV.copy.>'],
    ['lie under its own, where its stream keeps more', info(['$KV.>']), '$KV.copy.>'],
    ['are none, where its stream keeps something else', info(['orders.>']), /no KV bucket/],
    ['of a mirror lie under those of its origin', info([], [of('KV_shops', true)]), '$KV.shops.>'],
    [
      'of a mirror that renames them lie under its own',
      info([], [of('KV_shops', true, ['$KV.shops.>', '$KV.copy.>'])]),
      '$KV.copy.>',
    ],
    [
      'of a mirror that renames a part of them',
      info([], [of('KV_shops', true, ['$KV.shops.eu.>', '$KV.copy.>'])]),
      /cannot be told/,
    ],
    ['of a mirror that renames them to anything', info([], [of('KV_shops', true, ['>', 'shops.>'])]), /cannot be told/],
    ['of a mirror of what is no bucket', info([], [of('SHOPS', true)]), /cannot be told/],
    [
      'that are copied from another bucket as they are',
      info(OWN, [of('KV_shops', false)]),
      /KV_shops.*transform, from '\$KV\.shops\.>' to '\$KV\.copy\.>'/,
    ],
    ['that are copied and renamed', info(OWN, [of('KV_shops', false, ['$KV.shops.>', '$KV.copy.>'])]), '$KV.copy.>'],
    [
      'that are copied and renamed, all of them',
      info(OWN, [of('KV_shops', false, ['', '$KV.copy.eu.>'])]),
      '$KV.copy.>',
    ],
    [
      'that are copied from two, of which one renames them',
      info(OWN, [of('KV_a', false, ['>', '$KV.copy.>']), of('KV_b', false)]),
      /KV_b/,
    ],
    ['that are copied and renamed to another bucket', info(OWN, [of('KV_a', false, ['>', '$KV.copies.>'])]), /KV_a/],
  ];
  for (const [what, stream, wanted] of cases) {
    test(what, () => {
      const found = rowsOfBucket('copy', stream);
      if (typeof wanted === 'string') assert.deepEqual(found, { subject: wanted });
      else assert.match('mistake' in found ? found.mistake : '', wanted);
    });
  }
});
