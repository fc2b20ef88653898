/**
 * Room in a stage's stream: what commits reflect is dropped from a task's channels. The stream is bounded, and whoever
 * appends to a full one waits, so everything that nobody needs goes, sooner or later, whatever else comes to pass: also what
 * a former owner has read and left there, and the little that each of many tasks has read since the last time.
 *
 * Each channel keeps its last message, which says to its writer where to go on.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError } from '../base/errors.ts';
import type { Log } from '../port/log.ts';

/**
 * Read between two trims: bytes of all channels, or messages of each. A trim holds up whoever appends to the stream, the
 * longer the more it drops, and longest when the broker has that no more in memory.
 */
const TRIM_BYTES = 8 << 20;
const TRIM_MESSAGES = 256;
/** At the latest so long after the last one. */
const TRIM_MS = 10_000;

interface Channel {
  readonly subject: string;
  /** This owner's last message that a commit reflects, and which no other of its may precede; 0: none yet. */
  committedSeq: number;
  /** All before it is gone; -1: what former owners have left has not been looked at. */
  trimmedSeq: number;
}

export interface TrimsOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly stream: string;
  /** The subjects of the task's channels, by writer. */
  readonly subjects: ReadonlyMap<string, string>;
  onFailed(error: unknown): void;
}

export class Trims {
  #options: TrimsOptions;
  #channels = new Map<string, Channel>();
  #openedAt = 0;
  #bytes = 0;
  #messages = 0;
  #atMs: number;
  #working = false;
  #closed = true;

  constructor(options: TrimsOptions) {
    this.#options = options;
    this.#atMs = options.clock.monotonic();
    for (const [writer, subject] of options.subjects) {
      this.#channels.set(writer, { subject, committedSeq: 0, trimmedSeq: -1 });
    }
  }

  /** All messages up to this one were read by former owners, and their commits reflect them. */
  open(position: number): void {
    this.#openedAt = position;
    this.#closed = false;
  }

  read({ bytes, messages }: { bytes: number; messages: number }): void {
    this.#bytes += bytes;
    this.#messages += messages;
  }

  /** A commit reflects the writer's messages up to this one, or up to one before it. */
  committed(writer: string, seq: number): void {
    this.#channels.get(writer)!.committedSeq = seq;
    if (this.#bytes >= TRIM_BYTES || this.#messages >= TRIM_MESSAGES * this.#channels.size) this.#soon();
  }

  /** Called a few times a second. */
  tick(): void {
    if (this.#options.clock.monotonic() - this.#atMs >= TRIM_MS) this.#soon();
  }

  #soon(): void {
    if (this.#working || this.#closed) return;
    this.#bytes = 0;
    this.#messages = 0;
    this.#atMs = this.#options.clock.monotonic();
    this.#working = true;
    this.#trim().then(
      () => {
        this.#working = false;
      },
      error => {
        this.#working = false;
        // What passes is tried again when it is time.
        const passes = isMillraceError(error) && error.fate === 'retry';
        if (!passes && !this.#closed) this.#options.onFailed(error);
      },
    );
  }

  async #trim(): Promise<void> {
    const { log, stream } = this.#options;
    for (const channel of this.#channels.values()) {
      if (this.#closed) return;
      const { subject } = channel;
      let before = channel.committedSeq;
      if (before === 0) {
        if (channel.trimmedSeq !== -1) continue;
        const last = await log.last({ stream, subject });
        before = Math.min(last?.seq ?? 0, this.#openedAt + 1);
      }
      if (before <= channel.trimmedSeq) continue;
      if (before > 0) await log.trim({ stream, subject, before });
      channel.trimmedSeq = before;
    }
  }

  close(): void {
    this.#closed = true;
  }
}
