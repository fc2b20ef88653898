/**
 * Values as their letters show them. A value may say itself how it is written (`toJSON`, getters), and never return: so
 * that is a watched call of whoever refuses the record, and what was stuck once is shown as a reason in words.
 */
import { messageOf } from '../base/errors.ts';
import { NO_ORIGIN } from '../record/origin.ts';
import { readable } from '../record/output.ts';
import type { WatchCalls } from './call-watch.ts';

export class LetterContents {
  readonly #watchCalls: WatchCalls | undefined;
  readonly #cursor = { origin: NO_ORIGIN };
  readonly #byOperator = new Map<string, (value: unknown) => Uint8Array>();

  constructor(watchCalls: WatchCalls | undefined) {
    this.#watchCalls = watchCalls;
  }

  /** Never throws. */
  of(value: unknown, about: { readonly operator: string; readonly origin: number }): Uint8Array {
    const { operator, origin } = about;
    if (this.#watchCalls === undefined) return readable(value);
    let show = this.#byOperator.get(operator);
    if (show === undefined) {
      show = this.#watchCalls(operator, this.#cursor).watched(readable);
      this.#byOperator.set(operator, show);
    }
    this.#cursor.origin = origin;
    try {
      return show(value);
    } catch (error) {
      return readable({ unwritable: messageOf(error) });
    }
  }
}
