/**
 * Stalls: writes that the broker does not take at the moment. Every writer waits by itself, for as long as it takes; this
 * is where it is seen that some do, since when and why, so that a pipeline which only waits does not look like one that
 * runs. Owns the decorated ports that note it; whether and when to try again is the writers' own.
 *
 * *Every wait ends*: what is noted is ended by whatever decides it. So each wait is noted under what every later
 *   decision names again, and not under what one try happens to look like: a chain by its subject; a batch by each
 *   subject that it fences, since it goes again with other tasks' rows and in another order; a run of unfenced messages
 *   by itself; a task's blobs by its folder. Whoever begins anew where somebody has waited reads first how far it is:
 *   that answer ends the wait, too.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError, messageOf } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { Blobs } from '../port/blob.ts';
import type { Append, Log, LogReader, NewMessage, ReadOptions, StreamSettings } from '../port/log.ts';

interface Stall {
  /** For a person. */
  readonly name: string;
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
  /** By subject, folder or run of messages (*every wait ends*). */
  readonly #stalls = new Map<unknown, Stall>();

  constructor({ clock, observer, pipeline }: { clock: Clock; observer: Observer; pipeline: string }) {
    this.#clock = clock;
    this.#observer = observer;
    this.#pipeline = pipeline;
  }

  get isEmpty(): boolean {
    return this.#stalls.size === 0;
  }

  /** What waits for longest, for a person; null: nothing does. */
  get reason(): string | null {
    const nowMs = this.#clock.monotonic();
    let oldest: Stall | null = null;
    let others = -1;
    for (const [key, stall] of this.#stalls) {
      if (nowMs - stall.seenMs > FORGOTTEN_MS) this.#stalls.delete(key);
      else if (nowMs - stall.sinceMs > TOLD_MS) {
        others++;
        if (oldest === null || stall.sinceMs < oldest.sinceMs) oldest = stall;
      }
    }
    if (oldest === null) return null;
    const { name, sinceMs, cause } = oldest;
    const seconds = Math.round((nowMs - sinceMs) / 1_000);
    const more = others === 0 ? '' : `, nor to ${others} more`;
    return `the broker has taken nothing to ${name}${more} for ${seconds} s: ${messageOf(cause)}; it goes on by itself`;
  }

  /** A write is in doubt, and will be tried again. `name`: the key in words. */
  waits(key: unknown, name: string, cause: unknown): void {
    const nowMs = this.#clock.monotonic();
    const before = this.#stalls.get(key);
    const isSame = before !== undefined && nowMs - before.seenMs <= FORGOTTEN_MS;
    const sinceMs = isSame ? before.sinceMs : nowMs;
    const isLong = nowMs - sinceMs > TOLD_MS;
    const told = isSame && before.told;
    if (isLong && !told) {
      const fields = { pipeline: this.#pipeline, subject: name, message: messageOf(cause) };
      this.#observer.emit({ event: 'broker.stalled', level: 'warn', ...fields });
    }
    this.#stalls.set(key, { name, sinceMs, seenMs: nowMs, cause, told: told || isLong });
  }

  /** It is decided: landed, refused, or given up. */
  over(key: unknown): void {
    const stall = this.#stalls.get(key);
    if (stall === undefined) return;
    this.#stalls.delete(key);
    if (!stall.told) return;
    const waitedMs = Math.round(this.#clock.monotonic() - stall.sinceMs);
    const fields = { pipeline: this.#pipeline, subject: stall.name, waitedMs };
    this.#observer.emit({ event: 'broker.recovered', level: 'info', ...fields });
  }

  log(log: Log): Log {
    return new WatchedLog(log, this);
  }

  blobs(blobs: Blobs): Blobs {
    return {
      get: name => blobs.get(name),
      delete: name => blobs.delete(name),
      list: async prefix => {
        const names = await blobs.list(prefix);
        this.over(taskFolder(prefix));
        return names;
      },
      put: async (name, content) => {
        // A blob's name differs from try to try.
        const folder = taskFolder(name);
        try {
          const isNew = await blobs.put(name, content);
          this.over(folder);
          return isNew;
        } catch (error) {
          if (isMillraceError(error) && error.fate === 'retry') this.waits(folder, folder, error);
          throw error;
        }
      },
    };
  }
}

/** `<task>/` from `<task>/<kind>/<name>`, or from the folder `<task>/<kind>/`. */
function taskFolder(blob: string): string {
  return blob.slice(0, blob.lastIndexOf('/', blob.lastIndexOf('/') - 1) + 1);
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

  messageBytesMaxOf(stream: string): number {
    return this.#log.messageBytesMaxOf(stream);
  }

  async append(message: NewMessage): Promise<Append> {
    const { subject } = message;
    try {
      const outcome = await this.#log.append(message);
      if (outcome.kind === 'unsure') this.#stalls.waits(subject, subject, outcome.cause);
      else this.#stalls.over(subject);
      return outcome;
    } catch (error) {
      this.#stalls.over(subject);
      throw error;
    }
  }

  async appendBatch(messages: readonly NewMessage[]): Promise<Append> {
    try {
      const outcome = await this.#log.appendBatch(messages);
      if (outcome.kind !== 'unsure') this.#decided(messages);
      else this.#waits(messages, outcome.cause);
      return outcome;
    } catch (error) {
      // Those who send batches cut them smaller, and wait if they cannot.
      if (isMillraceError(error, 'MESSAGE_TOO_LARGE')) this.#waits(messages, error);
      else this.#decided(messages);
      throw error;
    }
  }

  #waits(batch: readonly NewMessage[], cause: unknown): void {
    for (const { subject, expect } of batch) if (expect !== undefined) this.#stalls.waits(subject, subject, cause);
  }

  #decided(batch: readonly NewMessage[]): void {
    if (this.#stalls.isEmpty) return;
    for (const { subject, expect } of batch) if (expect !== undefined) this.#stalls.over(subject);
  }

  async appendAll(messages: readonly NewMessage[]): Promise<void> {
    const name = messages[0]?.subject ?? '';
    try {
      // By itself: several tasks may have messages of one subject on their way.
      await this.#log.appendAll(messages, { inDoubt: cause => this.#stalls.waits(messages, name, cause) });
    } finally {
      this.#stalls.over(messages);
    }
  }

  async last(options: { stream: string; subject: string }) {
    const message = await this.#log.last(options);
    this.#stalls.over(options.subject);
    return message;
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

  streamsOf(subject: string): Promise<string[]> {
    return this.#log.streamsOf(subject);
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
