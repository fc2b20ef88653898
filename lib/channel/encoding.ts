/**
 * Frames as bytes, of values that somebody's functions have made: they may say themselves how they are read (getters), and
 * throw, or never return. So writing them is a watched call, of the first record of a frame. Who was stuck in one is not
 * known by that; from then on each record is looked at by itself first, so that the one is found, and becomes a letter.
 */
import { isMillraceError, type MillraceError } from '../base/errors.ts';
import type { WatchCalls, WatchedCalls } from '../operator/call-watch.ts';
import { LetterContents } from '../operator/letter-contents.ts';
import { NO_ORIGIN } from '../record/origin.ts';
import { encodeRows } from '../record/rows.ts';
import { encodeFrame, type Frame } from './frame.ts';

export class FrameEncoding {
  readonly #operator: string;
  readonly #cursor = { origin: NO_ORIGIN };
  readonly #calls: WatchedCalls | null;
  readonly #contents: LetterContents;
  #frame: (frame: Frame) => Uint8Array = encodeFrame;
  #row: (value: unknown) => unknown = value => encodeRows([value]);
  /** Records that were refused: looked at again, they would hold up everybody again. */
  readonly #refused = new WeakMap<object, MillraceError>();

  /** @param operator whose work it is, as letters name it */
  constructor(operator: string, watchCalls: WatchCalls | undefined) {
    this.#operator = operator;
    this.#contents = new LetterContents(watchCalls);
    this.#calls = watchCalls?.(operator, this.#cursor) ?? null;
    if (this.#calls === null) return;
    this.#frame = this.#calls.watched(this.#frame);
    this.#row = this.#calls.watched(this.#row);
  }

  /** The frame, or why it cannot be written: a record of it cannot be. */
  try(frame: Frame): Uint8Array | MillraceError {
    const { values, origins } = frame.columns;
    if (this.#calls?.isSuspicious === true) {
      for (let i = 0; i < values.length; i++) {
        const refusal = this.refusal(values[i], origins[i]!);
        if (refusal !== null) return refusal;
      }
    }
    this.#cursor.origin = origins[0] ?? NO_ORIGIN;
    try {
      return this.#frame(frame);
    } catch (error) {
      return poison(error);
    }
  }

  /** Why no frame can have the record; null: one can. */
  refusal(value: unknown, origin: number): MillraceError | null {
    const isObject = typeof value === 'object' && value !== null;
    const known = isObject ? this.#refused.get(value) : undefined;
    if (known !== undefined) return known;
    this.#cursor.origin = origin;
    try {
      this.#row(value);
      return null;
    } catch (error) {
      const refusal = poison(error);
      if (isObject) this.#refused.set(value, refusal);
      return refusal;
    }
  }

  /** The record as its letter shows it. */
  content(value: unknown, origin: number): Uint8Array {
    return this.#contents.of(value, { operator: this.#operator, origin });
  }
}

/** What is the record's fault: it cannot be written, or did not return. All else is thrown. */
function poison(error: unknown): MillraceError {
  if (isMillraceError(error, 'RECORD_UNWRITABLE') || isMillraceError(error, 'USER_CODE')) return error;
  throw error;
}
