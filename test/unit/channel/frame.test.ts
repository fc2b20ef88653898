/** The frame on the wire: frozen bytes, since channels outlive the version that wrote them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { Random } from '../../../lib/base/random.ts';
import { AFTER, BEFORE, type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import {
  decodeBroadcast,
  decodeFrame,
  decodeFrameHead,
  encodeBroadcast,
  encodeFrame,
  type Frame,
  isBeyond,
} from '../../../lib/channel/frame.ts';
import { NO_ORIGIN, originOf, SOURCES_MAX, seqOfOrigin, sourceOfOrigin } from '../../../lib/record/origin.ts';
import { pack, unpack } from '../../../lib/record/rows.ts';

const frame: Frame = {
  position: 41,
  row: 2,
  watermarkMs: 1_767_225_600_000,
  clockMs: 5,
  quietMs: 7,
  bootstrapped: true,
  columns: {
    keys: ['a', null],
    timesMs: [1_767_225_600_500, 1_767_225_600_400],
    origins: [originOf(1, 42), originOf(1, 43)],
    ids: ['x', null],
    values: [
      { id: 1, name: 'one' },
      { id: 2, name: 'two' },
    ],
  },
  letters: [
    {
      operator: 'orders',
      code: 'RECORD_INVALID',
      message: 'no',
      bytes: Buffer.from([1, 2]),
      origin: originOf(1, 41),
      index: 3,
      subject: 'in.orders',
    },
  ],
};

const FRAME_HEX =
  '020101670000008c078c06290287000080aa6db779420507018c0289808c028700409faa6db77942849c8c0285810a408c0289808b280101090000008c0290020189c002895b226964222c226e616d65222c226f6e65222c2274776f225d8c018c078989898b02010285410a03895b2261222c2278222c226f7264657273222c225245434f52445f494e56414c4944222c226e6f222c22696e2e6f7264657273225d';
const BROADCAST_HEX = '020101120000008c018c06290287000080aa6db77942050701';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const head = ({ position, row, watermarkMs, clockMs, quietMs, bootstrapped }: Frame) => ({
  position,
  row,
  watermarkMs,
  clockMs,
  quietMs,
  bootstrapped,
});
/** Letters' bytes come back as whatever kind of byte array. */
const plain = (one: Frame): Frame => ({
  ...one,
  letters: one.letters.map(letter => ({ ...letter, bytes: new Uint8Array(letter.bytes) })),
});

describe('a frame', () => {
  test('has the bytes that it has always had', () => {
    assert.equal(hex(encodeFrame(frame)), FRAME_HEX);
    assert.equal(hex(encodeBroadcast(head(frame))), BROADCAST_HEX);
  });

  test('of old bytes is read as what was written', () => {
    assert.deepEqual(plain(decodeFrame(unhex(FRAME_HEX))), plain(frame));
    assert.deepEqual(decodeFrameHead(unhex(FRAME_HEX)), head(frame));
    assert.deepEqual(decodeBroadcast(unhex(BROADCAST_HEX)), head(frame));
  });

  test('comes back as it was, whatever is in it', () => {
    const random = new Random(11);
    for (let round = 0; round < 300; round++) {
      const count = random.int(6);
      const list = <T>(make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
      const some: Frame = {
        position: random.int(2 ** 40),
        row: random.int(9),
        watermarkMs: random.chance(0.2) ? Number.NEGATIVE_INFINITY : random.int(2 ** 41),
        clockMs: random.chance(0.2) ? Number.NEGATIVE_INFINITY : random.int(2 ** 41),
        quietMs: random.chance(0.2) ? Number.POSITIVE_INFINITY : random.int(2 ** 41),
        bootstrapped: random.chance(0.5),
        columns: {
          keys: list(i => (random.chance(0.2) ? null : `k${i}`)),
          timesMs: list(() => random.int(2 ** 41) - 1_000),
          origins: list(() => (random.chance(0.1) ? NO_ORIGIN : originOf(random.int(64), random.int(2 ** 40)))),
          ids: random.chance(0.5) && count > 0 ? list(i => `id${i}`) : null,
          values: list(i => (random.chance(0.3) ? { a: i, b: [random.int(9)] } : random.chance(0.5) ? 'text' : null)),
          ...(count > 0 && random.chance(0.5)
            ? { traces: list(i => (i > 0 && random.chance(0.5) ? null : `t${i}`)) }
            : {}),
          ...(count > 0 && random.chance(0.5)
            ? { changes: list(i => (i === 0 ? DELETE : (random.int(4) as Change))) }
            : {}),
        },
        letters: list(i => ({
          ...frame.letters[0]!,
          index: i,
          bytes: new Uint8Array(random.int(4)),
          ...(random.chance(0.3) ? { bytesTotal: 900 } : {}),
          ...(random.chance(0.3) ? { content: 'part' as const } : {}),
          ...(random.chance(0.3) ? { change: DELETE } : {}),
        })),
      };
      assert.deepEqual(plain(decodeFrame(encodeFrame(some))), some);
    }
  });

  test('of another version or form is refused', () => {
    for (const bytes of [new Uint8Array(), unhex('01' + FRAME_HEX.slice(2)), unhex('02c0'), unhex('0291c0')]) {
      assert.throws(() => decodeFrame(bytes), { code: 'JOURNAL_CORRUPT' });
    }
  });

  test('of inserts alone says nothing of changes, whatever kept them; of others, a byte for each record', () => {
    const of = (changes?: Change[]) =>
      encodeFrame({ ...frame, columns: { ...frame.columns, ...(changes && { changes }) } });
    assert.equal(hex(of([])), FRAME_HEX);
    assert.equal(hex(of([INSERT, INSERT])), FRAME_HEX);
    assert.ok(of([DELETE]).length > FRAME_HEX.length / 2);
    assert.deepEqual(decodeFrame(of([BEFORE])).columns.changes, [BEFORE, INSERT]);
    assert.deepEqual(decodeFrame(of([INSERT, AFTER])).columns.changes, [INSERT, AFTER]);
  });

  test('with changes that are none, or too few, is refused', () => {
    const [version, parts] = [unhex(FRAME_HEX).subarray(0, 1), unpack(unhex(FRAME_HEX).subarray(1)) as unknown[]];
    for (const changes of [[4, 0], [0], [], 'ab', null]) {
      const column = Array.isArray(changes) ? Uint8Array.from(changes) : changes;
      const bytes = Buffer.concat([version, pack([...parts, [null, null, column]])]);
      assert.throws(() => decodeFrame(bytes), { code: 'JOURNAL_CORRUPT' }, String(changes));
    }
  });

  test('is beyond another by its position, then by its row', () => {
    assert.equal(isBeyond({ position: 2, row: 0 }, { position: 1, row: 9 }), true);
    assert.equal(isBeyond({ position: 1, row: 2 }, { position: 1, row: 1 }), true);
    assert.equal(isBeyond({ position: 1, row: 1 }, { position: 1, row: 1 }), false);
    assert.equal(isBeyond({ position: 1, row: 9 }, { position: 2, row: 0 }), false);
  });
});

test('frames that are read share a hidden class: one for each would be garbage that only full collections free', () => {
  setFlagsFromString('--allow-natives-syntax');
  const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (a: object, b: object) => boolean;
  const bytes = [encodeFrame(frame), encodeFrame({ publishedMs: 1_767_225_600_123.5, ...frame })];
  for (const one of bytes) {
    const frames = Array.from({ length: 50 }, () => decodeFrame(one));
    for (let i = 40; i < 50; i++) assert.ok(haveSameMap(frames[i - 1]!, frames[i]!), `frame ${i}`);
  }
});

test('an origin gives back its source and sequence, as far as sequences are exact', () => {
  for (const seq of [1, 2, 63, 64, 2 ** 32, 2 ** 47 - 1]) {
    for (const source of [0, 1, SOURCES_MAX - 1]) {
      const origin = originOf(source, seq);
      assert.ok(Number.isSafeInteger(origin));
      assert.deepEqual([sourceOfOrigin(origin), seqOfOrigin(origin)], [source, seq]);
    }
  }
});
