/** The log of a checkpoint: all its writes for the store, what is news for the snapshot, and little memory for either. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { StoreWrite } from '../../../lib/port/store.ts';
import { batchesOf } from '../../../lib/state/checkpoint.ts';
import { bucketPrefix, entryKey, prefixEnd } from '../../../lib/state/layout.ts';
import { decodeSegment, SEGMENT_BYTES_MAX } from '../../../lib/state/segment.ts';
import { WriteLog } from '../../../lib/state/write-log.ts';
import { held } from './held.ts';
import { made } from './made.ts';

function put(key: string, value: Uint8Array): StoreWrite {
  return { type: 'put', key: entryKey(bucketPrefix('t', 0), key), value };
}

const change = fc.record({
  kind: fc.constantFrom('put', 'put', 'cached', 'del', 'clear'),
  key: fc.constantFrom('a', 'ab', 'b', ''),
  // Some so long that they fill a segment together.
  length: fc.constantFrom(0, 3, SEGMENT_BYTES_MAX / 3),
});

function writeOf({ kind, key, length }: { kind: string; key: string; length: number }): StoreWrite {
  const write = put(key, Buffer.alloc(length, kind));
  if (kind === 'del') return { type: 'del', key: write.type === 'put' ? write.key : Buffer.alloc(0) };
  const gte = bucketPrefix('t', key.length);
  return kind === 'clear' ? { type: 'clear', gte, lt: prefixEnd(gte) } : write;
}

describe('the log of a checkpoint', () => {
  test('has all writes for the store and what is news for the snapshot, in order', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), changes => {
        const log = new WriteLog();
        for (const one of changes) log.add(writeOf(one), one.kind !== 'cached');
        log.end();
        assert.equal(log.length, changes.length);
        assert.deepEqual([...log], changes.map(writeOf));
        const segments = made(log.segments());
        const news = changes.filter(one => one.kind !== 'cached');
        assert.deepEqual(segments.flatMap(decodeSegment), news.map(writeOf));
        assert.deepEqual(made(log.segments()), segments, 'and once more, since a blob may have to be written again');
        for (const segment of segments) assert.ok(segment.length <= SEGMENT_BYTES_MAX + 100);
      }),
    );
  });

  test('keeps an entry in what it takes as bytes, not as objects', () => {
    const { state } = held();
    const ids = state.tables('dedupe').numbers('seen');
    const entries = 200_000;
    for (let i = 0; i < entries; i++) ids.set(0, (i * 2_654_435_761).toString(16).padStart(16, '0'), i + 0.5);
    state.takeDelta();
    const before = process.memoryUsage();
    while (state.prepareCheckpoint(1000));
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    assert.ok(arrayBuffers - before.arrayBuffers < 200 * entries, `${arrayBuffers - before.arrayBuffers} bytes beside`);
    assert.ok(heapUsed - before.heapUsed < 200 * entries, `${heapUsed - before.heapUsed} bytes on the heap`);
    let bytes = 0;
    for (const segment of made(state.checkpoint().segments())) {
      assert.equal(segment.buffer.byteLength, segment.length, 'no more room than bytes');
      bytes += segment.length;
    }
    assert.ok(bytes < 40 * entries, `${bytes} bytes`);
  });
});

describe('batches for the store', () => {
  test('are all the writes in order, and bounded in number and bytes', () => {
    const small = Array.from({ length: 10_000 }, (_, i) => put(`s${i}`, Buffer.alloc(9)));
    const large = Array.from({ length: 10 }, (_, i) => put(`l${i}`, Buffer.alloc(400_000)));
    const batches = [...batchesOf([...small, ...large])];
    assert.deepEqual(batches.flat(), [...small, ...large]);
    for (const batch of batches) {
      const bytes = batch.reduce((sum, write) => sum + (write.type === 'put' ? write.value.length : 0), 0);
      assert.ok(batch.length <= 4096 && bytes <= (1 << 20) + 400_000, `${batch.length} writes of ${bytes} bytes`);
    }
    assert.deepEqual([...batchesOf([])], []);
  });
});
