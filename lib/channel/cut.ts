/**
 * The cut of a frame: how many of the rows that wait make the next one. It is tried with as many as have fitted lately and
 * some more, and with half of them until it can be written and sent; else a backlog of large rows would be encoded whole for
 * each frame.
 */
import type { MillraceError } from '../base/errors.ts';

const ROWS_MAX = 16_384;

/** A frame of the first `rows`; or why not even the first alone can be one: RECORD_UNWRITABLE, or its bytes, which are too many. */
export type Cut =
  | { readonly fits: true; readonly rows: number; readonly bytes: Uint8Array }
  | { readonly fits: false; readonly found: Uint8Array | MillraceError };

export class FrameCut {
  #rowsMax = ROWS_MAX;

  /** @param encode makes a frame of the first so many rows; RECORD_UNWRITABLE as a value */
  longest(
    waiting: number,
    { bytesMax, encode }: { bytesMax: number; encode: (rows: number) => Uint8Array | MillraceError },
  ): Cut {
    for (let rows = Math.min(waiting, this.#rowsMax); ; this.#rowsMax = rows) {
      const found = encode(rows);
      if (found instanceof Uint8Array && found.length <= bytesMax) {
        if (rows >= this.#rowsMax) this.#rowsMax = Math.min(ROWS_MAX, rows + (rows >> 2) + 1);
        return { fits: true, rows, bytes: found };
      }
      if (rows === 1) return { fits: false, found };
      rows >>= 1;
    }
  }
}
