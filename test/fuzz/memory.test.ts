/**
 * A small message cannot ask for much memory, whatever it claims of itself: lengths are checked before anything is
 * allocated for them. In a file, and so a process, of its own, whose peak is what is looked at.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import protobufjs from 'protobufjs';
import { isMillraceError } from '../../lib/base/errors.ts';
import { decodeFrame } from '../../lib/channel/frame.ts';
import { cloudEvents } from '../../lib/record/cloudevents.ts';
import { DECOMPRESSED_BYTES_MAX, decompressed } from '../../lib/record/encoding.ts';
import { json, ndjson } from '../../lib/record/json.ts';
import { msgpack } from '../../lib/record/msgpack.ts';
import { protobuf } from '../../lib/record/protobuf.ts';
import { unpack } from '../../lib/record/rows.ts';

const GROWTH_BYTES_MAX = 100 << 20;
const MESSAGE_BYTES = 1_024;
const peakBytes = () => process.resourceUsage().maxRSS * 1_024;

const { root } = protobufjs.parse('syntax = "proto3"; message T { repeated int32 n = 1; bytes b = 2; string s = 3; }');
const decoders = [json(), ndjson(), msgpack(), msgpack({ many: true }), cloudEvents(), protobuf({ root, type: 'T' })];

/** A kilobyte of one pattern, over and over. */
const filled = (hex: string) => Buffer.alloc(MESSAGE_BYTES, Buffer.from(hex, 'hex'));

/** Heads of lists, maps, texts and bytes that claim a lot, in each format. */
const CLAIMS = [
  ...['dc', 'dd', 'de', 'df', 'd9', 'da', 'db', 'c4', 'c5', 'c6', 'c7', 'c8', 'c9'].flatMap(tag =>
    ['ffffffff', '7fffffff', '00ffffff', '01000000', 'ffff', 'ff'].map(length => tag + length),
  ),
  ...['c9ffffffff74', 'd86207ffffff', '9f', 'df000000019f', '8f'],
  ...['0affffffff0f', '12ffffffff07', '1affffff7f', '0a80808001'],
  ...['5b', '7b2261223a', '0a', '5b5d2c', '22'],
];

test('a kilobyte cannot make a decoder allocate a hundred megabytes', () => {
  const before = peakBytes();
  for (const claim of CLAIMS) {
    for (const decoder of decoders) {
      decoder.decode({ data: filled(claim), headers: null, subject: '' }, [], () => {});
      decoder.decode({ data: filled(`92${claim}`), headers: null, subject: '' }, [], () => {});
    }
  }
  const grown = peakBytes() - before;
  assert.ok(grown < GROWTH_BYTES_MAX, `${Math.round(grown / 2 ** 20)} MiB more`);
});

test('a kilobyte of packed values cannot either, nor can a frame', () => {
  const before = peakBytes();
  for (const tag of ['8b', '8c', '8d', '8e', '8f', '90', '89', 'c0', 'ff']) {
    for (const count of ['ffffffff0f', 'f807', 'e807', '8008', '01', '']) {
      const body = filled(tag + count);
      const head = Buffer.from([1, 1, 0, 4, 0, 0]);
      for (const bytes of [Buffer.concat([head, body]), Buffer.concat([head, body, Buffer.from('["a"]')])]) {
        for (const read of [() => unpack(bytes), () => decodeFrame(Buffer.concat([Buffer.from([1]), bytes]))]) {
          assert.throws(read, error => isMillraceError(error, 'JOURNAL_CORRUPT'));
        }
      }
    }
  }
  const grown = peakBytes() - before;
  assert.ok(grown < GROWTH_BYTES_MAX, `${Math.round(grown / 2 ** 20)} MiB more`);
});

test('a bomb of any size bursts at its limit', () => {
  const zeros = Buffer.alloc(64 << 20);
  const bombs = [
    { encoding: 'gzip', data: gzipSync(zeros) },
    { encoding: 'deflate', data: deflateSync(zeros) },
    { encoding: 'br', data: brotliCompressSync(zeros, { params: { 1: 1 } }) },
  ];
  const before = peakBytes();
  for (const { encoding, data } of bombs) {
    assert.ok(data.length < 1 << 20);
    const message = { data, headers: { 'Content-Encoding': encoding } };
    assert.throws(() => decompressed(message, 64 << 20), {
      code: 'RECORD_UNREADABLE',
      message: /DECOMPRESSED_(BYTES|RATIO)_MAX/,
    });
  }
  const grown = peakBytes() - before;
  assert.ok(grown < GROWTH_BYTES_MAX + 4 * DECOMPRESSED_BYTES_MAX, `${Math.round(grown / 2 ** 20)} MiB more`);
});
