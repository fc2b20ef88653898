/** What the suites of the log port share: a rig, a place to write to, and ways to wait for a reader. */
import assert from 'node:assert/strict';
import type {
  Log,
  LogReader,
  NewMessage,
  ReadOptions,
  StoredMessage,
  StreamLook,
  StreamSettings,
} from '../../lib/port/log.ts';

export interface LogRig {
  readonly log: Log;
  remove(): Promise<void>;
}

const PATIENCE_MS = 20_000;
export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (message: StoredMessage | null | undefined): string | null =>
  message ? Buffer.from(message.data).toString() : null;
export const texts = (messages: readonly StoredMessage[]): (string | null)[] => messages.map(text);
export const message = (subject: string, data: string, expect?: number): NewMessage =>
  expect === undefined ? { subject, data: bytes(data) } : { subject, data: bytes(data), expect };

/** Resolves when `done` says so after a call of `onReady`; rejects when that takes too long. */
export function ready(reader: LogReader, done: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the reader had nothing more to say')), PATIENCE_MS);
    const look = () => {
      if (!done()) return;
      clearTimeout(timer);
      reader.onReady = null;
      resolve();
    };
    reader.onReady = look;
    look();
  });
}

/** Takes until there are `count` messages. */
export async function take(
  reader: LogReader,
  count: number,
  limits = { messagesMax: 1_000, bytesMax: 1_000_000 },
): Promise<StoredMessage[]> {
  const taken: StoredMessage[] = [];
  await ready(reader, () => {
    for (;;) {
      const messagesMax = Math.min(limits.messagesMax, count - taken.length);
      const some = messagesMax > 0 ? reader.take({ ...limits, messagesMax }) : [];
      if (some.length === 0) break;
      taken.push(...some);
    }
    assert.equal(reader.error, null);
    return taken.length >= count;
  });
  return taken;
}

/** Looks until the broker says that there was nothing more. */
export async function lookOf(reader: LogReader): Promise<StreamLook> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const look = await reader.look();
    if (look !== null) return look;
    assert.equal(reader.error, null);
    assert.ok(performance.now() < deadlineMs, 'no look was answered');
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

export async function endOf(reader: LogReader): Promise<Error> {
  await ready(reader, () => {
    reader.take({ messagesMax: 1_000, bytesMax: 1_000_000 });
    return reader.error !== null;
  });
  return reader.error!;
}

/** Where a test writes: a stream `S<n>` on `s<n>.>`, another one for each test. */
export class Place {
  readonly log: Log;
  readonly #rig: LogRig;
  readonly #readers: LogReader[] = [];
  #count = 0;

  constructor(rig: LogRig) {
    this.#rig = rig;
    this.log = rig.log;
  }

  get stream(): string {
    return `S${this.#count}`;
  }

  get s(): string {
    return `s${this.#count}`;
  }

  async next(): Promise<void> {
    this.#count++;
    await this.make({});
  }

  /** Makes the stream anew. */
  async make(settings: Partial<StreamSettings>): Promise<void> {
    await this.log.deleteStream(this.stream);
    await this.log.ensureStream({ name: this.stream, subjects: [`${this.s}.>`], ...settings });
  }

  /** Appends to `s<n>.<subject>`; it must land. */
  async append(subject: string, data: string, expect?: number): Promise<number> {
    const outcome = await this.log.append(message(`${this.s}.${subject}`, data, expect));
    assert.ok(outcome.kind === 'landed', `${subject} ${data}: ${outcome.kind}`);
    return outcome.seq;
  }

  read(options: Omit<ReadOptions, 'stream'>): LogReader {
    const reader = this.log.read({ stream: this.stream, ...options });
    this.#readers.push(reader);
    return reader;
  }

  async remove(): Promise<void> {
    for (const reader of this.#readers) await reader.stop();
    await this.#rig.remove();
  }
}
