/**
 * The chain: a subject with one writer at a time. Owns one writer's place in it and nothing else; what the messages
 * mean (journal entry, frame, row, marker) is the caller's.
 *
 * Every message names the sequence of the one before it, and the broker refuses one whose predecessor is not the last.
 * From this follow the facts that all of exactly-once rests on:
 * - *one writer*: a writer that has lost its place cannot write: after another's append every append of ours fails.
 * - *one successor*: nothing is missing or doubled in a chain, since each message has exactly one predecessor and at
 *   most one successor; so the identical message, sent any number of times, lands at most once.
 * - *last word*: after a crash the last message says exactly what was done.
 * And one that this file keeps for them:
 * - *one append at a time*: the next message's predecessor is known only when this one has landed.
 *
 * **In doubt.** A lost answer proves nothing, and neither does a read that does not show the message: it may be still
 * on its way. The only sound move is to send the *identical* message again, until it lands or is refused (*one
 * successor* makes that safe). When it is refused, the last message decides: if it has our bytes and names our
 * predecessor, it is our write that landed unheard.
 *
 * **Identical content by somebody else** on the same predecessor counts as ours. In chains whose content comes from a
 * journal (channels, output subjects, markers) that is exactly right: what matters is that this content follows that
 * predecessor once, and a former and a new owner make it from the same commit. A journal is where ownership is
 * *decided*, so there two writers must never be able to make the same bytes: every journal message carries a nonce of
 * its writer.
 *
 * A refusal does not say that our message never landed: it may have, and somebody else's may have followed. The caller
 * learns the tail and judges.
 */
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { BEGIN_ANEW, invariant, isMillraceError, MillraceError, PERHAPS_MAPPED } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { EXPECT_HEADER, headerValue } from '../port/headers.ts';
import type { Append, Headers, Log, NewMessage, StoredMessage } from '../port/log.ts';

/** What a leader that was deposed a moment ago may still show is asked for again so many times before it is believed. */
export const SHORTER_READINGS_MAX = 5;

export interface ChainOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly stream: string;
  readonly subject: string;
  /** Jitter between tries; without one the delays are exact. */
  readonly random?: Random;
  /**
   * For a stream of a user's, whose retention may take the chain's last message: asked when there is none any more. It
   * throws unless the chain may begin anew; `inDoubt`: a try of the message in hand got no answer, so it may have landed
   * and be gone with the rest. Absent, for journals and channels: never.
   */
  readonly mayBeginAnew?: ((options: { inDoubt: boolean }) => Promise<void>) | undefined;
  /** Told before each retry (not for the first try). For health and logs: a chain that cannot write must be seen. */
  readonly onRetry?: (retry: { attempt: number; cause: unknown }) => void;
}

export type ChainAppend =
  | { readonly kind: 'landed'; readonly seq: number }
  /** Somebody else's message is last. The chain stays where it was until `adopt`. */
  | { readonly kind: 'moved'; readonly tail: StoredMessage };

const RETRY_BASE_MS = 20;
const RETRY_MAX_MS = 1000;

/**
 * - `closed`     our place is unknown: `open` or `adopt` first. Also after an append that ended in doubt
 * - `idle`       the last message's sequence is `#seq`
 * - `busy`       opening or appending (*one append at a time*)
 * - `stopped`    for good
 */
type Phase = 'closed' | 'idle' | 'busy' | 'stopped';

export class Chain {
  readonly stream: string;
  readonly subject: string;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #random: Random | undefined;
  readonly #onRetry: ChainOptions['onRetry'];
  readonly #mayBeginAnew: ChainOptions['mayBeginAnew'];
  #phase: Phase = 'closed';
  #seq = 0;
  /** Ends the one wait that is under way. */
  #interrupt: ((error: Error) => void) | null = null;

  constructor(options: ChainOptions) {
    this.stream = options.stream;
    this.subject = options.subject;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#onRetry = options.onRetry;
    this.#mayBeginAnew = options.mayBeginAnew;
  }

  /** Sequence of the last message as far as this writer knows; 0: the chain is empty. */
  get seq(): number {
    return this.#seq;
  }

  /**
   * Reads the last message on the leader and takes the place after it. Null: the chain is empty. Retries while the
   * broker is unavailable; throws what retrying cannot mend (STREAM_MISSING, BROKER_REFUSED). A tail before `atLeast` is
   * read again a few times, then the caller has to make sense of it.
   */
  async open(atLeast = 0): Promise<StoredMessage | null> {
    this.#begin('opened');
    try {
      let tail = await this.#readTail();
      for (let i = 1; i < SHORTER_READINGS_MAX && (tail?.seq ?? 0) < atLeast; i++) {
        await this.#pause(i);
        tail = await this.#readTail();
      }
      this.#seq = tail?.seq ?? 0;
      this.#end('idle');
      return tail;
    } catch (error) {
      this.#end('closed');
      throw error;
    }
  }

  /** Continues after a message that somebody else wrote (the tail of a `moved`, or one read elsewhere). */
  adopt(tail: StoredMessage | null): void {
    this.#begin('given a tail');
    this.#seq = tail?.seq ?? 0;
    this.#end('idle');
  }

  /**
   * Appends after the last known message and retries until it has landed or is truly beaten; there is no limit of its
   * own, `stop` ends it. Throws CHAIN_BROKEN when the chain is shorter than remembered, BROKER_UNAVAILABLE when stopped
   * (the message may still land), and what retrying cannot mend (STREAM_MISSING, BROKER_REFUSED, MESSAGE_TOO_LARGE).
   */
  append(data: Uint8Array, headers?: Headers): Promise<ChainAppend> {
    try {
      invariant(this.#phase !== 'closed', `chain ${this.subject}: appended to before it was opened`);
      this.#begin('appended to');
    } catch (error) {
      return Promise.reject(error);
    }
    const message: NewMessage =
      headers === undefined
        ? { stream: this.stream, subject: this.subject, data, expect: this.#seq }
        : { stream: this.stream, subject: this.subject, data, headers, expect: this.#seq };
    // The first try is nearly always the only one: it goes without what the others need.
    return this.#try(message).then(
      outcome => (outcome.kind === 'landed' ? this.#landed(outcome.seq) : this.#insist(message, outcome)),
      error => {
        this.#end('idle');
        throw error;
      },
    );
  }

  #try(message: NewMessage): Promise<Append> {
    return this.#unlessStopped(this.#log.append(message));
  }

  #landed(seq: number): ChainAppend {
    invariant(seq > this.#seq, `chain ${this.subject}: landed at ${seq}, before ${this.#seq}`);
    return this.#settle({ kind: 'landed', seq });
  }

  /** After a first try that has not landed. */
  async #insist(first: NewMessage, outcomeOfFirst: Append): Promise<ChainAppend> {
    let message = first;
    let outcome = outcomeOfFirst;
    let doubt = false;
    try {
      for (let attempt = 0, shorter = 0; ; attempt++) {
        let cause: unknown;
        if (outcome.kind === 'landed') return this.#landed(outcome.seq);
        if (outcome.kind === 'moved') {
          const tail = await this.#readTail();
          if (tail !== null && tail.seq > this.#seq) {
            return this.#settle(
              isSameWrite(message, tail) ? { kind: 'landed', seq: tail.seq } : { kind: 'moved', tail },
            );
          }
          const seen = tail?.seq ?? 0;
          shorter = seen < this.#seq ? shorter + 1 : 0;
          if (shorter >= SHORTER_READINGS_MAX) {
            if (tail === null && this.#mayBeginAnew !== undefined) {
              await this.#mayBeginAnew({ inDoubt: doubt });
              this.#seq = 0;
              message = { ...message, expect: 0 };
              outcome = await this.#try(message);
              continue;
            }
            throw new MillraceError(
              'CHAIN_BROKEN',
              `${this.subject} in stream ${this.stream} ends at sequence ${seen}, but ${this.#seq} was there: ` +
                `the broker lost or deleted messages, or ${PERHAPS_MAPPED}. Restore the stream, or ${BEGIN_ANEW}`,
            );
          }
          const text = `refused after sequence ${this.#seq}, but the last one read is ${seen}`;
          // A leader that was deposed shows an earlier one. The same one shows that others count than can be read.
          cause = new Error(seen < this.#seq ? text : `${text}: if that stays so, ${PERHAPS_MAPPED}`);
        } else {
          doubt = true;
          cause = outcome.cause;
        }
        this.#onRetry?.({ attempt: attempt + 1, cause });
        await this.#pause(attempt);
        outcome = await this.#try(message);
      }
    } catch (error) {
      // A refusal of the first try is certain. Later it only tells of that try: an earlier one may land yet.
      this.#end(doubt || isMillraceError(error, 'CHAIN_BROKEN') ? 'closed' : 'idle');
      throw error;
    }
  }

  /** Ends what is under way with BROKER_UNAVAILABLE, and everything later. What was sent may still land. */
  stop(): void {
    if (this.#phase === 'stopped') return;
    this.#phase = 'stopped';
    this.#interrupt?.(this.#stoppedError());
    this.#interrupt = null;
  }

  #begin(what: string): void {
    if (this.#phase === 'stopped') throw this.#stoppedError();
    invariant(this.#phase !== 'busy', `chain ${this.subject}: ${what} while busy; one thing at a time`);
    this.#phase = 'busy';
  }

  #end(phase: 'idle' | 'closed'): void {
    if (this.#phase === 'busy') this.#phase = phase;
  }

  #settle(outcome: ChainAppend): ChainAppend {
    if (outcome.kind === 'landed') this.#seq = outcome.seq;
    this.#end('idle');
    return outcome;
  }

  async #readTail(): Promise<StoredMessage | null> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#unlessStopped(this.#log.last({ stream: this.stream, subject: this.subject }));
      } catch (error) {
        if (!isMillraceError(error) || error.fate !== 'retry') throw error;
        if (this.#phase === 'stopped') throw error;
        this.#onRetry?.({ attempt: attempt + 1, cause: error });
        await this.#pause(attempt);
      }
    }
  }

  #pause(attempt: number): Promise<void> {
    const delayMs = backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random: this.#random });
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(delayMs, resolve);
      this.#interrupt = error => {
        cancel();
        reject(error);
      };
    });
  }

  /** Not `Promise.race`: racing against one promise that lives as long as the chain keeps every loser alive. */
  #unlessStopped<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      work.then(resolve, reject);
    });
  }

  #stoppedError(): MillraceError {
    return new MillraceError(
      'BROKER_UNAVAILABLE',
      `chain ${this.subject} was stopped before it was decided whether its message landed`,
    );
  }
}

/**
 * Whether a stored message is this write: the same bytes and headers after the same predecessor. See above for why the
 * sender does not matter.
 */
export function isSameWrite(message: NewMessage, stored: StoredMessage): boolean {
  if (stored.headers?.[EXPECT_HEADER] !== String(message.expect)) return false;
  for (const name in message.headers) {
    if (stored.headers[name] !== headerValue(message.headers[name]!)) return false;
  }
  return Buffer.compare(message.data, stored.data) === 0;
}
