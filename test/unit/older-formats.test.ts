/**
 * What 0.1.0 has written is refused, with what to do about it, and never read as something else: there, a key's partition was
 * another one. The bytes are its own, as its tests had them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../lib/base/clock.ts';
import { decodeBroadcast, decodeFrame, decodeFrameHead } from '../../lib/channel/frame.ts';
import { Specs } from '../../lib/cluster/specs.ts';
import { decodeHead } from '../../lib/journal/entry.ts';
import { MemoryBucket, MemoryRegistry } from '../../lib/memory/registry.ts';
import { decodeSegment } from '../../lib/state/segment.ts';
import { decodeManifest } from '../../lib/state/snapshot.ts';
import { incompatibilities } from '../../lib/topology/summary.ts';

const COMMIT =
  '0201000100020000000341f0000000500000deadbeef0101540000008c07900286701101000c87000080aa6db779428b030102038c028c018c040002058b01098c018c08898c01898c0200008b047b7d5b5d8c020202828c024184ff8c02900189900087000040000000f041900111005b226f7264657273222c227061796d656e7473222c2273696e6b222c226f75742e61222c226e616d65222c2276616c7565222c2273696e6b225d';
const FRAME =
  '010101650000008c078c04290287000080aa6db77942028c0289808c028700409faa6db77942849c8c0285810a408c0289808b280101090000008c0290020189c002895b226964222c226e616d65222c226f6e65222c2274776f225d8c018c078989898b02010285410a03895b2261222c2278222c226f7264657273222c225245434f52445f494e56414c4944222c226e6f222c22696e2e6f7264657273225d';
const BROADCAST = '010101100000008c018c04290287000080aa6db7794202';
const SEGMENT = '01c150038403000a74008000000000000001010a036b6579036f6e65010b026974000202097fffffffffffffff78';
const MANIFEST = '{"version":1,"commitSeq":7,"journalSeq":1234,"segments":[{"name":"s/1","bytes":10,"run":1}]}';
const SPEC = {
  ...{ name: 'p', revision: 1, bundle: 'b', file: 'p.ts', desired: 'running', purge: false, remains: null },
  ...{ fingerprint: 'f', summary: { version: 1, pipeline: 'p' }, text: '', deployedAtMs: 0 },
};

const unhex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

describe('of 0.1.0', () => {
  const says = { code: 'JOURNAL_CORRUPT', message: /another version of Millrace|this version knows.*Run the version/ };
  const refuses = (what: string, read: () => unknown) =>
    test(`${what} is refused`, () => {
      assert.throws(read, says);
      assert.throws(read, { message: /delete the pipeline with --purge and deploy it again/ });
    });
  refuses('a commit', () => decodeHead(unhex(COMMIT)));
  refuses('a frame', () => decodeFrame(unhex(FRAME)));
  refuses("a frame's head", () => decodeFrameHead(unhex(FRAME)));
  refuses('a broadcast', () => decodeBroadcast(unhex(BROADCAST)));
  refuses('a segment', () => decodeSegment(unhex(SEGMENT)));
  refuses('a manifest', () => decodeManifest(Buffer.from(MANIFEST)));

  test('a spec is refused', async () => {
    const registry = new MemoryRegistry(new MemoryBucket(systemClock));
    await registry.put('pipelines.p', Buffer.from(JSON.stringify(SPEC)), { expect: 0 });
    const specs = new Specs(registry);
    await assert.rejects(specs.get('p'), {
      code: 'PLAN_INCOMPATIBLE',
      message: /another version of Millrace.*delete the key pipelines\.p.*deploy it again, or under another name/,
    });
  });

  test('a plan is one that nothing can follow', () => {
    const [reason] = incompatibilities(SPEC.summary, SPEC.summary);
    assert.match(reason!, /another version.*purge and deploy it again/);
  });
});
