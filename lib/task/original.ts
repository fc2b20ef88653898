/**
 * A record that failed in a stage has been decoded, mapped and cut down since it was read. Its letter should hold what
 * the service sent, and that is still in the source stream, under its origin.
 */
import { isMillraceError } from '../base/errors.ts';
import type { Log, StoredMessage } from '../port/log.ts';
import { decompressed } from '../record/encoding.ts';
import { readsJson } from '../record/formats.ts';
import { CARRIED_JSON, carriedHeaders, type Letter } from '../record/letter.ts';
import { seqOfOrigin } from '../record/origin.ts';
import type { SourceSpec } from '../source/spec.ts';

/** What a letter gets from its message: its bytes only where that held this record alone. */
type Original = Pick<Letter, 'subject'> & Partial<Pick<Letter, 'bytes' | 'content' | 'carried'>>;

/** The originals of a task's letters. Records of one message fail one after the other: it is read once for all of them. */
export class Originals {
  #stream = '';
  #origin = -1;
  #last: Original | null = null;

  /** The letter with the bytes of the source message, if that is still there and held this record alone. */
  async fetch(letter: Letter, source: SourceSpec | null, log: Log): Promise<Letter> {
    if (source === null || letter.origin < 0) return letter;
    if (this.#isLast(letter, source)) return { ...letter, ...this.#last };
    const message = await log.get({ stream: source.stream, seq: seqOfOrigin(letter.origin) });
    return message === null ? letter : this.add(letter, { source, message, payloadBytesMax: log.messageBytesMax });
  }

  /** The letter with the message's bytes, if that held this record alone. */
  add(
    letter: Letter,
    from: { readonly source: SourceSpec; readonly message: StoredMessage; readonly payloadBytesMax: number },
  ): Letter {
    const { source } = from;
    if (!this.#isLast(letter, source)) {
      this.#last = originalOf(from);
      this.#stream = source.stream;
      this.#origin = letter.origin;
    }
    return { ...letter, ...this.#last };
  }

  /** The batch has ended: a message's bytes are not kept longer, and what was made of many values has none. */
  forget(): void {
    if (this.#last?.bytes !== undefined) this.#last = null;
  }

  #isLast(letter: Letter, source: SourceSpec): boolean {
    return this.#last !== null && this.#origin === letter.origin && this.#stream === source.stream;
  }
}

/** Null: it could be once, and the broker's `max_payload` is less by now. */
function unpackedOf(message: StoredMessage, payloadBytesMax: number): Uint8Array | null {
  try {
    return decompressed(message, payloadBytesMax);
  } catch (error) {
    if (isMillraceError(error, 'RECORD_UNREADABLE')) return null;
    throw error;
  }
}

function originalOf({ source, message, payloadBytesMax }: Parameters<Originals['add']>[1]): Original {
  const { headers, subject } = message;
  const data = unpackedOf(message, payloadBytesMax);
  if (data === null) return { subject };
  const decoded = { data, headers, subject };
  const values: unknown[] = [];
  let unreadable = 0;
  source.decoder.decode(decoded, values, () => {
    unreadable++;
  });
  if (values.length === 1) {
    const part = unreadable === 0 ? undefined : source.decoder.parts?.(decoded)?.[0];
    const carried = carriedHeaders(headers, data !== message.data);
    return { bytes: part ?? data, subject, content: part === undefined ? 'message' : 'part', carried };
  }
  // Which of them it was is not known, but its value is at hand.
  const isJson = readsJson(source.decoder) && source.attach === null && source.validate === null;
  return isJson ? { subject, content: 'decoded', carried: CARRIED_JSON } : { subject };
}
