/**
 * Content encodings: a message whose `Content-Encoding` says that its bytes are compressed, as what they were before.
 * Owns the bounds on what a message may grow to, since a few bytes can ask for gigabytes: so many times what they are, and
 * not much more than a message that is not compressed may be.
 */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { messageOf } from '../base/errors.ts';
import { headerOf } from '../port/headers.ts';
import { unreadable } from './format.ts';

/** The most that a message may be once it is decompressed, and … */
export const DECOMPRESSED_BYTES_MAX = 16 << 20;
/** … so many times the broker's `max_payload`. */
export const DECOMPRESSED_PAYLOADS_MAX = 4;
/** … and so many times what it is compressed, if that is more than it might be without: `max_payload`. */
export const DECOMPRESSED_RATIO_MAX = 100;
/** Encodings of one message. Each is work, and a name of four letters. */
const ENCODINGS_MAX = 4;

type Decompress = (data: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** By the names of RFC 9110. */
const DECOMPRESS = new Map<string, Decompress>([
  ['gzip', gunzipSync],
  ['x-gzip', gunzipSync],
  ['deflate', inflateSync],
  ['br', brotliDecompressSync],
]);

/**
 * The message's bytes without their content encoding: its own where it names none.
 * @param payloadBytesMax the broker's `max_payload`
 * @throws MillraceError RECORD_UNREADABLE for an encoding that is not known, broken bytes, and what is beyond the limits.
 */
export function decompressed(
  message: {
    readonly data: Uint8Array;
    readonly headers: Readonly<Record<string, string>> | null;
  },
  payloadBytesMax: number,
): Uint8Array {
  const encodings = message.headers === null ? null : headerOf(message.headers, 'content-encoding');
  if (encodings === null) return message.data;
  const limit = limitOf(message.data.length, payloadBytesMax);
  let { data } = message;
  const names = encodings.toLowerCase().split(',', ENCODINGS_MAX + 1);
  if (names.length > ENCODINGS_MAX) throw unreadable(`the Content-Encoding names more than ${ENCODINGS_MAX} encodings`);
  // In the order in which they were applied; more than one is rare, and what comes of all is bounded by what was sent.
  for (const name of names.reverse()) {
    const encoding = name.trim();
    if (encoding === '' || encoding === 'identity') continue;
    const decompress = DECOMPRESS.get(encoding);
    if (decompress === undefined) {
      throw unreadable(
        `the Content-Encoding ${JSON.stringify(encoding.slice(0, 40))} is not known: gzip, deflate or br`,
      );
    }
    try {
      data = decompress(data, { maxOutputLength: limit.bytes });
    } catch (cause) {
      const tooLarge = cause instanceof RangeError;
      const why = tooLarge ? `beyond ${limit.name} (${limit.bytes} bytes)` : messageOf(cause);
      throw unreadable(`the message cannot be decompressed (${encoding}): ${why}`, cause);
    }
  }
  return data;
}

/** What a message of `length` may become, and the name of the limit that says so. */
function limitOf(length: number, payloadBytesMax: number): { bytes: number; name: string } {
  const bounds = [
    { bytes: DECOMPRESSED_BYTES_MAX, name: 'DECOMPRESSED_BYTES_MAX' },
    {
      bytes: DECOMPRESSED_PAYLOADS_MAX * payloadBytesMax,
      name: `DECOMPRESSED_PAYLOADS_MAX, ${DECOMPRESSED_PAYLOADS_MAX} × max_payload`,
    },
    {
      bytes: Math.max(payloadBytesMax, DECOMPRESSED_RATIO_MAX * length),
      name: `DECOMPRESSED_RATIO_MAX, ${DECOMPRESSED_RATIO_MAX} times what was sent`,
    },
  ];
  return bounds.reduce((least, bound) => (bound.bytes < least.bytes ? bound : least));
}
