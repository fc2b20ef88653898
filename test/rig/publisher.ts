/**
 * A service that publishes to JetStream in bulk: single messages in order, pipelined behind a counted window of
 * acknowledgements on one shared reply subject. A promise a message (`js.publish`) would cost more than the pipeline.
 */
import { createInbox, headers, type MsgHdrs, type NatsConnection, type Subscription } from 'nats';

const ACK_TIMEOUT_MS = 30_000;

export class Publisher {
  private readonly connection: NatsConnection;
  private readonly windowMax: number;
  private readonly reply: string;
  private readonly acks: Subscription;
  private sent = 0;
  private acknowledged = 0;
  private refusal: Error | null = null;
  private wake: (() => void) | null = null;

  /** @param windowMax messages that may be under way without an acknowledgement. */
  constructor(connection: NatsConnection, { windowMax = 1_000 }: { windowMax?: number } = {}) {
    this.connection = connection;
    this.windowMax = windowMax;
    this.reply = createInbox();
    this.acks = connection.subscribe(this.reply, { callback: (error, ack) => this.take(error, ack?.data) });
  }

  /** How many are in their stream. */
  get stored(): number {
    return this.acknowledged;
  }

  /** True: the window is full; wait for `room` before the next one. Throws what the broker refused. */
  publish(subject: string, body: Uint8Array | string, head?: MsgHdrs): boolean {
    if (this.refusal) throw this.refusal;
    this.connection.publish(subject, body, { reply: this.reply, ...(head === undefined ? {} : { headers: head }) });
    this.sent++;
    return this.sent - this.acknowledged >= this.windowMax;
  }

  /** The service has said everything up to this event time, in ISO, or `end`: all of it. As `publish`. */
  complete(subject: string, upTo: string): boolean {
    const heartbeat = headers();
    heartbeat.set('Millrace-Complete', upTo);
    return this.publish(subject, '', heartbeat);
  }

  /** Resolves when half of the window is free. */
  room(): Promise<void> {
    return this.until(this.windowMax / 2);
  }

  /** Resolves when every message is in its stream. */
  async finish(): Promise<void> {
    await this.until(0);
    this.acks.unsubscribe();
  }

  private async until(underwayMax: number): Promise<void> {
    while (this.sent - this.acknowledged > underwayMax) {
      if (this.refusal) throw this.refusal;
      const before = this.acknowledged;
      const timer = setTimeout(() => this.wakeUp(), ACK_TIMEOUT_MS);
      await new Promise<void>(resolve => (this.wake = resolve));
      clearTimeout(timer);
      if (this.acknowledged === before && !this.refusal)
        throw new Error(`the broker has acknowledged nothing for ${ACK_TIMEOUT_MS / 1_000} s`);
    }
    if (this.refusal) throw this.refusal;
  }

  private take(error: Error | null, ack: Uint8Array | undefined): void {
    if (error) this.refusal = error;
    // An acknowledgement is `{"stream":…,"seq":…}`; only a refusal begins with its error, and an empty body means that
    // no stream keeps the subject.
    else if (!ack || ack.length === 0 || ack[2] === LETTER_E) this.refusal = new Error(`not stored: ${textOf(ack)}`);
    else this.acknowledged++;
    if (this.wake) this.wakeUp();
  }

  private wakeUp(): void {
    this.wake?.();
    this.wake = null;
  }
}

const LETTER_E = 'e'.charCodeAt(0);

function textOf(ack: Uint8Array | undefined): string {
  return ack && ack.length > 0 ? Buffer.from(ack).toString() : 'no stream keeps the subject';
}
