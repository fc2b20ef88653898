/** Reads what `rows-writer.ts` wrote. Owns the compiled constructors of row shapes. */
import { MillraceError } from '../base/errors.ts';
import * as T from './rows-layout.ts';

/** Builds an object of one shape from the reader's next values. */
type Build = (reader: RowReader) => Record<string, unknown>;

interface Shape {
  readonly names: readonly string[];
  /** Compiled when so many objects were built that it pays. */
  build: Build | null;
  built: number;
}

/** Names and prefixes of names known at once. When full, it starts anew: pipelines have tens of shapes, data has no end. */
const KNOWN_MAX = 16_384;
/** Compiling costs about as much as building so many objects name by name. */
const BUILT_BEFORE_COMPILING = 100;

/** Known shapes by their names, one step a name. */
interface Known {
  shape: Shape | null;
  next: Map<string, Known> | null;
}

let known: Known = { shape: null, next: null };
let knownCount = 0;

export class RowReader {
  readonly #packed: Uint8Array;
  readonly #view: DataView;
  readonly #strings: readonly string[];
  readonly #shapes: Shape[] = [];
  /** Where the body ends. */
  readonly #end: number;
  #at = T.HEADER_BYTES;
  #nextString = 0;
  #depth = 0;

  constructor(packed: Uint8Array) {
    if (packed.length < T.HEADER_BYTES || packed[0] !== T.VERSION) {
      throw corrupt(`not version ${T.VERSION} of packed values`);
    }
    this.#packed = packed;
    this.#view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
    this.#end = T.HEADER_BYTES + this.#view.getUint32(2, true);
    if (this.#end > packed.length) throw corrupt('the body is cut off');
    this.#strings = readStrings(packed, this.#end);
  }

  /** The one value of the packed bytes; nothing may be left over. */
  whole(): unknown {
    const value = this.value();
    if (this.#at !== this.#end || this.#nextString !== this.#strings.length) {
      throw corrupt('there is more than one value');
    }
    return value;
  }

  /** The next value of the body. */
  value(): unknown {
    const tag = this.#packed[this.#at++];
    if (tag === undefined) throw corrupt('a value is cut off');
    if (tag < 0x80) return tag;
    if (tag >= T.SHAPE_0) return this.#object(this.#shapes[tag - T.SHAPE_0]);
    const at = this.#at;
    switch (tag) {
      case T.STRING:
        return this.#string();
      case T.FLOAT64:
        this.#at = at + 8;
        return this.#view.getFloat64(at, true);
      case T.INT8:
        this.#at = at + 1;
        return this.#view.getInt8(at);
      case T.INT16:
        this.#at = at + 2;
        return this.#view.getInt16(at, true);
      case T.INT32:
        this.#at = at + 4;
        return this.#view.getInt32(at, true);
      case T.NULL:
        return null;
      case T.UNDEFINED:
        return undefined;
      case T.FALSE:
        return false;
      case T.TRUE:
        return true;
      case T.BIGINT64:
        this.#at = at + 8;
        return this.#view.getBigInt64(at, true);
      case T.BIGINT:
        return BigInt(this.#string());
      case T.DATE:
        this.#at = at + 8;
        return new Date(this.#view.getFloat64(at, true));
      case T.BYTES:
        return this.#raw();
      default:
        return this.#nested(tag);
    }
  }

  #string(): string {
    const text = this.#strings[this.#nextString++];
    if (text === undefined) throw corrupt('a string is missing');
    return text;
  }

  /** A copy: a record must not hold on to the whole frame it came in. */
  #raw(): Uint8Array {
    const length = this.#count();
    const bytes = new Uint8Array(length);
    bytes.set(this.#packed.subarray(this.#at, this.#at + length));
    this.#at += length;
    return bytes;
  }

  #nested(tag: number): unknown {
    this.#enter();
    const value = this.#collection(tag);
    this.#depth--;
    return value;
  }

  #collection(tag: number): unknown {
    const count = this.#count();
    switch (tag) {
      case T.ARRAY: {
        // Grown, not allocated: nested lists that claim more than they hold would claim it once for each level.
        const values: unknown[] = [];
        for (let i = 0; i < count; i++) values.push(this.value());
        return values;
      }
      case T.MAP: {
        const map = new Map<unknown, unknown>();
        for (let i = 0; i < count; i++) {
          const key = this.value();
          map.set(key, this.value());
        }
        return map;
      }
      case T.SET: {
        const set = new Set<unknown>();
        for (let i = 0; i < count; i++) set.add(this.value());
        return set;
      }
      case T.DICTIONARY:
        return buildByName(this.#names(count), this);
      case T.NEW_SHAPE: {
        if (this.#shapes.length === T.SHAPES_MAX || count > T.SHAPE_FIELDS_MAX)
          throw corrupt('too many shapes or fields');
        const shape = knownShape(this.#names(count));
        this.#shapes.push(shape);
        return build(shape, this);
      }
      default:
        throw corrupt(`there is no tag ${tag}`);
    }
  }

  #object(shape: Shape | undefined): Record<string, unknown> {
    if (shape === undefined) throw corrupt('a shape is missing');
    this.#enter();
    const object = build(shape, this);
    this.#depth--;
    return object;
  }

  #names(count: number): string[] {
    const names: string[] = [];
    for (let i = 0; i < count; i++) names.push(this.#string());
    return names;
  }

  #enter(): void {
    if (++this.#depth > T.NESTING_MAX) throw corrupt('nested too deep');
  }

  /** Every counted thing takes at least a byte, so a count beyond the bytes left is a lie: nothing is allocated for it. */
  #count(): number {
    let count = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#packed[this.#at++];
      if (byte === undefined) break;
      count += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (count > this.#end - this.#at) break;
        return count;
      }
    }
    throw corrupt('a count is larger than what follows');
  }
}

function build(shape: Shape, reader: RowReader): Record<string, unknown> {
  if (shape.build !== null) return shape.build(reader);
  if (++shape.built > BUILT_BEFORE_COMPILING) shape.build = compile(shape.names);
  return buildByName(shape.names, reader);
}

function buildByName(names: readonly string[], reader: RowReader): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!;
    const value = reader.value();
    // Assigning to __proto__ would change the prototype instead.
    if (name === '__proto__')
      Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
    else object[name] = value;
  }
  return object;
}

/**
 * A function that returns an object literal of these names: V8 then makes all rows in one hidden class without a lookup.
 * Names come from data, and reach the code as JSON strings only; a computed `__proto__` is an ordinary own property.
 */
function compile(names: readonly string[]): Build {
  const fields = names.map(name => `${name === '__proto__' ? '["__proto__"]' : JSON.stringify(name)}: r.value()`);
  return new Function('r', `return { ${fields.join(', ')} };`) as Build;
}

function knownShape(names: readonly string[]): Shape {
  let step = known;
  for (const name of names) {
    let next = step.next?.get(name);
    if (next === undefined) {
      next = { shape: null, next: null };
      step.next ??= new Map();
      step.next.set(name, next);
      knownCount++;
    }
    step = next;
  }
  if (step.shape === null) {
    step.shape = { names, build: null, built: 0 };
    if (knownCount > KNOWN_MAX) {
      known = { shape: null, next: null };
      knownCount = 0;
    }
  }
  return step.shape;
}

function readStrings(packed: Uint8Array, start: number): readonly string[] {
  if (start === packed.length) return [];
  const buffer = packed instanceof Buffer ? packed : Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const strings: unknown = JSON.parse(buffer.toString(packed[1] === 1 ? 'latin1' : 'utf8', start));
  if (!Array.isArray(strings)) throw corrupt('the strings are not a list');
  for (const string of strings) if (typeof string !== 'string') throw corrupt('a string is none');
  return strings;
}

export function corrupt(what: string, cause?: unknown): MillraceError {
  return new MillraceError('JOURNAL_CORRUPT', `packed values cannot be read: ${what}`, { cause });
}
