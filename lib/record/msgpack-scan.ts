/**
 * A look through MessagePack before it is read: that it is whole, that it is nothing but MessagePack, and how much it asks
 * for. The library reads more than the standard has: references to what was read before, by which a few hundred bytes become
 * more than any memory holds once they are written again, or contain themselves; records, packed texts and types of its own.
 * Of the extensions only timestamps pass, and type 0, by which JavaScript's libraries write undefined.
 */
import { NESTING_READ_MAX, unreadable, VALUES_PER_MESSAGE_MAX } from './format.ts';

/** What is still to come of the lists and maps that are open: no message is looked through within another. */
const open = new Int32Array(NESTING_READ_MAX);

const UNDEFINED = 0;
const TIMESTAMP = 0xff;
/** Bytes that a timestamp may have. */
const TIMESTAMP_LENGTHS: readonly number[] = [4, 8, 12];
/** Bytes of the numbers from 0xca to 0xd3. */
const NUMBER_BYTES: readonly number[] = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8];

export class MsgpackScan {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #values = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  /** All has been looked through. */
  get isDone(): boolean {
    return this.#at === this.#data.length;
  }

  /** Passes over the next value; returns where it ends. Throws RECORD_UNREADABLE for what is none, or too much. */
  next(): number {
    const data = this.#data;
    let depth = 0;
    let left = 1;
    for (;;) {
      while (left === 0) {
        if (depth === 0) return this.#at;
        left = open[--depth]!;
      }
      left--;
      if (this.#at >= data.length) throw cutOff();
      if (++this.#values > VALUES_PER_MESSAGE_MAX) {
        throw unreadable(`the MessagePack holds more values than VALUES_PER_MESSAGE_MAX (${VALUES_PER_MESSAGE_MAX})`);
      }
      const tag = data[this.#at++]!;
      if (tag < 0x80 || tag >= 0xe0) continue;
      const within = this.#within(tag);
      if (within === 0) continue;
      // Each takes at least a byte, so what claims more is a lie.
      if (within > data.length - this.#at) throw cutOff();
      if (depth === NESTING_READ_MAX)
        throw unreadable(`the MessagePack nests deeper than NESTING_READ_MAX (${NESTING_READ_MAX})`);
      open[depth++] = left;
      left = within;
    }
  }

  /** Passes over what stands behind a tag; returns how many values follow that are within it. */
  #within(tag: number): number {
    if (tag < 0x90) return (tag & 0x0f) * 2;
    if (tag < 0xa0) return tag & 0x0f;
    if (tag < 0xc0) return this.#skip(tag & 0x1f);
    if (tag >= 0xca && tag <= 0xd3) return this.#skip(NUMBER_BYTES[tag - 0xca]!);
    switch (tag) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return 0;
      case 0xc4:
      case 0xd9:
        return this.#skip(this.#length(1));
      case 0xc5:
      case 0xda:
        return this.#skip(this.#length(2));
      case 0xc6:
      case 0xdb:
        return this.#skip(this.#length(4));
      case 0xc7:
        return this.#extension(this.#length(1));
      case 0xc8:
        return this.#extension(this.#length(2));
      case 0xc9:
        return this.#extension(this.#length(4));
      case 0xdc:
        return this.#length(2);
      case 0xdd:
        return this.#length(4);
      case 0xde:
        return this.#length(2) * 2;
      case 0xdf:
        return this.#length(4) * 2;
      case 0xc1:
        throw unreadable('not MessagePack: the byte 0xc1, which it never uses');
    }
    // 0xd4…0xd8, of 1, 2, 4, 8 and 16 bytes.
    return this.#extension(1 << (tag - 0xd4));
  }

  #skip(bytes: number): 0 {
    if (bytes > this.#data.length - this.#at) throw cutOff();
    this.#at += bytes;
    return 0;
  }

  #length(bytes: 1 | 2 | 4): number {
    const at = this.#at;
    this.#skip(bytes);
    return bytes === 1 ? this.#data[at]! : bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #extension(bytes: number): 0 {
    const at = this.#at;
    this.#skip(1);
    const type = this.#data[at]!;
    if (!(type === UNDEFINED || (type === TIMESTAMP && TIMESTAMP_LENGTHS.includes(bytes)))) {
      const what = type === TIMESTAMP ? `a timestamp of ${bytes} bytes` : `an extension of type ${type}`;
      throw unreadable(`the MessagePack holds ${what}: of extensions only timestamps are read`);
    }
    return this.#skip(bytes);
  }
}

function cutOff(): Error {
  return unreadable('not MessagePack: it is cut off');
}
