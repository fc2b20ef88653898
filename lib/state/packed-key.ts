/**
 * A key in bytes: its length, then its characters as Latin-1 or, where it has others, its UTF-16 units, little-endian. So
 * any text is written exactly and in one way only, well-formed or not, and is compared without being made a text again.
 *
 * The hash is of this process only: nothing durable and no order depends on it.
 */

/** How many bytes the key takes. */
export function packedLength(key: string): number {
  return headLength(key.length) + (hasWide(key) ? 2 * key.length : key.length);
}

/** Writes the key, for which there is room. Returns where it ends. */
export function putKey(bytes: Buffer, from: number, key: string): number {
  const units = key.length;
  const isWide = hasWide(key);
  let at = putHead(bytes, from, units * 2 + (isWide ? 1 : 0));
  for (let i = 0; i < units; i++) {
    const unit = key.charCodeAt(i);
    bytes[at++] = unit;
    if (isWide) bytes[at++] = unit >>> 8;
  }
  return at;
}

export function isKeyAt(bytes: Buffer, from: number, key: string): boolean {
  const head = headAt(bytes, from);
  const units = key.length;
  if (head >>> 1 !== units) return false;
  let at = from + headLength(units);
  if (head & 1) {
    for (let i = 0; i < units; i++, at += 2)
      if ((bytes[at]! | (bytes[at + 1]! << 8)) !== key.charCodeAt(i)) return false;
  } else {
    for (let i = 0; i < units; i++) if (bytes[at++] !== key.charCodeAt(i)) return false;
  }
  return true;
}

export function keyAt(bytes: Buffer, from: number): string {
  const head = headAt(bytes, from);
  return bytes.toString(head & 1 ? 'utf16le' : 'latin1', from + headLength(head >>> 1), keyEnd(bytes, from));
}

/** What a key is found by: any 32 bits, as a signed integer. */
export function hashOfKey(key: string): number {
  let hash = key.length;
  for (let i = 0; i < key.length; i++) hash = mixIn(hash, key.charCodeAt(i));
  return finish(hash);
}

/** The same of a key as it is written. */
export function hashOfBytes(keys: Buffer, from: number): number {
  const head = headAt(keys, from);
  const units = head >>> 1;
  const isWide = (head & 1) !== 0;
  let at = from + headLength(units);
  let hash = units;
  for (let i = 0; i < units; i++) {
    hash = mixIn(hash, isWide ? keys[at]! | (keys[at + 1]! << 8) : keys[at]!);
    at += isWide ? 2 : 1;
  }
  return finish(hash);
}

/** Not the hash that chose the partition: among keys of one task, that one's bits are no longer even. */
function mixIn(hash: number, unit: number): number {
  const mixed = Math.imul(hash ^ unit, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

function finish(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

function hasWide(key: string): boolean {
  for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) > 0xff) return true;
  return false;
}

/** Twice the units, plus 1 if it is wide: one byte, or 255 and four. */
function headLength(units: number): number {
  return units < 127 ? 1 : 5;
}

function putHead(keys: Buffer, at: number, head: number): number {
  if (head < 254) {
    keys[at] = head;
    return at + 1;
  }
  keys[at] = 255;
  keys.writeUInt32LE(head, at + 1);
  return at + 5;
}

function headAt(keys: Buffer, at: number): number {
  const head = keys[at]!;
  return head < 255 ? head : keys.readUInt32LE(at + 1);
}

/** Where the key that begins at `from` ends. */
export function keyEnd(keys: Buffer, from: number): number {
  const head = headAt(keys, from);
  const units = head >>> 1;
  return from + headLength(units) + (head & 1 ? 2 * units : units);
}
