/**
 * Many appends without fences, pipelined: one call's run. Owns its window (so many messages and bytes unanswered) and
 * its retries.
 *
 * Order: messages go out in order. When one is in doubt nothing further is sent until all answers are in; then those in
 * doubt go again, in order, before the rest. The broker's own queue drops publishes silently when it overflows, so the
 * window is not a matter of taste.
 */
import { backoffMs } from '../base/backoff.ts';
import type { Append, NewMessage } from '../port/log.ts';
import type { NoAnswer, Waiter } from './inbox.ts';

export interface AppendAllOptions {
  readonly messages: readonly NewMessage[];
  /** Sends message `index`; returns its bytes. Throws for what cannot be sent at all. */
  send(index: number, waiter: Waiter): number;
  /** What an answer says; null: it is none. Throws what retrying cannot mend. */
  judge(index: number, answer: Uint8Array): Append | null;
  /** Told of each try that has to be repeated. */
  readonly inDoubt?: ((cause: unknown) => void) | undefined;
  /** Throws STREAM_MISSING when the stream does not keep the subject. */
  checkStream(subject: string): Promise<void>;
}

const WINDOW_MESSAGES_MAX = 4_000;
const WINDOW_BYTES_MAX = 16 * 1024 * 1024;
const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 1_000;

export function appendAll(options: AppendAllOptions): Promise<void> {
  return new Promise((resolve, reject) => new Run(options, resolve, reject).start());
}

class Run implements Waiter {
  readonly #options: AppendAllOptions;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  /** The first message that was never sent. */
  #next = 0;
  /** Sent again before `#next`, in order. */
  #again: number[] = [];
  #doubtful: number[] = [];
  /** A message for it reached nobody, or nobody who counts: is its stream still there? */
  #unkept: string | null = null;
  #inFlight = 0;
  #inFlightBytes = 0;
  readonly #bytes: Uint32Array;
  #attempt = 0;
  #sending = false;
  #ended = false;

  constructor(options: AppendAllOptions, resolve: () => void, reject: (error: unknown) => void) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#bytes = new Uint32Array(options.messages.length);
  }

  start(): void {
    this.#pump();
  }

  answer(index: number, data: Uint8Array): boolean {
    if (this.#ended) return true;
    try {
      const judged = this.#options.judge(index, data);
      if (judged === null) return false;
      this.#arrived(index);
      if (judged.kind === 'unsure') this.#doubts(index, judged.cause);
      this.#pump();
    } catch (error) {
      this.#fail(error);
    }
    return true;
  }

  #doubts(index: number, cause: unknown): void {
    this.#options.inDoubt?.(cause);
    this.#doubtful.push(index);
  }

  noAnswer(index: number, why: NoAnswer): void {
    this.#arrived(index);
    if (this.#ended) return;
    if (why.kind === 'refused') {
      this.#fail(why.cause);
      return;
    }
    const { kind } = why;
    if (kind === 'no-responders' || kind === 'misanswered') this.#unkept = this.#options.messages[index]!.subject;
    this.#doubts(index, why.cause);
    this.#pump();
  }

  #arrived(index: number): void {
    this.#inFlight--;
    this.#inFlightBytes -= this.#bytes[index]!;
  }

  #pump(): void {
    if (this.#sending) return; // answered while sending: the loop below goes on
    this.#sending = true;
    const { messages } = this.#options;
    let at = 0;
    try {
      while (
        !this.#ended &&
        this.#doubtful.length === 0 &&
        this.#inFlight < WINDOW_MESSAGES_MAX &&
        this.#inFlightBytes < WINDOW_BYTES_MAX
      ) {
        const index = at < this.#again.length ? this.#again[at++]! : this.#next++;
        if (index >= messages.length) {
          this.#next = messages.length;
          break;
        }
        this.#send(index);
      }
    } catch (error) {
      this.#fail(error);
    }
    if (at > 0) this.#again.splice(0, at);
    this.#sending = false;
    if (this.#ended || this.#inFlight > 0) return;
    if (this.#doubtful.length > 0) void this.#retry();
    else if (this.#next === messages.length && this.#again.length === 0) {
      this.#ended = true;
      this.#resolve();
    }
  }

  #send(index: number): void {
    // Counted before it goes out: the waiter may hear of a lost connection before `send` returns.
    this.#inFlight++;
    this.#bytes[index] = 0;
    const bytes = this.#options.send(index, this);
    if (this.#doubtful.at(-1) === index) return;
    this.#bytes[index] = bytes;
    this.#inFlightBytes += bytes;
  }

  async #retry(): Promise<void> {
    this.#again = [...this.#doubtful.sort((a, b) => a - b), ...this.#again];
    this.#doubtful = [];
    const subject = this.#unkept;
    this.#unkept = null;
    const delayMs = backoffMs(this.#attempt++, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS });
    try {
      if (subject !== null) await this.#options.checkStream(subject);
      await new Promise(resolve => setTimeout(resolve, delayMs));
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#pump();
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reject(error);
  }
}
