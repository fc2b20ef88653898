/**
 * Values as plain data: what JSON can say, for people who look at state and for programs that pass it on. It is a copy,
 * and what JSON lacks shows as what it is:
 *
 *   bigint                a text of decimal digits
 *   NaN, Infinity         the texts `NaN`, `Infinity`, `-Infinity`
 *   Date                  its ISO text; an invalid one is null
 *   Uint8Array, Buffer    { "$bytes": base64 }
 *   Map                   { "$map": [[key, value], …] }
 *   Set                   { "$set": [value, …] }
 *   undefined             null; a field that is undefined is left out
 */
import { type DecodedKey, decodeKey, type Key } from './key.ts';

/** Deeper than this, values are cut: what holds itself must end, too. */
const DEPTH_MAX = 64;

export function plain(value: unknown, depth = 0): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return value.toString();
    case 'object':
      return value === null || depth > DEPTH_MAX ? null : plainObject(value, depth + 1);
    default:
      return null;
  }
}

function plainObject(value: object, depth: number): unknown {
  if (Array.isArray(value)) return value.map(item => plain(item, depth));
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  }
  if (value instanceof Map) {
    return { $map: Array.from(value, ([key, item]) => [plain(key, depth), plain(item, depth)]) };
  }
  if (value instanceof Set) return { $set: Array.from(value, item => plain(item, depth)) };
  const fields: [string, unknown][] = [];
  for (const [name, field] of Object.entries(value)) if (field !== undefined) fields.push([name, plain(field, depth)]);
  return Object.fromEntries(fields);
}

/** An encoded key as plain data: a bigint is a text. What is no key stays as it is. */
export function plainKey(encoded: string): Key {
  try {
    return withoutBigints(decodeKey(encoded));
  } catch {
    return encoded;
  }
}

function withoutBigints(key: DecodedKey): Key {
  if (typeof key === 'bigint') return key.toString();
  return typeof key === 'object' && key !== null ? key.map(withoutBigints) : key;
}
