/** Writes values as bytes in the layout of `rows-layout.ts`. Equal values give equal bytes, whatever was written before. */
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { INTEGER_DIGITS_MAX } from './integers.ts';
import * as T from './rows-layout.ts';

const BIGINT_END = 10n ** BigInt(INTEGER_DIGITS_MAX);

/** The order of an object's names, as seen in the value being written. */
interface Shape {
  readonly names: readonly string[];
  readonly id: number;
  /** The shape that followed last time: rows alternate between few shapes in few ways, so this is nearly always it. */
  next: Shape | null;
}

/** Scratch beyond this is given back after the call that needed it. */
const SCRATCH_KEPT_BYTES = 1 << 20;

export class RowWriter {
  #bytes = Buffer.allocUnsafeSlow(1 << 14);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #strings: string[] = [];
  #shapes: Shape[] = [];
  #last: Shape | null = null;
  #depth = 0;
  #depthMax = T.NESTING_MAX;
  /** Where in the value the writer is: names and indexes by depth. Read only to say what could not be written. */
  readonly #path: (string | number)[] = [];

  /** @throws MillraceError RECORD_UNWRITABLE naming the field, whatever a getter of the value throws. */
  pack(value: unknown, depthMax = T.NESTING_MAX): Uint8Array {
    try {
      this.#depthMax = depthMax;
      this.#at = T.HEADER_BYTES;
      this.#write(value);
      return this.#finish();
    } catch (cause) {
      if (isMillraceError(cause, 'RECORD_UNWRITABLE')) throw cause;
      throw new MillraceError('RECORD_UNWRITABLE', `the value cannot be read: ${messageOf(cause)}`, { cause });
    } finally {
      this.#strings = [];
      this.#shapes = [];
      this.#last = null;
      this.#depth = 0;
      if (this.#bytes.length > SCRATCH_KEPT_BYTES) this.#resize(1 << 14);
    }
  }

  #finish(): Uint8Array {
    const bodyEnd = this.#at;
    let isAscii = true;
    let textBytes = 0;
    if (this.#strings.length > 0) {
      const text = JSON.stringify(this.#strings);
      // UTF-8 takes at most three bytes for a UTF-16 unit.
      this.#reserve(text.length * 3);
      textBytes = this.#bytes.write(text, bodyEnd, 'utf8');
      isAscii = textBytes === text.length;
    }
    this.#bytes[0] = T.VERSION;
    this.#bytes[1] = isAscii ? 1 : 0;
    this.#view.setUint32(2, bodyEnd - T.HEADER_BYTES, true);
    const packed = Buffer.allocUnsafe(bodyEnd + textBytes);
    this.#bytes.copy(packed, 0, 0, bodyEnd + textBytes);
    return packed;
  }

  #write(value: unknown): void {
    if (this.#at + 16 > this.#bytes.length) this.#reserve(16);
    switch (typeof value) {
      case 'number':
        this.#number(value);
        return;
      case 'string':
        this.#strings.push(value);
        this.#bytes[this.#at++] = T.STRING;
        return;
      case 'boolean':
        this.#bytes[this.#at++] = value ? T.TRUE : T.FALSE;
        return;
      case 'undefined':
        this.#bytes[this.#at++] = T.UNDEFINED;
        return;
      case 'object':
        if (value === null) this.#bytes[this.#at++] = T.NULL;
        else this.#nested(value);
        return;
      case 'bigint':
        this.#bigint(value);
        return;
    }
    throw this.#unwritable(`a ${typeof value}`);
  }

  #number(value: number): void {
    const at = this.#at;
    if ((value | 0) !== value || (value === 0 && Object.is(value, -0))) {
      this.#bytes[at] = T.FLOAT64;
      this.#view.setFloat64(at + 1, value, true);
      this.#at = at + 9;
    } else if (value >= 0 && value < 0x80) {
      this.#bytes[at] = value;
      this.#at = at + 1;
    } else if (value >= -0x80 && value < 0x80) {
      this.#bytes[at] = T.INT8;
      this.#view.setInt8(at + 1, value);
      this.#at = at + 2;
    } else if (value >= -0x8000 && value < 0x8000) {
      this.#bytes[at] = T.INT16;
      this.#view.setInt16(at + 1, value, true);
      this.#at = at + 3;
    } else {
      this.#bytes[at] = T.INT32;
      this.#view.setInt32(at + 1, value, true);
      this.#at = at + 5;
    }
  }

  #bigint(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      this.#bytes[this.#at] = T.BIGINT64;
      this.#view.setBigInt64(this.#at + 1, value, true);
      this.#at += 9;
      return;
    }
    if (value >= BIGINT_END || value <= -BIGINT_END) {
      throw this.#unwritable(`a bigint of more than ${INTEGER_DIGITS_MAX} digits`);
    }
    this.#strings.push(String(value));
    this.#bytes[this.#at++] = T.BIGINT;
  }

  #nested(value: object): void {
    if (this.#depth === this.#depthMax) {
      throw this.#unwritable(`nested deeper than ${this.#depthMax}, or contains itself`);
    }
    this.#depth++;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) this.#object(value as Record<string, unknown>);
    else if (Array.isArray(value)) this.#list(T.ARRAY, value);
    else if (value instanceof Date) this.#date(value);
    else if (value instanceof Uint8Array) this.#raw(value);
    else if (value instanceof Map) this.#map(value);
    else if (value instanceof Set) this.#list(T.SET, [...value]);
    else if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'hasOwnProperty')) {
      // A plain object of another realm (node:vm), whose Object is not ours.
      this.#object(value as Record<string, unknown>);
    } else {
      this.#depth--;
      throw this.#unwritable(`an instance of ${value.constructor?.name ?? 'a class'}`);
    }
    this.#depth--;
  }

  #list(tag: number, values: readonly unknown[]): void {
    const depth = this.#depth - 1;
    this.#bytes[this.#at++] = tag;
    this.#count(values.length);
    for (let i = 0; i < values.length; i++) this.#member(values[i], depth, i);
  }

  /** A value at `depth` of the path, which only what can be refused needs. */
  #member(value: unknown, depth: number, step: string | number): void {
    if (typeof value === 'number') {
      if (this.#at + 16 > this.#bytes.length) this.#reserve(16);
      this.#number(value);
      return;
    }
    if (typeof value !== 'string') this.#path[depth] = step;
    this.#write(value);
  }

  #map(map: ReadonlyMap<unknown, unknown>): void {
    const depth = this.#depth - 1;
    this.#bytes[this.#at++] = T.MAP;
    this.#count(map.size);
    let index = 0;
    for (const [key, value] of map) {
      this.#path[depth] = index++;
      this.#write(key);
      this.#write(value);
    }
  }

  #object(value: Record<string, unknown>): void {
    if (this.#isFlatAsExpected(value)) return;
    const names = Object.keys(value);
    const shape = this.#shapeOf(names);
    if (shape === null) {
      this.#named(T.DICTIONARY, names);
    } else if (shape.id === this.#shapes.length) {
      this.#shapes.push(shape);
      this.#named(T.NEW_SHAPE, names);
    } else {
      this.#bytes[this.#at++] = T.SHAPE_0 + shape.id;
    }
    const depth = this.#depth - 1;
    for (let i = 0; i < names.length; i++) this.#member(value[names[i]!], depth, names[i]!);
  }

  /**
   * Writes the object if it has the shape that is expected and no objects in it: then its names are only compared as they
   * pass, and no list of them is made. False: nothing is written.
   */
  #isFlatAsExpected(value: Record<string, unknown>): boolean {
    const expected = this.#last?.next ?? null;
    if (expected === null) return false;
    const { names } = expected;
    const start = this.#at;
    const strings = this.#strings.length;
    const depth = this.#depth - 1;
    this.#bytes[this.#at++] = T.SHAPE_0 + expected.id;
    let count = 0;
    for (const name in value) {
      const field = value[name];
      if (name !== names[count] || (typeof field === 'object' && field !== null)) {
        count = -1;
        break;
      }
      this.#member(field, depth, name);
      count++;
    }
    if (count === names.length) {
      this.#last = expected;
      return true;
    }
    this.#at = start;
    this.#strings.length = strings;
    return false;
  }

  /** The shape with these names; a new one, not yet in the list, if there was none; null when there is no room. */
  #shapeOf(names: readonly string[]): Shape | null {
    const last = this.#last;
    const expected = last === null ? null : last.next;
    if (expected !== null && hasNames(expected, names)) return (this.#last = expected);
    let found: Shape | null = null;
    for (const shape of this.#shapes) {
      if (hasNames(shape, names)) {
        found = shape;
        break;
      }
    }
    if (found === null) {
      if (this.#shapes.length === T.SHAPES_MAX || names.length > T.SHAPE_FIELDS_MAX) return null;
      found = { names, id: this.#shapes.length, next: null };
    }
    if (last !== null) last.next = found;
    return (this.#last = found);
  }

  #named(tag: number, names: readonly string[]): void {
    this.#bytes[this.#at++] = tag;
    this.#count(names.length);
    for (const name of names) this.#strings.push(name);
  }

  #date(date: Date): void {
    this.#bytes[this.#at] = T.DATE;
    this.#view.setFloat64(this.#at + 1, date.getTime(), true);
    this.#at += 9;
  }

  #raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length + 16);
    this.#bytes[this.#at++] = T.BYTES;
    this.#count(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #count(count: number): void {
    let rest = count;
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  #reserve(more: number): void {
    const needed = this.#at + more;
    if (needed <= this.#bytes.length) return;
    if (needed > T.PACKED_BYTES_MAX) throw this.#unwritable(`beyond ${T.PACKED_BYTES_MAX} packed bytes`);
    this.#resize(Math.min(Math.max(this.#bytes.length * 2, needed), T.PACKED_BYTES_MAX));
  }

  #resize(length: number): void {
    const bytes = Buffer.allocUnsafeSlow(length);
    this.#bytes.copy(bytes, 0, 0, Math.min(this.#at, length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  #unwritable(what: string): MillraceError {
    let path = '';
    for (const step of this.#path.slice(0, this.#depth)) path += typeof step === 'number' ? `[${step}]` : `.${step}`;
    const where = path === '' ? 'the value' : path.replace(/^\./, '');
    return new MillraceError(
      'RECORD_UNWRITABLE',
      `${where.length > 200 ? where.slice(0, 200) + '…' : where} is ${what}: ` +
        'values are plain objects and arrays of strings, numbers, booleans, null, bigint, Date, Uint8Array, Map, Set',
    );
  }
}

/** Names of objects are interned by V8, so `!==` compares pointers. */
function hasNames(shape: Shape, names: readonly string[]): boolean {
  const length = names.length;
  if (shape.names.length !== length) return false;
  for (let i = 0; i < length; i++) if (shape.names[i] !== names[i]) return false;
  return true;
}
