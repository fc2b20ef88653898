/**
 * Content encodings: a message whose `Content-Encoding` says that its bytes are compressed, as what they were before.
 * Owns the bound on what a message may grow to: a few bytes can ask for gigabytes.
 */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { messageOf } from '../base/errors.ts';
import { headerOf } from '../port/headers.ts';
import { unreadable } from './format.ts';

/** The most that a message may be once it is decompressed. */
export const DECOMPRESSED_BYTES_MAX = 16 << 20;

const LIMIT = { maxOutputLength: DECOMPRESSED_BYTES_MAX };

/** By the names of RFC 9110. */
const DECOMPRESS = new Map<string, (data: Uint8Array) => Uint8Array>([
  ['gzip', data => gunzipSync(data, LIMIT)],
  ['x-gzip', data => gunzipSync(data, LIMIT)],
  ['deflate', data => inflateSync(data, LIMIT)],
  ['br', data => brotliDecompressSync(data, LIMIT)],
]);

/**
 * The message's bytes without their content encoding: its own where it names none.
 * @throws MillraceError RECORD_UNREADABLE for an encoding that is not known, broken bytes, and what is beyond the limit.
 */
export function decompressed(message: {
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | null;
}): Uint8Array {
  const encodings = message.headers === null ? null : headerOf(message.headers, 'content-encoding');
  if (encodings === null) return message.data;
  let { data } = message;
  // In the order in which they were applied; more than one is rare, and each is bounded.
  for (const name of encodings.toLowerCase().split(',').reverse()) {
    const encoding = name.trim();
    if (encoding === '' || encoding === 'identity') continue;
    const decompress = DECOMPRESS.get(encoding);
    if (decompress === undefined) {
      throw unreadable(
        `the Content-Encoding ${JSON.stringify(encoding.slice(0, 40))} is not known: gzip, deflate or br`,
      );
    }
    try {
      data = decompress(data);
    } catch (cause) {
      const tooLarge = cause instanceof RangeError;
      const why = tooLarge ? `beyond DECOMPRESSED_BYTES_MAX (${DECOMPRESSED_BYTES_MAX} bytes)` : messageOf(cause);
      throw unreadable(`the message cannot be decompressed (${encoding}): ${why}`, cause);
    }
  }
  return data;
}
