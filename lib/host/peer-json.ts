/** What workers ask each other and answer, as bytes: JSON, between workers of one version. */

/** JSON has no big integers, and keys may be or hold some. */
export function encode(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? { $bigint: `${part}` } : part)));
}

/** Null: it is nothing of ours. */
export function decode(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString(), (_, part) =>
      typeof part?.$bigint === 'string' ? BigInt(part.$bigint) : part,
    );
  } catch {
    return null;
  }
}
