/**
 * The stream of a pipeline's letters: which letters there are, and what is deleted of them. It is read by sequence, and the
 * markers in the same stream, on which exactly-once rests, are of other subjects and never touched. A letter's own subject
 * has no fence, so nothing depends on what was last on it.
 *
 * A message under a letter's subject is a letter only if a task has sealed it (`record/seal.ts`): anybody might have
 * published it. Others are passed over and told.
 *
 * A message of one letter is deleted with it. Of one with many it is said which are gone, in a mark under a subject of its
 * own, fenced, so that nobody's deletion is lost to another's; with the last letter goes the message, and then the mark. Each
 * of these steps leaves every letter either there or gone, and a mark of a message that is no more says nothing.
 */

import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { Log, StoredMessage } from '../port/log.ts';
import { ready } from '../port/ready.ts';
import { type ReadLetter, readLetter } from '../record/letter.ts';
import { lettersIn, numberOf, placeOf, unpackLetters } from '../record/letter-group.ts';
import { goneSubject, goneSubjects, letterSubject, lettersStream, seqOfGone } from '../record/names.ts';
import { HEADER_SEAL, type Seal } from '../record/seal.ts';
import type { LetterKind } from './views.ts';

const TAKE = { messagesMax: 256, bytesMax: 1 << 20 };
/** How long the broker may say nothing. */
const PATIENCE_MS = 20_000;
const TRIES_MAX = 20;
const RETRY_MS = 250;
/** Messages that are looked at to count letters; if there are more, they are taken to be like these. */
const COUNTED_MAX = 10_000;
export const LETTER_KINDS: readonly LetterKind[] = ['dead', 'late'];

/** A letter with its place in the stream. */
export interface PlacedLetter {
  readonly number: number;
  readonly seq: number;
  readonly index: number;
  /** Letters that its message has. */
  readonly among: number;
  readonly subject: string;
  readonly timeMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
  readonly letter: ReadLetter;
}

export interface LetterStreamOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly seal: Seal;
  /** Told of messages that no task has written, by their sequences. */
  onForged(seq: number): void;
}

/** A bit for each letter of a message that is gone, from the lowest. */
type Gone = Uint8Array;

export class LetterStream {
  readonly #options: LetterStreamOptions;
  readonly #pipeline: string;
  readonly #stream: string;
  /** Messages that were passed over. */
  forged = 0;

  constructor(pipeline: string, options: LetterStreamOptions) {
    this.#options = options;
    this.#pipeline = pipeline;
    this.#stream = lettersStream(pipeline);
  }

  /**
   * The letters under these subjects, from a number on and in messages through a sequence, oldest first. `counted` is told
   * how many messages there are to look at.
   */
  async *read(span: {
    readonly from: number;
    readonly through: number;
    readonly subjects: readonly string[];
    readonly counted?: ((total: number) => void) | undefined;
  }): AsyncGenerator<PlacedLetter> {
    const gone = new Map<number, Gone>();
    for await (const mark of this.#messages({ from: 1, subjects: [goneSubjects(this.#pipeline)] })) {
      if (this.#options.seal.isMark(mark)) gone.set(seqOfGone(mark.subject), mark.data);
    }
    const first = placeOf(span.from);
    for await (const message of this.#messages({ ...span, from: Math.max(1, first.seq) })) {
      if (message.seq > span.through) return;
      for (const letter of this.#lettersOf(message, gone.get(message.seq))) {
        if (letter.number >= span.from) yield letter;
      }
    }
  }

  /** Null: there is none, or it is gone. */
  async one(number: number): Promise<PlacedLetter | null> {
    const { seq } = placeOf(number);
    if (!Number.isSafeInteger(number) || seq < 1) return null;
    const { log } = this.#options;
    const message = await log.get({ stream: this.#stream, seq });
    if (message === null) return null;
    const mark = lettersIn(message.headers) === 1 ? null : await this.#mark(seq);
    return this.#lettersOf(message, mark?.gone).find(letter => letter.number === number) ?? null;
  }

  #lettersOf(message: StoredMessage, gone: Gone | undefined): PlacedLetter[] {
    const { seal, onForged } = this.#options;
    const { subject, seq, timeMs } = message;
    const about = readLetter(subject, {});
    if (about === null) return [];
    if (!seal.isLetter(message)) {
      this.forged++;
      onForged(seq);
      return [];
    }
    const texts = unpackLetters(message);
    return texts.flatMap(({ headers, bytes: data }, index) => {
      if (gone !== undefined && isSet(gone, index)) return [];
      const letter = readLetter(subject, headers)!;
      return [
        { number: numberOf(seq, index), seq, index, among: texts.length, subject, timeMs, headers, data, letter },
      ];
    });
  }

  /** How many letters there are, of all kinds and operators, about. */
  async count(): Promise<number> {
    const { log } = this.#options;
    const subjects = LETTER_KINDS.map(kind => letterSubject(this.#pipeline, { kind, operator: '>' }));
    let messages = 0;
    for (const subject of subjects) messages += await log.count({ stream: this.#stream, subject });
    let seen = 0;
    let letters = 0;
    for await (const { headers } of this.#messages({ from: 1, subjects, headersOnly: true })) {
      if (headers?.[HEADER_SEAL] !== undefined) letters += lettersIn(headers);
      if (++seen === COUNTED_MAX) break;
    }
    for await (const mark of this.#messages({ from: 1, subjects: [goneSubjects(this.#pipeline)] })) {
      letters -= countOf(mark.data);
    }
    return seen < COUNTED_MAX ? Math.max(0, letters) : Math.round((letters / seen) * messages);
  }

  async *#messages(options: {
    readonly from: number;
    readonly subjects: readonly string[];
    readonly headersOnly?: boolean;
    readonly counted?: ((total: number) => void) | undefined;
  }): AsyncGenerator<StoredMessage> {
    const { from, subjects, headersOnly = false, counted } = options;
    const reader = this.#options.log.read({ stream: this.#stream, subjects, from, gaps: 'allow', headersOnly });
    let toldCount = false;
    try {
      for (;;) {
        // A reader that opens at a message which is gone by now has no more to say than one at the end.
        const left = reader.left;
        const messages = reader.take(TAKE);
        if (!toldCount && left !== null) {
          counted?.(left);
          toldCount = true;
        }
        // Not `yield*`, which waits for a moment even over nothing: what comes then would not be heard.
        for (const message of messages) yield message;
        if (messages.length > 0) continue;
        if (reader.error !== null) throw reader.error;
        if (reader.caughtUp) return;
        await ready(reader, {
          clock: this.#options.clock,
          patienceMs: PATIENCE_MS,
          silent: 'the broker does not send the letters; try again',
        });
      }
    } finally {
      await reader.stop();
    }
  }

  async #mark(seq: number): Promise<{ readonly seq: number; readonly gone: Gone } | null> {
    const { log, seal } = this.#options;
    const mark = await log.last({ stream: this.#stream, subject: goneSubject(this.#pipeline, seq) });
    // A forged one says nothing, and is followed by the next all the same.
    return mark === null ? null : { seq: mark.seq, gone: seal.isMark(mark) ? mark.data : new Uint8Array() };
  }

  /** Deletes letters of one message. */
  async remove(letters: readonly Pick<PlacedLetter, 'seq' | 'index' | 'among'>[]): Promise<void> {
    const { seq, among } = letters[0]!;
    const { log, clock, seal } = this.#options;
    const stream = this.#stream;
    const subject = goneSubject(this.#pipeline, seq);
    let cause: unknown = null;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (tries > 0) await sleep(clock, RETRY_MS);
      const before = among === 1 ? null : await this.#mark(seq);
      const gone = new Uint8Array(Math.ceil(among / 8));
      if (before !== null) gone.set(before.gone.subarray(0, gone.length));
      for (const { index } of letters) gone[index >> 3]! |= 1 << (index & 7);
      if (countOf(gone) >= among) {
        await log.remove({ stream, seq });
        if (before !== null) await log.trim({ stream, subject, before: before.seq + 1 });
        return;
      }
      const headers = { [HEADER_SEAL]: seal.ofMark(subject, gone) };
      const outcome = await log.append({ stream, subject, data: gone, headers, expect: before?.seq ?? 0 });
      if (outcome.kind === 'landed') {
        if (before !== null) await log.trim({ stream, subject, before: outcome.seq });
        return;
      }
      if (outcome.kind === 'unsure') cause = outcome.cause;
    }
    const text = `letters of message ${seq} in stream ${stream} could not be deleted: ${messageOf(cause)}; ask for it again`;
    throw new MillraceError('BROKER_UNAVAILABLE', text, { cause });
  }
}

function isSet(gone: Gone, index: number): boolean {
  return ((gone[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

function countOf(gone: Gone): number {
  let count = 0;
  for (const byte of gone) for (let bits = byte; bits !== 0; bits &= bits - 1) count++;
  return count;
}
