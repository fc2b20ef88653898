/**
 * The shared reply inbox: one subscription, and who waits for which answer. Owns deadlines, what becomes of waiters when
 * the connection goes, and that answers which are not the broker's are passed over, counted and told. A request of its
 * own per publish (as the client makes) costs ten times as much.
 *
 * All waiters have about the same patience, so one slow timer serves them all.
 */
import { createInbox } from 'nats';
import { MillraceError, PERHAPS_MAPPED } from '../base/errors.ts';
import { InFlight } from '../base/in-flight.ts';
import { statusOf, textOf } from './headers.ts';
import type { Ear, Wire } from './wire.ts';
import type { InboundMessage, InboundReceiver } from './wire-reader.ts';
import type { OutboundMessage } from './wire-writer.ts';

/**
 * Why there was no answer. `no-responders`: nobody listens on the subject at the moment, so it was not received;
 * `refused`: a missing permission; all others: nobody knows. `misanswered`: a timeout, and somebody else has answered.
 */
export interface NoAnswer {
  readonly kind: 'timeout' | 'misanswered' | 'no-responders' | 'disconnected' | 'refused';
  readonly cause: Error;
}

/** One of the two ends the wait for a `send`; both are given the `tag` of it. */
export interface Waiter {
  /** False: it is not the answer that is awaited, nor can be, and waiting goes on. Must not throw. */
  answer(tag: number, data: Uint8Array): boolean;
  noAnswer(tag: number, why: NoAnswer): void;
}

interface Asked {
  readonly waiter: Waiter;
  readonly tag: number;
  readonly subject: string;
}

interface Waiting extends Asked {
  readonly deadline: number;
  /** The last answer that was passed over, for people. */
  strange: string | null;
}

/** Answers to what is sent to a subject that are not the broker's. */
export interface Strange {
  readonly subject: string;
  /** Since this was last told. */
  readonly count: number;
  /** Nothing was told of this subject before. */
  readonly isNews: boolean;
  /** For people: what was answered, and what to do. */
  readonly message: string;
}

const SWEEP_MS = 250;
/** Who answers one message answers them all. */
const STRANGE_TOLD_MS = 10_000;
/** A stranger to many subjects listens to a pattern that has them all: a few show which. */
const STRANGE_SUBJECTS_MAX = 16;
const STRANGE_CHARS_MAX = 60;
const ZERO = 48;
const NO_RESPONDERS = 503;

export class Inbox implements InboundReceiver {
  /** The prefix that inboxes of this connection are made with. */
  readonly root: string;
  readonly #wire: Wire;
  readonly #answerMs: number;
  readonly #prefix: string;
  #ear: Ear;
  /** Why no answer can come; null: they can. */
  #deaf: MillraceError | null = null;
  readonly #waiting = new InFlight<Waiting>();
  readonly #sweep: NodeJS.Timeout;
  /** Subjects that the server did not let us publish to, and when it said so. */
  readonly #refusedAt = new Map<string, number>();
  readonly #onStrange: (strange: Strange) => void;
  readonly #strangeSubjects = new Set<string>();
  /** Passed over and not told yet. */
  #strange: { readonly subject: string; readonly text: string; count: number } | null = null;
  #strangeToldAt = Number.NEGATIVE_INFINITY;
  #up = true;
  #stopped = false;

  constructor(wire: Wire, options: { answerMs: number; prefix: string; onStrange(strange: Strange): void }) {
    this.#wire = wire;
    this.#onStrange = options.onStrange;
    this.#answerMs = options.answerMs;
    this.root = options.prefix;
    this.#prefix = `${createInbox(options.prefix)}.`;
    this.#ear = this.#subscribe();
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS).unref();
  }

  #subscribe(): Ear {
    return this.#wire.subscribe(`${this.#prefix}*`, this, cause => {
      this.#deaf = new MillraceError('BROKER_REFUSED', permissionText('subscription', `${this.root}.>`), { cause });
      this.#fail('refused', this.#deaf);
    });
  }

  /**
   * Publishes and waits for the answer, whichever way it ends. Never throws for the state of the
   * connection: what cannot be sent has no answer, and the waiter may hear so before this returns.
   */
  send(message: OutboundMessage, waiter: Waiter, tag: number): void {
    if (this.#isSilent(waiter, tag)) return;
    this.#wire.publish(message, this.#prefix + this.#await({ waiter, tag, subject: message.subject }));
  }

  /**
   * Publishes messages that belong together, and waits for answers to the first and to the last; their tags are their
   * indexes. Throws what `message` throws, and then has sent none.
   */
  sendTogether(count: number, message: (index: number) => OutboundMessage, waiter: Waiter): void {
    const last = count - 1;
    if (this.#isSilent(waiter, last)) return;
    let first = 0;
    try {
      this.#wire.publishAll(writer => {
        for (let i = 0; i < count; i++) {
          const outgoing = message(i);
          const token = i === 0 || i === last ? this.#await({ waiter, tag: i, subject: outgoing.subject }) : 0;
          if (i === 0) first = token;
          writer.add(outgoing, token === 0 ? '' : this.#prefix + token);
        }
      });
    } catch (error) {
      this.#waiting.take(first);
      throw error;
    }
  }

  /** Whether there is no sense in asking now; the waiter has been told. */
  #isSilent(waiter: Waiter, tag: number): boolean {
    if (!this.#up) {
      // Kept for later it would be sent beside its own repeat.
      waiter.noAnswer(tag, { kind: 'disconnected', cause: new Error('there is no connection to NATS') });
      return true;
    }
    if (this.#deaf === null) return false;
    waiter.noAnswer(tag, { kind: 'refused', cause: this.#deaf });
    return true;
  }

  /** Returns the token that the answer will bear. */
  #await({ waiter, tag, subject }: Asked): number {
    return this.#waiting.add({ waiter, tag, subject, deadline: performance.now() + this.#answerMs, strange: null });
  }

  connected(): void {
    this.#up = !this.#stopped;
    if (this.#deaf === null || this.#stopped) return;
    // The permission may have been granted: servers make their clients connect anew when permissions change.
    this.#deaf = null;
    this.#ear = this.#subscribe();
  }

  disconnected(): void {
    this.#up = false;
    this.#fail('disconnected', new Error('the connection to NATS was lost'));
  }

  /** The server has refused a publish to this subject; it says so outside of any answer. */
  refused(subject: string): void {
    this.#refusedAt.set(subject, performance.now());
    const cause = refusal(subject);
    const refused = this.#waiting.takeAll(one => one.subject === subject);
    for (const { waiter, tag } of refused) waiter.noAnswer(tag, { kind: 'refused', cause });
  }

  /**
   * The refusal of a publish to this subject, if there was one of late. For messages that nobody awaits: a grant may
   * come at any time, so a refusal is not remembered for long.
   */
  refusalOf(subject: string): MillraceError | null {
    const at = this.#refusedAt.get(subject);
    return at !== undefined && performance.now() - at < this.#answerMs ? refusal(subject) : null;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#up = false;
    clearInterval(this.#sweep);
    this.#ear.stop();
    this.#fail('disconnected', new Error('the connection to NATS was closed'));
  }

  receive(frame: InboundMessage): void {
    const { bytes, subjectFrom, subjectTo } = frame;
    let token = 0;
    for (let i = subjectFrom + this.#prefix.length; i < subjectTo; i++) token = token * 10 + bytes[i]! - ZERO;
    const waiting = this.#waiting.at(token);
    if (waiting === undefined) return; // came after its deadline, or twice
    const { data } = frame;
    if (frame.hasHead && data.length === 0 && statusOf(frame.head).code === NO_RESPONDERS) {
      this.#waiting.take(token);
      const cause = new Error(
        `no responders for ${waiting.subject}: its stream has no leader at the moment, or a subscriber says so in its place (nats account report connections --subject ${waiting.subject}); or ${PERHAPS_MAPPED}`,
      );
      waiting.waiter.noAnswer(waiting.tag, { kind: 'no-responders', cause });
    } else if (waiting.waiter.answer(waiting.tag, data)) {
      this.#waiting.take(token);
    } else {
      waiting.strange = this.passOver(waiting.subject, data);
    }
  }

  /** An answer to what was sent to the subject is not the broker's: it counts for nothing. Returns it, for people. */
  passOver(subject: string, data: Uint8Array): string {
    const text = textOf(data.subarray(0, STRANGE_CHARS_MAX)).replace(/\p{Cc}+/gu, ' ');
    if (this.#strange === null) this.#strange = { subject, text, count: 1 };
    else this.#strange.count++;
    const isNews = this.#strangeSubjects.size < STRANGE_SUBJECTS_MAX && !this.#strangeSubjects.has(subject);
    if (isNews) this.#strangeSubjects.add(subject);
    if (isNews) this.#tellStrange({ subject, text, isNews });
    return text;
  }

  #tellStrange({ subject, text, isNews }: { subject: string; text: string; isNews: boolean }): void {
    const count = this.#strange!.count;
    this.#strange = null;
    this.#strangeToldAt = performance.now();
    this.#onStrange({ subject, count, isNews, message: strangeText(subject, text) });
  }

  #expire(): void {
    const now = performance.now();
    for (const { waiter, tag, subject, strange } of this.#waiting.takeAll(({ deadline }) => deadline <= now)) {
      const none = `no answer for ${subject} within ${this.#answerMs} ms`;
      if (strange === null) waiter.noAnswer(tag, { kind: 'timeout', cause: new Error(none) });
      else {
        const cause = new Error(`${none} but of somebody else: ${strangeText(subject, strange)}`);
        waiter.noAnswer(tag, { kind: 'misanswered', cause });
      }
    }
    if (this.#strange !== null && now - this.#strangeToldAt > STRANGE_TOLD_MS) {
      this.#tellStrange({ ...this.#strange, isNews: false });
    }
  }

  #fail(kind: NoAnswer['kind'], cause: Error): void {
    for (const { waiter, tag } of this.#waiting.takeAll(() => true)) waiter.noAnswer(tag, { kind, cause });
  }
}

function refusal(subject: string): MillraceError {
  return new MillraceError('BROKER_REFUSED', permissionText('publish', subject));
}

/** What was answered by whom it was not asked of, and how to find who that is. */
function strangeText(subject: string, text: string): string {
  return `'${text}' is no answer of JetStream's to what is sent to ${subject}; see who subscribes there (nats account report connections --subject ${subject}), and let nobody answer; or, if that is a stream's answer, ${PERHAPS_MAPPED}`;
}

/** What a missing permission is called, and what to grant: the whole of what a worker needs, not subject after subject. */
export function permissionText(operation: string, subject: string): string {
  const what = operation === 'publish' ? 'publish' : 'subscribe';
  const whole = /^(\$JS\.API|\$KV\.[^.]+|_mrb?|millrace|_INBOX)\./.exec(subject);
  return `the server does not permit us to ${what} to ${subject}; grant this user: ${what} to ${whole === null ? subject : `${whole[1]}.>`} (all that is needed: millrace permissions)`;
}
