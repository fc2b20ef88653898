/** Segments, their merging, and when it pays. The bytes here are frozen: snapshots are read by later versions. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isMillraceError } from '../../../lib/base/errors.ts';
import type { StoreWrite } from '../../../lib/port/store.ts';
import { bucketPrefix, entryKey, prefixEnd } from '../../../lib/state/layout.ts';
import { decodeSegment, encodeSegments, SEGMENT_BYTES_MAX } from '../../../lib/state/segment.ts';
import { decodeManifest, encodeManifest, mergeFrom, mergeSegments } from '../../../lib/state/snapshot.ts';
import { GatedStore } from './gated-store.ts';
import { made } from './made.ts';

const isCorrupt = (error: unknown) => isMillraceError(error, 'JOURNAL_CORRUPT');

function put(bucket: number, key: string, value: Uint8Array | string): StoreWrite {
  return { type: 'put', key: entryKey(bucketPrefix('t', bucket), key), value: Buffer.from(value) };
}

function del(bucket: number, key: string): StoreWrite {
  return { type: 'del', key: entryKey(bucketPrefix('t', bucket), key) };
}

function clear(bucket: number): StoreWrite {
  const gte = bucketPrefix('t', bucket);
  return { type: 'clear', gte, lt: prefixEnd(gte) };
}

const write = fc
  .tuple(
    fc.constantFrom('put', 'put', 'put', 'del', 'clear'),
    fc.nat(2),
    fc.constantFrom('a', 'b', 'c', ''),
    fc.string(),
  )
  .map(([type, bucket, key, value]) =>
    type === 'put' ? put(bucket, key, value) : type === 'del' ? del(bucket, key) : clear(bucket),
  );

async function contentOf(segments: readonly Uint8Array[]): Promise<[string, Uint8Array][]> {
  const store = new GatedStore();
  for (const segment of segments) await store.write(decodeSegment(segment));
  return [...store.content].sort();
}

async function merged(segments: readonly Uint8Array[], isWhole: boolean): Promise<Uint8Array[]> {
  const out: Uint8Array[] = [];
  for await (const segment of mergeSegments(segments.toReversed(), { isWhole })) {
    if (segment !== null) out.unshift(segment);
  }
  return out;
}

describe('segments', () => {
  test('they have these bytes', () => {
    const [segment] = encodeSegments([clear(1), put(1, 'key', 'one'), put(1, 'kit', ''), del(-1, 'x')]);
    assert.equal(Buffer.from(segment!).toString('hex'), GOLDEN);
    assert.deepEqual(decodeSegment(Buffer.from(GOLDEN, 'hex')), [
      clear(1),
      put(1, 'key', 'one'),
      put(1, 'kit', ''),
      del(-1, 'x'),
    ]);
  });

  test('nothing needs no segment, and much is split in order', () => {
    assert.deepEqual([...encodeSegments([])], []);
    const writes = Array.from({ length: 300 }, (_, i) => put(0, `k${i}`, Buffer.alloc(50_000, i)));
    writes.push(put(1, 'huge', Buffer.alloc(SEGMENT_BYTES_MAX + 1)), put(1, 'small', ''));
    const segments = made(encodeSegments(writes));
    assert.ok(segments.length >= 5);
    assert.equal(segments.filter(segment => segment.length > SEGMENT_BYTES_MAX).length, 1);
    assert.deepEqual(segments.flatMap(decodeSegment), writes);
  });

  test('a damaged one is refused, wherever the damage is', () => {
    const [segment] = encodeSegments([put(1, 'key', 'value'), del(1, 'other')]);
    for (let at = 0; at < segment!.length; at++) {
      const damaged = Buffer.from(segment!);
      damaged[at]! ^= 1;
      assert.throws(() => decodeSegment(damaged), isCorrupt, `byte ${at}`);
      assert.throws(() => decodeSegment(segment!.subarray(0, at)), isCorrupt, `cut at ${at}`);
    }
  });
});

describe('merging', () => {
  test('merged segments do what the segments did, with each key once', async () => {
    const segments = fc.array(fc.array(write, { minLength: 1 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(segments, segments, async (older, newer) => {
        const [base, tail] = [older, newer].map(all => all.flatMap(writes => made(encodeSegments(writes)))) as [
          Uint8Array[],
          Uint8Array[],
        ];
        const content = await contentOf([...base, ...tail]);
        const whole = await merged([...base, ...tail], true);
        assert.deepEqual(await contentOf(whole), content);
        assert.equal(whole.flatMap(decodeSegment).length, content.length, 'nothing but what is there');
        assert.deepEqual(
          await contentOf([...base, ...(await merged(tail, false))]),
          content,
          'on top of what came before',
        );
      }),
    );
  });

  test('what is large comes out in several, none too long', async () => {
    const writes = Array.from({ length: 200 }, (_, i) => put(0, `k${i}`, Buffer.alloc(60_000, i)));
    const segments = made([...encodeSegments(writes), ...encodeSegments([put(0, 'k3', 'new'), del(0, 'k4')])]);
    const out = await merged(segments, true);
    assert.ok(out.length > 10 && out.every(segment => segment.length <= SEGMENT_BYTES_MAX), `${out.length}`);
    assert.deepEqual(await contentOf(out), await contentOf(segments));
  });

  test('a damaged segment is refused', async () => {
    await assert.rejects(merged([Buffer.from('nothing')], true), isCorrupt);
  });

  test('it pays when later runs outweigh an earlier one', () => {
    const refs = (...runs: number[][]) =>
      runs.flatMap((sizes, run) => sizes.map((bytes, i) => ({ name: `${run}-${i}`, bytes, run })));
    assert.equal(mergeFrom([]), null);
    assert.equal(mergeFrom(refs([100])), null);
    assert.equal(mergeFrom(refs([4, 4, 4])), null, 'one run, however many segments');
    assert.equal(mergeFrom(refs([100], [50])), null);
    assert.equal(mergeFrom(refs([100], [50], [49])), null);
    assert.equal(mergeFrom(refs([100], [50], [50])), 0);
    assert.equal(mergeFrom(refs([60, 60], [5], [3], [2])), 2);
    assert.equal(mergeFrom(refs([60, 60], [50, 50], [10])), null);
    assert.equal(mergeFrom(refs([60, 60], [50, 50], [30], [80])), 0);
  });

  test('a byte is rewritten a logarithmic number of times, and few runs are kept', () => {
    let refs: { name: string; bytes: number; run: number }[] = [];
    let written = 0;
    let runsMax = 0;
    for (let run = 0; run < 1000; run++) {
      refs.push({ name: '', bytes: 1, run });
      const from = mergeFrom(refs);
      if (from !== null) {
        const bytes = refs.slice(from).reduce((sum, ref) => sum + ref.bytes, 0);
        written += bytes;
        refs = [...refs.slice(0, from), { name: '', bytes, run }];
      }
      runsMax = Math.max(runsMax, refs.length);
    }
    assert.ok(written <= 10 * 1000 && runsMax <= 11, `${written} written, ${runsMax} runs`);
  });
});

describe('manifests', () => {
  const manifest = { commitSeq: 7, journalSeq: 1234, segments: [{ name: 's/1', bytes: 10, run: 1 }] };

  test('they are JSON with a version', () => {
    const golden = '{"version":2,"commitSeq":7,"journalSeq":1234,"segments":[{"name":"s/1","bytes":10,"run":1}]}';
    assert.equal(Buffer.from(encodeManifest(manifest)).toString(), golden);
    assert.deepEqual(decodeManifest(Buffer.from(golden)), manifest);
  });

  test('one of another version says what to do', () => {
    const older = Buffer.from(JSON.stringify({ version: 1, ...manifest }));
    assert.throws(() => decodeManifest(older), /another version of Millrace.*purge/);
  });

  test('what is not one is refused', () => {
    const segment = manifest.segments[0];
    for (const wrong of [
      'x',
      'null',
      '{}',
      JSON.stringify({ version: 3, ...manifest }),
      JSON.stringify({ version: 2, ...manifest, commitSeq: '7' }),
      JSON.stringify({ version: 2, ...manifest, segments: [{ ...segment, name: 1 }] }),
      JSON.stringify({ version: 2, ...manifest, segments: [null] }),
    ]) {
      assert.throws(() => decodeManifest(Buffer.from(wrong)), isCorrupt, wrong);
    }
  });
});

const GOLDEN = '02c150038403000a74008000000000000001010a036b6579036f6e65010b026974000202097fffffffffffffff78';
