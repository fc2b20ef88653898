/**
 * Stalls: writes that the broker does not take at the moment. Every writer waits by itself, for as long as it takes; this
 * is where it is seen that some do, since when and why, so that a pipeline which only waits does not look like one that
 * runs. Owns the decorated ports that note it; whether and when to try again is the writers' own.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError, messageOf } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Blobs } from '../port/blob.ts';
import type { Append, Log, LogReader, NewMessage, ReadOptions, StreamSettings } from '../port/log.ts';

interface Stall {
  readonly sinceMs: number;
  readonly seenMs: number;
  readonly cause: unknown;
  readonly told: boolean;
}

/** Shorter waits are every broker's: an answer that was lost, a busy check. */
const TOLD_MS = 2_000;
/** A writer that has not tried for so long is gone, and whoever follows it tells anew. Longer than any one try takes. */
const FORGOTTEN_MS = 40_000;

export class Stalls {
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #pipeline: string;
  /** By subject or blob. */
  readonly #stalls = new Map<string, Stall>();

  constructor({ clock, observer, pipeline }: { clock: Clock; observer: Observer; pipeline: string }) {
    this.#clock = clock;
    this.#observer = observer;
    this.#pipeline = pipeline;
  }

  /** What waits for longest, for a person; null: nothing does. */
  get reason(): string | null {
    const nowMs = this.#clock.monotonic();
    let oldest: [string, Stall] | null = null;
    let others = -1;
    for (const [name, stall] of this.#stalls) {
      if (nowMs - stall.seenMs > FORGOTTEN_MS) this.#stalls.delete(name);
      else if (nowMs - stall.sinceMs > TOLD_MS) {
        others++;
        if (oldest === null || stall.sinceMs < oldest[1].sinceMs) oldest = [name, stall];
      }
    }
    if (oldest === null) return null;
    const [name, { sinceMs, cause }] = oldest;
    const seconds = Math.round((nowMs - sinceMs) / 1_000);
    const more = others === 0 ? '' : `, nor to ${others} more`;
    return `the broker has taken nothing to ${name}${more} for ${seconds} s: ${messageOf(cause)}; it goes on by itself`;
  }

  /** The write to `name` is in doubt, and will be tried again. */
  waits(name: string, cause: unknown): void {
    const nowMs = this.#clock.monotonic();
    const before = this.#stalls.get(name);
    const isSame = before !== undefined && nowMs - before.seenMs <= FORGOTTEN_MS;
    const sinceMs = isSame ? before.sinceMs : nowMs;
    const isLong = nowMs - sinceMs > TOLD_MS;
    const told = isSame && before.told;
    if (isLong && !told) {
      const fields = { pipeline: this.#pipeline, subject: name, message: messageOf(cause) };
      this.#observer.emit({ event: 'broker.stalled', level: 'warn', ...fields });
    }
    this.#stalls.set(name, { sinceMs, seenMs: nowMs, cause, told: told || isLong });
  }

  /** It is decided: landed, refused, or given up. */
  over(name: string): void {
    if (this.#stalls.size === 0) return;
    const stall = this.#stalls.get(name);
    if (stall === undefined) return;
    this.#stalls.delete(name);
    if (!stall.told) return;
    const waitedMs = Math.round(this.#clock.monotonic() - stall.sinceMs);
    const fields = { pipeline: this.#pipeline, subject: name, waitedMs };
    this.#observer.emit({ event: 'broker.recovered', level: 'info', ...fields });
  }

  log(log: Log): Log {
    return new WatchedLog(log, this);
  }

  blobs(blobs: Blobs): Blobs {
    return {
      get: name => blobs.get(name),
      delete: name => blobs.delete(name),
      list: prefix => blobs.list(prefix),
      put: async (name, content) => {
        // A blob's name differs from try to try; what waits is the folder.
        const folder = name.slice(0, name.lastIndexOf('/') + 1);
        try {
          const isNew = await blobs.put(name, content);
          this.over(folder);
          return isNew;
        } catch (error) {
          if (isMillraceError(error) && error.fate === 'retry') this.waits(folder, error);
          throw error;
        }
      },
    };
  }
}

/** Passes everything on, and notes appends that stay in doubt. */
class WatchedLog implements Log {
  readonly #log: Log;
  readonly #stalls: Stalls;

  constructor(log: Log, stalls: Stalls) {
    this.#log = log;
    this.#stalls = stalls;
  }

  get messageBytesMax(): number {
    return this.#log.messageBytesMax;
  }

  async append(message: NewMessage): Promise<Append> {
    return this.#noted(message.subject, this.#log.append(message));
  }

  async appendBatch(messages: readonly NewMessage[]): Promise<Append> {
    // The last message is a marker, which is the same in every batch of its task.
    return this.#noted(messages.at(-1)!.subject, this.#log.appendBatch(messages));
  }

  async appendAll(messages: readonly NewMessage[]): Promise<void> {
    const name = messages[0]?.subject ?? '';
    try {
      await this.#log.appendAll(messages, { inDoubt: cause => this.#stalls.waits(name, cause) });
    } finally {
      this.#stalls.over(name);
    }
  }

  async #noted(name: string, append: Promise<Append>): Promise<Append> {
    try {
      const outcome = await append;
      if (outcome.kind === 'unsure') this.#stalls.waits(name, outcome.cause);
      else this.#stalls.over(name);
      return outcome;
    } catch (error) {
      this.#stalls.over(name);
      throw error;
    }
  }

  last(options: { stream: string; subject: string }) {
    return this.#log.last(options);
  }

  get(options: { stream: string; seq: number }) {
    return this.#log.get(options);
  }

  read(options: ReadOptions): LogReader {
    return this.#log.read(options);
  }

  trim(options: { stream: string; subject: string; before: number }): Promise<void> {
    return this.#log.trim(options);
  }

  remove(options: { stream: string; seq: number }): Promise<boolean> {
    return this.#log.remove(options);
  }

  count(options: { stream: string; subject: string }): Promise<number> {
    return this.#log.count(options);
  }

  streamOf(subject: string): Promise<string | null> {
    return this.#log.streamOf(subject);
  }

  info(stream: string) {
    return this.#log.info(stream);
  }

  ensureStream(settings: StreamSettings): Promise<boolean> {
    return this.#log.ensureStream(settings);
  }

  deleteStream(stream: string): Promise<void> {
    return this.#log.deleteStream(stream);
  }
}
