/**
 * The message in hand: as it was before it was compressed, what its format reads of it, which record is looked at, and letters
 * about that. A message may be passed on in slices: it is unpacked and read once.
 */
import { type ErrorCode, isMillraceError, messageOf } from '../base/errors.ts';
import { placedMessageOf } from '../base/place.ts';
import { INSERT } from '../change/change.ts';
import type { Headers, StoredMessage } from '../port/log.ts';
import { decompressed } from '../record/encoding.ts';
import type { Decoder } from '../record/format.ts';
import { carriedHeaders, type Letter, REASON_LENGTH_MAX } from '../record/letter.ts';

/** `bytes` null: the message's own, or the part of it that held the record. */
export interface LetterAbout extends Pick<Letter, 'operator' | 'code' | 'message' | 'change'> {
  readonly bytes: Uint8Array | null;
}

/** A part that cannot be read. Its error is kept as a text: there may be one for each line. */
export interface UnreadPart {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly code: ErrorCode;
  readonly why: string;
}

export class InHand {
  message: StoredMessage | null = null;
  /** What is read of it, … */
  readonly values: unknown[] = [];
  /** … and what cannot be. */
  readonly unread: UnreadPart[] = [];
  /** Index of the record. */
  part = 0;
  readonly #decoder: Decoder;
  readonly #payloadBytesMax: number;
  /** As it came, … */
  #stored: StoredMessage | null = null;
  /** … and unpacked. */
  #unpackedMessage: StoredMessage | null = null;
  #isRead = false;
  /** Its headers as letters carry them, the same for all. */
  #carried: Headers | null = null;
  /** The bytes of each record; undefined: nobody has asked yet, null: it is one record. */
  #parts: readonly Uint8Array[] | null | undefined;
  /** It had a content encoding. */
  #unpacked = false;

  /** @param payloadBytesMax the broker's `max_payload`: what a message may grow to follows from it */
  constructor(decoder: Decoder, payloadBytesMax: number) {
    this.#decoder = decoder;
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** As it came; nothing of it is read. */
  hold(stored: StoredMessage): void {
    this.message = stored;
    this.part = 0;
    this.#stored = null;
    this.#parts = null;
    this.#carried = null;
    this.#unpacked = false;
  }

  /** Without its content encoding; as it came where that cannot be taken off, and then nothing else is read of it. */
  take(stored: StoredMessage): StoredMessage {
    if (stored === this.#stored) {
      this.part = 0;
      return (this.message = this.#unpackedMessage!);
    }
    this.hold(stored);
    this.#unpackedMessage = stored;
    this.#isRead = false;
    this.#parts = undefined;
    try {
      const data = decompressed(stored, this.#payloadBytesMax);
      if (data !== stored.data) {
        const { subject, seq, timeMs, headers } = stored;
        this.#unpacked = true;
        this.message = this.#unpackedMessage = { subject, seq, timeMs, headers, data };
      }
    } catch (cause) {
      this.#readNone('RECORD_UNREADABLE', messageOf(cause));
    }
    this.#stored = stored;
    return this.message;
  }

  /** Reads the message: `values` and `unread` are its. True: they were before. A format may be the author's own, and throw. */
  read(): boolean {
    if (this.#isRead) return true;
    const { values, unread } = this;
    values.length = 0;
    unread.length = 0;
    this.#isRead = true;
    try {
      this.#decoder.decode(this.message!, values, ({ index, bytes, cause }) => {
        unread.push({ index, bytes, code: 'RECORD_UNREADABLE', why: messageOf(cause).slice(0, REASON_LENGTH_MAX) });
      });
    } catch (thrown) {
      this.#readNone('USER_CODE', isMillraceError(thrown) ? thrown.message : placedMessageOf(thrown));
    }
    return false;
  }

  /** All of the message is one part that cannot be read. */
  #readNone(code: ErrorCode, why: string): void {
    this.values.length = 0;
    this.unread.length = 0;
    this.unread.push({ index: 0, bytes: this.message!.data, code, why });
    this.#isRead = true;
  }

  /** Nothing of it is looked at for now. `isDone`: nor will be. */
  lay({ isDone }: { isDone: boolean }): void {
    this.message = null;
    if (!isDone) return;
    this.#stored = null;
    this.#unpackedMessage = null;
    this.#isRead = false;
    this.#parts = undefined;
    this.values.length = 0;
    this.unread.length = 0;
  }

  /** A letter about the record. */
  letter(about: LetterAbout, origin: number): Letter {
    const { message } = this;
    const { operator, code, change = INSERT } = about;
    const text = about.message.slice(0, REASON_LENGTH_MAX);
    const bytes = about.bytes ?? (message === null ? new Uint8Array() : this.#bytesOfPart(message));
    const subject = message?.subject ?? '';
    const content = bytes === message?.data ? 'message' : 'part';
    this.#carried ??= carriedHeaders(message?.headers ?? null, this.#unpacked);
    const letter = {
      operator,
      code,
      message: text,
      bytes,
      origin,
      index: this.part,
      subject,
      content,
      carried: this.#carried,
    } as const;
    return change === INSERT ? letter : { change, ...letter };
  }

  #bytesOfPart(message: StoredMessage): Uint8Array {
    if (this.#parts === undefined) this.#parts = this.#decoder.parts?.(message) ?? null;
    return this.#parts?.[this.part] ?? message.data;
  }
}
