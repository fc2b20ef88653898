/** Content encodings: what is decompressed, what is refused, and that a small message cannot ask for much memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import {
  DECOMPRESSED_BYTES_MAX,
  DECOMPRESSED_PAYLOADS_MAX,
  DECOMPRESSED_RATIO_MAX,
  decompressed,
} from '../../../lib/record/encoding.ts';

const text = '{"name":"Zoë"}';
const plain = Buffer.from(text);
const unpacked = (message: Parameters<typeof decompressed>[0]) => decompressed(message, 64 << 20);
const with_ = (encoding: string, data: Uint8Array) => ({ data, headers: { 'content-ENCODING': encoding } });

describe('a message with a Content-Encoding', () => {
  test('is what it was before it was compressed, by gzip, deflate and br, one after the other too', () => {
    for (const [encoding, data] of [
      ['gzip', gzipSync(plain)],
      ['X-GZIP', gzipSync(plain)],
      ['deflate', deflateSync(plain)],
      ['br', brotliCompressSync(plain)],
      [' deflate , gzip', gzipSync(deflateSync(plain))],
      ['identity', plain],
      ['', plain],
    ] as const) {
      assert.equal(Buffer.from(unpacked(with_(encoding, data))).toString(), text, encoding);
    }
  });

  test('is itself where none is named', () => {
    assert.equal(unpacked({ data: plain, headers: null }), plain);
    assert.equal(unpacked({ data: plain, headers: { 'Content-Type': 'application/json' } }), plain);
  });

  test('is unreadable where the encoding is not known or the bytes are broken', () => {
    assert.throws(() => unpacked(with_('zstd', plain)), {
      code: 'RECORD_UNREADABLE',
      message: /"zstd" is not known: gzip/,
    });
    assert.throws(() => unpacked(with_('x'.repeat(9_000), plain)), {
      code: 'RECORD_UNREADABLE',
      message: /^.{1,120}$/,
    });
    const whole = gzipSync(plain);
    for (const broken of [plain, whole.subarray(0, -4), whole.subarray(5), Buffer.alloc(0)]) {
      for (const encoding of ['gzip', 'deflate', 'br']) {
        assert.throws(() => unpacked(with_(encoding, broken)), { code: 'RECORD_UNREADABLE' }, encoding);
      }
    }
  });

  test('may grow to its limit and no further', () => {
    const zeros = (length: number) => Buffer.alloc(length);
    const most = unpacked(with_('gzip', gzipSync(zeros(DECOMPRESSED_BYTES_MAX))));
    assert.equal(most.length, DECOMPRESSED_BYTES_MAX);
    for (const [encoding, compress] of [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
    ] as const) {
      const bomb = compress(zeros(DECOMPRESSED_BYTES_MAX + 1));
      assert.ok(bomb.length < 20_000);
      assert.throws(() => unpacked(with_(encoding, bomb)), {
        code: 'RECORD_UNREADABLE',
        message: /beyond DECOMPRESSED_BYTES_MAX/,
      });
      const twice = with_(`${encoding}, gzip`, gzipSync(bomb));
      assert.throws(() => unpacked(twice), { code: 'RECORD_UNREADABLE' });
    }
  });

  test('may grow by a ratio, or to what it might be without, and to a few times that', () => {
    let seed = 1;
    const noise = Buffer.from(Array.from({ length: 8_000 }, () => (seed = (seed * 48_271) % 0x7fffffff) >> 8));
    const payload = 64 << 10;
    const grown = (length: number) => {
      const data = gzipSync(Buffer.concat([noise, Buffer.alloc(length - noise.length)]), { level: 9 });
      return { length: data.length, of: () => decompressed(with_('gzip', data), payload).length };
    };
    assert.equal(grown(payload).of(), payload);
    const dense = grown(payload + 1);
    assert.ok(dense.length * DECOMPRESSED_RATIO_MAX > payload, 'it is not the ratio');
    assert.equal(dense.of(), payload + 1);
    assert.throws(grown(DECOMPRESSED_PAYLOADS_MAX * payload + 1).of, /DECOMPRESSED_PAYLOADS_MAX, 4 × max_payload/);
    const zeros = (length: number) => with_('br', brotliCompressSync(Buffer.alloc(length)));
    assert.equal(decompressed(zeros(payload), payload).length, payload);
    assert.throws(() => decompressed(zeros(payload + 1), payload), /DECOMPRESSED_RATIO_MAX, 100 times what was sent/);
  });

  test('names a few encodings at most: each is work', () => {
    const wrap = (times: number) => {
      let data: Uint8Array = plain;
      for (let i = 0; i < times; i++) data = gzipSync(data);
      return with_(Array.from({ length: times }, () => 'gzip').join(), data);
    };
    assert.equal(Buffer.from(unpacked(wrap(4))).toString(), text);
    assert.throws(() => unpacked(wrap(5)), { code: 'RECORD_UNREADABLE', message: /names more than 4 encodings/ });
  });
});
