/** Content encodings: what is decompressed, what is refused, and that a small message cannot ask for much memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { DECOMPRESSED_BYTES_MAX, decompressed } from '../../../lib/record/encoding.ts';

const text = '{"name":"Zoë"}';
const plain = Buffer.from(text);
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
      assert.equal(Buffer.from(decompressed(with_(encoding, data))).toString(), text, encoding);
    }
  });

  test('is itself where none is named', () => {
    assert.equal(decompressed({ data: plain, headers: null }), plain);
    assert.equal(decompressed({ data: plain, headers: { 'Content-Type': 'application/json' } }), plain);
  });

  test('is unreadable where the encoding is not known or the bytes are broken', () => {
    assert.throws(() => decompressed(with_('zstd', plain)), {
      code: 'RECORD_UNREADABLE',
      message: /"zstd" is not known: gzip/,
    });
    assert.throws(() => decompressed(with_('x'.repeat(9_000), plain)), {
      code: 'RECORD_UNREADABLE',
      message: /^.{1,120}$/,
    });
    const whole = gzipSync(plain);
    for (const broken of [plain, whole.subarray(0, -4), whole.subarray(5), Buffer.alloc(0)]) {
      for (const encoding of ['gzip', 'deflate', 'br']) {
        assert.throws(() => decompressed(with_(encoding, broken)), { code: 'RECORD_UNREADABLE' }, encoding);
      }
    }
  });

  test('may grow to its limit and no further', () => {
    const zeros = (length: number) => Buffer.alloc(length);
    const most = decompressed(with_('gzip', gzipSync(zeros(DECOMPRESSED_BYTES_MAX))));
    assert.equal(most.length, DECOMPRESSED_BYTES_MAX);
    for (const [encoding, compress] of [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
    ] as const) {
      const bomb = compress(zeros(DECOMPRESSED_BYTES_MAX + 1));
      assert.ok(bomb.length < 20_000);
      assert.throws(() => decompressed(with_(encoding, bomb)), {
        code: 'RECORD_UNREADABLE',
        message: /beyond DECOMPRESSED_BYTES_MAX/,
      });
      const twice = with_(`${encoding}, gzip`, gzipSync(bomb));
      assert.throws(() => decompressed(twice), { code: 'RECORD_UNREADABLE' });
    }
  });
});
