/**
 * MessagePack, one value a message or many one after the other, through `msgpackr`.
 *
 * Integers beyond 2^53 become bigints; binary becomes a Uint8Array; maps become objects, with `__proto__` renamed to
 * `__proto_`; timestamps become Dates; text that is not UTF-8 gets replacement characters.
 */
import { C1, type Options, Unpackr } from 'msgpackr';
import { checkOptions } from '../base/given.ts';
import { type Decoder, RECORDS_PER_MESSAGE_MAX, unreadable, unreadableCause } from './format.ts';

/** `auto`, a number where it is exact and else a bigint, is documented but missing from the library's types. */
const INT64_AUTO = 'auto' as 'number';
const OPTIONS: Options = { useRecords: false, copyBuffers: true, int64AsType: INT64_AUTO };

/** @param options `many`: values follow one another (`application/x-msgpack-stream`). */
export function msgpack(options: { many?: boolean } = {}): Decoder {
  checkOptions('msgpack', options, ['many']);
  const unpackr = new Unpackr(OPTIONS);
  return options.many ? many(unpackr) : one(unpackr);
}

function one(unpackr: Unpackr): Decoder {
  return {
    name: 'msgpack',
    decode({ data }, out, report) {
      try {
        const value: unknown = unpackr.unpack(data);
        refuseUnused(data, value);
        out.push(value);
      } catch (error) {
        report({ index: 0, bytes: data, cause: unreadableCause('not MessagePack', error) });
      }
    },
  };
}

function many(unpackr: Unpackr): Decoder {
  return {
    name: 'msgpack-many',
    /** What follows a value that cannot be read has no beginning any more: it is one unreadable part. */
    decode({ data }, out, report) {
      if (data.length === 0) return;
      const before = out.length;
      let end = 0;
      try {
        unpackr.unpackMultiple(data, (value: unknown, _start, valueEnd) => {
          refuseUnused(data, value);
          if (out.length - before === RECORDS_PER_MESSAGE_MAX) {
            throw unreadable(`there are more values than RECORDS_PER_MESSAGE_MAX (${RECORDS_PER_MESSAGE_MAX})`);
          }
          out.push(value);
          end = valueEnd ?? end;
        });
      } catch (error) {
        if (out.length - before === RECORDS_PER_MESSAGE_MAX) {
          out.length = before;
          end = 0;
        }
        const cause = unreadableCause('not MessagePack', error);
        report({ index: out.length - before, bytes: data.subarray(end), cause });
      }
    },
    parts({ data }) {
      const found: Uint8Array[] = [];
      try {
        unpackr.unpackMultiple(data, (value: unknown, start, end) => {
          refuseUnused(data, value);
          found.push(data.subarray(start, end));
        });
      } catch {
        // The unreadable end was reported when the message was decoded; what came before it has been seen.
      }
      return found;
    },
  };
}

/** The byte that MessagePack never uses; the library reads a value of its own from it, however deep inside. */
const UNUSED = 0xc1;

function refuseUnused(data: Uint8Array, value: unknown): void {
  if (data.includes(UNUSED) && holdsC1(value)) throw unreadable('not MessagePack: the byte 0xc1');
}

function holdsC1(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return value === C1 || Object.values(value).some(holdsC1);
}
