/**
 * A look through Protocol Buffers before they are read: how many values they ask for. Two bytes are a message within a
 * message, and that is an object with all the fields of its type, set or not.
 */
import type protobufjs from 'protobufjs';
import { unreadable, VALUES_PER_MESSAGE_MAX } from './format.ts';

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
/** The field of a map entry that holds its value. */
const VALUE_FIELD = 2;
/** Tag and length of a message in which nothing is set. */
const MESSAGE_BYTES_MIN = 2;

/** A type, or the entries of a map: how many fields it has, which of them hold such themselves, and which may be packed numbers. */
interface Shape {
  fields: number;
  readonly within: Map<number, Shape>;
  readonly packed: Set<number>;
}

export class ProtobufScan {
  readonly #shape: Shape;
  /** Fields of the largest type that is in it. */
  readonly #fieldsMax: number;

  constructor(type: protobufjs.Type) {
    const known = new Map<protobufjs.Type, Shape>();
    this.#shape = shapeOf(type, known);
    this.#fieldsMax = Math.max(...Array.from(known.values(), ({ fields }) => fields));
  }

  /** Throws RECORD_UNREADABLE for more than a message may hold. Bytes that are of no message are left to the library. */
  refuseMany(data: Uint8Array): void {
    // Nearly always it is too short for that, whatever is in it.
    if ((data.length / MESSAGE_BYTES_MIN) * (1 + this.#fieldsMax) <= VALUES_PER_MESSAGE_MAX) return;
    const open = [{ shape: this.#shape, end: data.length }];
    let values = 0;
    let at = 0;
    /** The varint that begins at `at`, as a length or a tag; -1: it is none. */
    const varint = () => {
      let value = 0;
      for (let shift = 1; shift < 2 ** 35 && at < data.length; shift *= 128) {
        const byte = data[at++]!;
        value += (byte & 0x7f) * shift;
        if (byte < 0x80) return value;
      }
      return -1;
    };
    while (open.length > 0) {
      const { shape, end } = open[open.length - 1]!;
      if (at >= end) {
        open.pop();
        continue;
      }
      const tag = varint();
      const field = Math.floor(tag / 8);
      const wireType = tag % 8;
      values++;
      if (wireType === BYTES) {
        const length = varint();
        if (tag < 0 || length < 0 || at + length > end) return;
        const within = shape.within.get(field);
        if (within !== undefined) {
          values += within.fields;
          open.push({ shape: within, end: at + length });
        } else {
          if (shape.packed.has(field)) values += length;
          at += length;
        }
      } else if (wireType === VARINT) while (at < end && data[at++]! >= 0x80);
      else if (wireType === FIXED64) at += 8;
      else if (wireType === FIXED32) at += 4;
      // A group, which only types of the first version have, or no message at all.
      else return;
      if (values > VALUES_PER_MESSAGE_MAX) {
        throw unreadable(`the message holds more values than VALUES_PER_MESSAGE_MAX (${VALUES_PER_MESSAGE_MAX})`);
      }
    }
  }
}

function shapeOf(type: protobufjs.Type, known: Map<protobufjs.Type, Shape>): Shape {
  const made = known.get(type);
  if (made !== undefined) return made;
  const shape: Shape = { fields: type.fieldsArray.length, within: new Map(), packed: new Set() };
  known.set(type, shape);
  for (const field of type.fieldsArray) {
    const resolved = field.resolve().resolvedType;
    const within = resolved !== null && 'fieldsArray' in resolved ? shapeOf(resolved, known) : null;
    if (field.map) {
      const inEntry = new Map(within === null ? [] : [[VALUE_FIELD, within]]);
      shape.within.set(field.id, { fields: 2, within: inEntry, packed: new Set() });
    } else if (within !== null) shape.within.set(field.id, within);
    else if (field.repeated) shape.packed.add(field.id);
  }
  return shape;
}
