/**
 * The letters of a batch, until it ends: then few of an operator are messages of their own, which anybody can read, and
 * many share messages (`record/letter-group.ts`), so that a flood of bad records costs the broker what good ones do. Each
 * message is sealed.
 */
import type { BatchSize } from '../journal/batch-size.ts';
import { addressText } from '../outlet/nats/destination.ts';
import { headerValue } from '../port/headers.ts';
import {
  LETTER_BYTES,
  LETTERS_A_MESSAGE_MAX,
  type LetterText,
  packLetters,
  VALUE_BYTES,
} from '../record/letter-group.ts';
import { NO_ORIGIN } from '../record/origin.ts';
import { HEADER_SEAL, type Seal } from '../record/seal.ts';
import type { LetterRow } from './letters.ts';

/** So many of a subject come alone. */
const ALONE_MAX = 8;
/** A message of many letters is full at so many bytes, or at half of what a message may be. */
const GROUP_BYTES_MAX = 256 << 10;
/** What a letter is taken for in a commit beside its bytes, before it is known how many have its headers in common. */
const LETTER_IN_COMMIT_BYTES = 64;

interface Piled extends LetterText {
  readonly size: number;
  readonly trace: string | null;
}

/** Takes the rows that a pile becomes. */
export interface LetterRows {
  addBytes(
    bytes: Uint8Array,
    address: string,
    cursor: { readonly origin: number; readonly trace: string | null },
  ): void;
}

export class LetterPile {
  readonly #seal: Seal;
  readonly #size: BatchSize;
  readonly #messageBytesMax: () => number;
  #bySubject = new Map<string, Piled[]>();

  constructor(options: { seal: Seal; size: BatchSize; messageBytesMax(): number }) {
    this.#seal = options.seal;
    this.#size = options.size;
    this.#messageBytesMax = options.messageBytesMax;
  }

  add({ subject, headers, bytes }: LetterRow, trace: string | null): void {
    let size = bytes.length + LETTER_BYTES;
    for (const name in headers) {
      headers[name] = headerValue(headers[name]!);
      size += name.length + Buffer.byteLength(headers[name]!) + VALUE_BYTES;
    }
    this.#size.bytes += bytes.length + LETTER_IN_COMMIT_BYTES;
    const piled = this.#bySubject.get(subject);
    const letter = { headers, bytes, size, trace };
    if (piled === undefined) this.#bySubject.set(subject, [letter]);
    else piled.push(letter);
  }

  /** Puts all into the commit's rows. Where they came from they say themselves. */
  take(rows: LetterRows): void {
    for (const [subject, piled] of this.#bySubject) {
      for (const letters of piled.length <= ALONE_MAX ? piled.map(one => [one]) : this.#groups(piled)) {
        const { headers, bytes } = letters.length === 1 ? letters[0]! : packLetters(letters);
        const seal = this.#seal.ofLetter(subject, headers, bytes);
        const trace = letters.find(letter => letter.trace !== null)?.trace ?? null;
        rows.addBytes(bytes, addressText(subject, { ...headers, [HEADER_SEAL]: seal }), { origin: NO_ORIGIN, trace });
      }
    }
    // A cleared map would keep all that come after it, as `in-flight.ts` tells.
    this.#bySubject = new Map();
  }

  #groups(piled: readonly Piled[]): Piled[][] {
    const bytesMax = Math.min(GROUP_BYTES_MAX, this.#messageBytesMax() >> 1);
    const groups: Piled[][] = [];
    let last: Piled[] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const letter of piled) {
      if (bytes + letter.size > bytesMax || last.length === LETTERS_A_MESSAGE_MAX) {
        groups.push((last = []));
        bytes = 0;
      }
      last.push(letter);
      bytes += letter.size;
    }
    return groups;
  }
}
