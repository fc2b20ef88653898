/** The message in hand: as it was before it was compressed, which record of it is looked at, and letters about that. */
import { INSERT } from '../change/change.ts';
import type { StoredMessage } from '../port/log.ts';
import { decompressed } from '../record/encoding.ts';
import type { Decoder } from '../record/format.ts';
import { carriedHeaders, type Letter, REASON_LENGTH_MAX } from '../record/letter.ts';

/** `bytes` null: the message's own, or the part of it that held the record. */
export interface LetterAbout extends Pick<Letter, 'operator' | 'code' | 'message' | 'change'> {
  readonly bytes: Uint8Array | null;
}

export class InHand {
  message: StoredMessage | null = null;
  /** Index of the record. */
  part = 0;
  #decoder: Decoder;
  /** The bytes of each record; undefined: nobody has asked yet, null: it is one record. */
  #parts: readonly Uint8Array[] | null | undefined;
  /** It had a content encoding. */
  #unpacked = false;

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
  }

  /** As it came. */
  hold(stored: StoredMessage): void {
    this.message = stored;
    this.part = 0;
    this.#parts = null;
    this.#unpacked = false;
  }

  /** Without its content encoding. Throws RECORD_UNREADABLE; then it is in hand as it came. */
  take(stored: StoredMessage): StoredMessage {
    this.hold(stored);
    this.#parts = undefined;
    const data = decompressed(stored);
    if (data === stored.data) return stored;
    const { subject, seq, timeMs, headers } = stored;
    this.#unpacked = true;
    this.message = { subject, seq, timeMs, headers, data };
    return this.message;
  }

  /** A letter about the record. */
  letter(about: LetterAbout, origin: number): Letter {
    const { message } = this;
    const { operator, code, change = INSERT } = about;
    const text = about.message.slice(0, REASON_LENGTH_MAX);
    const bytes = about.bytes ?? (message === null ? new Uint8Array() : this.#bytesOfPart(message));
    const subject = message?.subject ?? '';
    const content = bytes === message?.data ? 'message' : 'part';
    const carried = carriedHeaders(message?.headers ?? null, this.#unpacked);
    const letter = {
      operator,
      code,
      message: text,
      bytes,
      origin,
      index: this.part,
      subject,
      content,
      carried,
    } as const;
    return change === INSERT ? letter : { change, ...letter };
  }

  #bytesOfPart(message: StoredMessage): Uint8Array {
    if (this.#parts === undefined) this.#parts = this.#decoder.parts?.(message) ?? null;
    return this.#parts?.[this.part] ?? message.data;
  }
}
