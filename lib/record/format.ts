/**
 * Formats: from a message's bytes to the values in it. A decoder is made once per source (schemas compiled, tables
 * built) and called once per message; a message may carry many records (NDJSON, CloudEvents batches).
 */
export interface Decoder {
  /** The format's name as plans show it, e.g. `ndjson`. */
  readonly name: string;
  /**
   * Appends the message's values to `out`. A part that cannot be read is reported to `unreadable` with its own bytes and
   * its index within the message, and the rest goes on; nothing is thrown.
   */
  decode(
    message: {
      readonly data: Uint8Array;
      readonly headers: Readonly<Record<string, string>> | null;
      readonly subject: string;
    },
    out: unknown[],
    unreadable: (part: { index: number; bytes: Uint8Array; cause: Error }) => void,
  ): void;
  /** The bytes of one record within a message that carries many; absent: a message is one record. */
  part?(message: { readonly data: Uint8Array }, index: number): Uint8Array | null;
}
