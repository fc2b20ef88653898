/**
 * The cut of a frame: how many of the rows that wait make the next one. It is tried with as many as have fitted lately and
 * some more, and with half of them until it can be written and sent; else a backlog of large rows would be encoded whole for
 * each frame. A frame that is written already is cut again where less is taken by now than when it was journaled.
 */
import type { MillraceError } from '../base/errors.ts';
import { sliceColumns } from '../record/columns.ts';
import { decodeFrame, encodeFrame } from './frame.ts';

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

/**
 * What fits of a task's frame, without its first `skip` rows; or the next row alone, though it is too large.
 * @returns the part, and the row of the commit that it goes to
 */
export function partOfFrame(frame: Uint8Array, { skip, bytesMax }: { skip: number; bytesMax: number }) {
  const { columns, row, watermarkMs, ...head } = decodeFrame(frame);
  const { length } = columns.keys;
  const first = row - length + skip;
  const encode = (rows: number) =>
    encodeFrame({
      ...head,
      columns: sliceColumns(columns, skip, skip + rows),
      row: first + rows,
      // Only with its last row is that true.
      watermarkMs: skip + rows === length ? watermarkMs : Number.NEGATIVE_INFINITY,
    });
  const cut = new FrameCut().longest(length - skip, { bytesMax, encode });
  return cut.fits ? { bytes: cut.bytes, row: first + cut.rows } : { bytes: encode(1), row: first + 1 };
}
