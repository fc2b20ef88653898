/**
 * The shared reply inbox: one subscription, and who waits for which answer. Owns deadlines and what becomes of
 * waiters when the connection goes. A request of its own per publish (as the client makes) costs ten times as much.
 *
 * All waiters have about the same patience, so one slow timer serves them all.
 */
import { createInbox, type Msg, type NatsConnection, type Subscription } from 'nats';
import { MillraceError } from '../base/errors.ts';
import { InFlight } from '../base/in-flight.ts';
import { asClientHeaders, statusOf } from './headers.ts';
import { partsOf } from './message.ts';

/**
 * Why there was no answer. `no-responders`: nobody listens on the subject at the moment, so it was not received;
 * `refused`: a missing permission; all others: nobody knows.
 */
export interface NoAnswer {
  readonly kind: 'timeout' | 'no-responders' | 'disconnected' | 'refused';
  readonly cause: Error;
}

export interface Waiter {
  /** Called once for each `send`, with the `tag` given there. */
  answer(tag: number, data: Uint8Array): void;
  noAnswer(tag: number, why: NoAnswer): void;
}

/** A message as it goes out; headers are encoded. */
export interface Outgoing {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Uint8Array | null;
}

interface Waiting {
  readonly waiter: Waiter;
  readonly tag: number;
  readonly subject: string;
  readonly deadline: number;
}

const SWEEP_MS = 250;
const ZERO = 48;
const NO_RESPONDERS = 503;

export class Inbox {
  /** The prefix that inboxes of this connection are made with. */
  readonly root: string;
  readonly #client: NatsConnection;
  readonly #answerMs: number;
  readonly #prefix: string;
  #subscription: Subscription;
  /** Why no answer can come; null: they can. */
  #deaf: MillraceError | null = null;
  readonly #waiting = new InFlight<Waiting>();
  readonly #sweep: NodeJS.Timeout;
  /** Subjects that the server did not let us publish to, and when it said so. */
  readonly #refusedAt = new Map<string, number>();
  #up = true;
  #stopped = false;

  constructor(client: NatsConnection, options: { answerMs: number; prefix: string }) {
    this.#client = client;
    this.#answerMs = options.answerMs;
    this.root = options.prefix;
    this.#prefix = `${createInbox(options.prefix)}.`;
    this.#subscription = this.#subscribe();
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS).unref();
  }

  #subscribe(): Subscription {
    return this.#client.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        if (error === null) return this.#receive(message);
        this.#deaf = new MillraceError('BROKER_REFUSED', permissionText('subscription', `${this.root}.>`), {
          cause: error,
        });
        this.#fail('refused', this.#deaf);
      },
    });
  }

  /**
   * Publishes and waits for the answer, whichever way it ends. Never throws for the state of the
   * connection: what cannot be sent has no answer, and the waiter may hear so before this returns.
   */
  send(message: Outgoing, waiter: Waiter, tag: number): void {
    const { subject, data, headers } = message;
    if (!this.#up) {
      // The client would keep it for later; whoever asks again would then find both sent.
      waiter.noAnswer(tag, { kind: 'disconnected', cause: new Error('there is no connection to NATS') });
      return;
    }
    if (this.#deaf !== null) {
      waiter.noAnswer(tag, { kind: 'refused', cause: this.#deaf });
      return;
    }
    const token = this.#waiting.add({ waiter, tag, subject, deadline: performance.now() + this.#answerMs });
    try {
      const reply = this.#prefix + token;
      this.#client.publish(subject, data, headers === null ? { reply } : { reply, headers: asClientHeaders(headers) });
    } catch (error) {
      this.#waiting.take(token);
      waiter.noAnswer(tag, { kind: 'disconnected', cause: error as Error });
    }
  }

  /** Sends without waiting for an answer. */
  post({ subject, data, headers }: Outgoing): void {
    if (!this.#up || this.#client.isClosed()) return;
    this.#client.publish(subject, data, headers === null ? undefined : { headers: asClientHeaders(headers) });
  }

  connected(): void {
    this.#up = !this.#stopped;
    if (this.#deaf === null || this.#stopped) return;
    // The permission may have been granted: servers make their clients connect anew when permissions change.
    this.#deaf = null;
    this.#subscription = this.#subscribe();
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
    if (!this.#client.isClosed()) this.#subscription.unsubscribe();
    this.#fail('disconnected', new Error('the connection to NATS was closed'));
  }

  #receive(message: Msg): void {
    const { subject, head, data } = partsOf(message);
    let token = 0;
    for (let i = this.#prefix.length; i < subject.length; i++) token = token * 10 + subject[i]! - ZERO;
    const waiting = this.#waiting.take(token);
    if (waiting === undefined) return; // came after its deadline, or twice
    if (head !== null && data.length === 0 && statusOf(head).code === NO_RESPONDERS) {
      const cause = new Error(`no responders for ${waiting.subject}`);
      waiting.waiter.noAnswer(waiting.tag, { kind: 'no-responders', cause });
    } else {
      waiting.waiter.answer(waiting.tag, data);
    }
  }

  #expire(): void {
    const now = performance.now();
    for (const { waiter, tag, subject } of this.#waiting.takeAll(({ deadline }) => deadline <= now)) {
      const cause = new Error(`no answer for ${subject} within ${this.#answerMs} ms`);
      waiter.noAnswer(tag, { kind: 'timeout', cause });
    }
  }

  #fail(kind: NoAnswer['kind'], cause: Error): void {
    for (const { waiter, tag } of this.#waiting.takeAll(() => true)) waiter.noAnswer(tag, { kind, cause });
  }
}

function refusal(subject: string): MillraceError {
  return new MillraceError('BROKER_REFUSED', permissionText('publish', subject));
}

/** What a missing permission is called, and what to grant: the whole of what a worker needs, not subject after subject. */
export function permissionText(operation: string, subject: string): string {
  const what = operation === 'publish' ? 'publish' : 'subscribe';
  const whole = /^(\$JS\.API|\$KV\.[^.]+|_mrb?|millrace|_INBOX)\./.exec(subject);
  return `the server does not permit us to ${what} to ${subject}; grant this user: ${what} to ${whole === null ? subject : `${whole[1]}.>`}`;
}
