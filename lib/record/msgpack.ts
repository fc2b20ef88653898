/**
 * MessagePack, one value a message or many one after the other, through `msgpackr`.
 *
 * Integers beyond 2^53 become bigints; binary becomes a Uint8Array; maps become objects, with `__proto__` renamed to
 * `__proto_`; timestamps become Dates; text that is not UTF-8 gets replacement characters. What is refused before it is read:
 * `msgpack-scan.ts`.
 */
import { type Options, Unpackr } from 'msgpackr';
import { checkOptions } from '../base/given.ts';
import { type Decoder, RECORDS_PER_MESSAGE_MAX, unreadable, unreadableCause } from './format.ts';
import { MsgpackScan } from './msgpack-scan.ts';

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
        const scan = new MsgpackScan(data);
        scan.next();
        if (!scan.isDone) throw unreadable('not MessagePack: more follows behind the value');
        out.push(unpackr.unpack(data));
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
      const before = out.length;
      let end = 0;
      try {
        eachOf(unpackr, data, (value, bytes) => {
          if (out.length - before === RECORDS_PER_MESSAGE_MAX) {
            throw unreadable(`there are more values than RECORDS_PER_MESSAGE_MAX (${RECORDS_PER_MESSAGE_MAX})`);
          }
          out.push(value);
          end += bytes.length;
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
        eachOf(unpackr, data, (_value, bytes) => found.push(bytes));
      } catch {
        // The unreadable end was reported when the message was decoded; what came before it has been seen.
      }
      return found;
    },
  };
}

/** Reads values that follow one another, each with its bytes. Throws at the first that cannot be read. */
function eachOf(unpackr: Unpackr, data: Uint8Array, tell: (value: unknown, bytes: Uint8Array) => void): void {
  const scan = new MsgpackScan(data);
  for (let start = 0; !scan.isDone; ) {
    const end = scan.next();
    const bytes = data.subarray(start, end);
    tell(unpackr.unpack(bytes), bytes);
    start = end;
  }
}
