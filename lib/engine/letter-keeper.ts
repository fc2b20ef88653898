/**
 * Keeps a pipeline's letters within the limits that its author has set (`letters`): the oldest go, by age and by size, and
 * it is said how many. The stream's own limits would not do: they would take the markers, too, which lie among the letters,
 * and with them what says which letters are in.
 *
 * It is looked at every few seconds while the pipeline runs, and read only where something is over.
 */

import type { Clock } from '../base/clock.ts';
import { spanText } from '../base/duration.ts';
import { isMillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Log, StoredMessage } from '../port/log.ts';
import { ready } from '../port/ready.ts';
import { lettersIn } from '../record/letter-group.ts';
import { goneSubjects, letterSubject, lettersStream, seqOfGone } from '../record/names.ts';
import type { LetterLimits } from '../topology/plan.ts';

const EVERY_MS = 5_000;
/** How long the broker may say nothing; the next look will do. */
const PATIENCE_MS = 20_000;
const TAKE = { messagesMax: 256, bytesMax: 1 << 20 };
/** What a message takes in a store beside its subject, headers and content, about. */
const MESSAGE_BYTES = 40;

export interface LetterKeeperOptions {
  readonly pipeline: string;
  readonly limits: LetterLimits;
  readonly log: Pick<Log, 'info' | 'read' | 'trim'>;
  readonly clock: Clock;
  readonly observer: Observer;
}

export class LetterKeeper {
  readonly #options: LetterKeeperOptions;
  readonly #onFailed: (error: unknown) => void;
  readonly #stream: string;
  readonly #subjects: readonly string[];
  /** When the oldest letter is too old, ms since 1970; until it is known: at once. */
  #dueMs = 0;
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(options: LetterKeeperOptions, onFailed: (error: unknown) => void) {
    const { pipeline } = options;
    this.#options = options;
    this.#onFailed = onFailed;
    this.#stream = lettersStream(pipeline);
    this.#subjects = (['dead', 'late'] as const).map(kind => letterSubject(pipeline, { kind, operator: '>' }));
  }

  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(EVERY_MS, () => {
      this.#look().then(
        () => this.start(),
        error => (isMillraceError(error) ? this.start() : this.#onFailed(error)),
      );
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #look(): Promise<void> {
    const { log, clock, limits } = this.#options;
    const info = await log.info(this.#stream);
    if (info === null) return;
    const over = info.bytes - limits.maxBytes;
    if (over <= 0 && clock.now() < this.#dueMs) return;
    const { before, letters } = await this.#oldest(over, clock.now() - limits.maxAgeMs);
    if (letters > 0 && !this.#stopped) await this.#drop(before, letters);
  }

  /** What has to go: so many letters, in messages before a sequence. */
  async #oldest(overBytes: number, olderMs: number): Promise<{ before: number; letters: number }> {
    const found = { before: 0, letters: 0 };
    let over = overBytes;
    const { clock, limits } = this.#options;
    this.#dueMs = clock.now() + limits.maxAgeMs;
    for await (const message of this.#messages(this.#subjects)) {
      if (over <= 0 && message.timeMs >= olderMs) {
        this.#dueMs = message.timeMs + limits.maxAgeMs;
        break;
      }
      over -= sizeOf(message);
      found.before = message.seq + 1;
      found.letters += lettersIn(message.headers);
    }
    return found;
  }

  async #drop(before: number, letters: number): Promise<void> {
    const { log, observer, pipeline, limits } = this.#options;
    const stream = this.#stream;
    for (const subject of this.#subjects) await log.trim({ stream, subject, before });
    // What says which letters of a message are gone says nothing any more.
    const marks: StoredMessage[] = [];
    for await (const mark of this.#messages([goneSubjects(pipeline)])) marks.push(mark);
    for (const { subject, seq } of marks) {
      if (seqOfGone(subject) < before) await log.trim({ stream, subject, before: seq + 1 });
    }
    const message = `the oldest ${letters} letters are gone: the pipeline keeps ${limits.maxBytes} bytes of them for ${spanText(limits.maxAgeMs)} (letters: { maxBytes, maxAge })`;
    observer.emit({ event: 'letters.dropped', level: 'warn', pipeline, stream, letters, message });
  }

  async *#messages(subjects: readonly string[]): AsyncGenerator<StoredMessage> {
    const reader = this.#options.log.read({ stream: this.#stream, subjects, from: 1, gaps: 'allow' });
    try {
      for (;;) {
        const messages = reader.take(TAKE);
        for (const message of messages) yield message;
        if (messages.length > 0) continue;
        if (reader.error !== null) throw reader.error;
        if (reader.caughtUp) return;
        await ready(reader, {
          clock: this.#options.clock,
          patienceMs: PATIENCE_MS,
          silent: 'the broker does not send the letters',
        });
      }
    } finally {
      await reader.stop();
    }
  }
}

function sizeOf({ subject, headers, data }: StoredMessage): number {
  let bytes = MESSAGE_BYTES + subject.length + data.length;
  for (const name in headers) bytes += name.length + Buffer.byteLength(headers[name]!) + 4;
  return bytes;
}
