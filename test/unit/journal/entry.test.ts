/** The journal on the wire: frozen bytes, since a journal outlives the version that wrote it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Commit,
  checksum,
  decodeCommit,
  decodeHand,
  decodeHead,
  encodeCommit,
  encodeHand,
  encodeMessage,
} from '../../../lib/journal/entry.ts';
import { pack } from '../../../lib/record/rows.ts';

const commit: Commit = {
  epoch: 3,
  commit: 4_294_967_301,
  positions: { orders: 70_000, payments: 12 },
  watermarkMs: 1_767_225_600_000,
  dueMs: 1_767_225_601_000,
  delta: new Uint8Array([1, 2, 3]),
  outbox: {
    frames: [{ route: { stage: 'next', input: 'in' }, partition: 2, row: 5, bytes: new Uint8Array([9]) }],
    rows: [
      {
        sink: 'sink',
        kind: 'nats',
        target: 'owned',
        addresses: ['out.a'],
        addressOf: [0, 0],
        bytes: new Uint8Array([123, 125, 91, 93]),
        lengths: [2, 2],
        areLines: false,
        origins: [65, -1],
        changes: new Uint8Array([0, 3]),
        keys: ['k', null],
        timesMs: [1_767_225_600_000, 5],
      },
    ],
  },
  relayedThrough: 4_294_967_300,
  tails: { sink: 17 },
  snapshot: 0,
  isCheckpoint: true,
  counts: { in: 5, out: 4, late: 3, dead: 2, dropped: { filtered: 1 } },
};
const head = {
  kind: 'commit',
  part: 1,
  parts: 2,
  epoch: 3,
  revision: 4,
  assignment: 5,
  commit: commit.commit,
  crcBefore: 0xdeadbeef,
} as const;

const HEAD_HEX = '05010001000200000003000000040000000541f0000000500000deadbeef';
const BODY_HEX =
  '01017d0000008c0a900286701101000c87000080aa6db779428b030102038c038c018c040002058b01098c018c0d8989898c01898c0200008b047b7d5b5d8c020202828c024184ff8b0200038c0289808c0287000080aa6db7794205808c018c02898987000040000000f04190011100870080beaa6db77942838c05050403029001015b226f7264657273222c227061796d656e7473222c2273696e6b222c226e617473222c226f776e6564222c226f75742e61222c226b222c226e657874222c22696e222c2273696e6b222c2266696c7465726564225d';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('a journal message', () => {
  test('has the bytes that it has always had', () => {
    assert.equal(hex(encodeMessage(head, new Uint8Array())), HEAD_HEX);
    assert.equal(hex(encodeMessage(head, Buffer.from([7]))), `${HEAD_HEX}07`);
    assert.equal(hex(encodeCommit(commit)), BODY_HEX);
    assert.equal(checksum(Buffer.from('123456789')), 0xcbf43926);
  });

  test('of old bytes is read as what was written', () => {
    assert.deepEqual(decodeHead(Buffer.from(`${HEAD_HEX}00`, 'hex')), head);
    assert.deepEqual(decodeCommit(head, Buffer.from(BODY_HEX, 'hex')), commit);
  });

  test('says which of the four words it is', () => {
    for (const kind of ['claim', 'commit', 'release', 'hand'] as const) {
      assert.equal(decodeHead(encodeMessage({ ...head, kind }, new Uint8Array())).kind, kind);
    }
  });

  test('says what is in hand, or that nothing is', () => {
    for (const hand of [{ place: 'orders 17 -1', rows: 1, tries: 2 }, { place: '', rows: 8, tries: 1 }, null]) {
      assert.deepEqual(decodeHand(encodeHand(hand)), hand);
    }
    for (const wrong of [pack(7), pack(['orders', 'one', 1]), Buffer.from('c1', 'hex')]) {
      assert.throws(() => decodeHand(wrong), { code: 'JOURNAL_CORRUPT' });
    }
  });

  test('of another version says what to do, however short it is', () => {
    const release = Buffer.alloc(26, 0);
    release[0] = 3;
    assert.throws(() => decodeHead(release), /another version of Millrace.*purge/);
  });

  test('that is cut short, of another version or of an unknown kind is refused', () => {
    for (const text of [HEAD_HEX.slice(2), `01${HEAD_HEX.slice(2)}`, `0504${HEAD_HEX.slice(4)}`, '']) {
      assert.throws(() => decodeHead(Buffer.from(text, 'hex')), { code: 'JOURNAL_CORRUPT' });
    }
  });
});
