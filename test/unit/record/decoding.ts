/** Runs a decoder on one message, for the tests of formats. */
import type { Decoder, UnreadablePart } from '../../../lib/record/format.ts';

export interface Decoded {
  readonly values: unknown[];
  readonly unreadable: UnreadablePart[];
}

export function message(data: string | Uint8Array, headers: Record<string, string> | null = null) {
  // Not a Buffer, and not at the start of its memory: as a socket's reader hands it out.
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const memory = new Uint8Array(bytes.length + 3);
  memory.set(bytes, 3);
  return { data: memory.subarray(3), headers, subject: 'in.a' };
}

export function decode(
  decoder: Decoder,
  data: string | Uint8Array,
  headers: Record<string, string> | null = null,
): Decoded {
  const values: unknown[] = [];
  const unreadable: UnreadablePart[] = [];
  decoder.decode(message(data, headers), values, part => unreadable.push(part));
  return { values, unreadable };
}

/** What was unreadable, as [index, text]. */
export function parts(decoded: Decoded): [number, string][] {
  return decoded.unreadable.map(part => [part.index, Buffer.from(part.bytes).toString('latin1')]);
}
