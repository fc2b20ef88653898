/**
 * What services publish, in memory: the streams that the sources of a pipeline read.
 */
import { invariant } from '../base/errors.ts';
import type { Headers, LogReader, ReadOptions, StoredMessage, StreamInfo, StreamLook } from '../port/log.ts';
import { matches } from '../record/subject.ts';
import { assumedStream } from '../topology/assumed.ts';
import type { TestClock } from './clock.ts';

/** As a nats-server has it unless told otherwise. */
export const MESSAGE_BYTES_MAX = 1 << 20;

/**
 * A message. One whose publication has no time of its own was published when the clock said or, if its event time is
 * later, then: so a test need not set the clock to see its events accepted.
 */
export class TestMessage implements StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly headers: Headers | null;
  readonly data: Uint8Array;
  timeMs: number;
  #follows: boolean;

  constructor(options: Omit<StoredMessage, 'timeMs'> & { nowMs: number; publishedMs: number | null }) {
    const { subject, seq, headers, data, nowMs, publishedMs } = options;
    this.subject = subject;
    this.seq = seq;
    this.headers = headers;
    this.data = data;
    this.timeMs = publishedMs ?? nowMs;
    this.#follows = publishedMs === null;
  }

  /** A record of it has this event time. */
  follow(eventTimeMs: number): void {
    if (this.#follows && eventTimeMs > this.timeMs) this.timeMs = eventTimeMs;
  }
}

export class TestStream {
  readonly name: string;
  readonly messages: TestMessage[] = [];

  constructor(name: string) {
    this.name = name;
  }

  append(message: Omit<ConstructorParameters<typeof TestMessage>[0], 'seq'>): TestMessage {
    const stored = new TestMessage({ ...message, seq: this.messages.length + 1 });
    this.messages.push(stored);
    return stored;
  }

  at(seq: number): TestMessage | null {
    return this.messages[seq - 1] ?? null;
  }

  info(): StreamInfo {
    return assumedStream(this.name, [], this.messages.length);
  }
}

/** The streams that a plan's sources read, as their log. */
export class TestStreams {
  #streams = new Map<string, TestStream>();
  #clock: TestClock;

  constructor(clock: TestClock) {
    this.#clock = clock;
  }

  get messageBytesMax(): number {
    return MESSAGE_BYTES_MAX;
  }

  add(name: string): TestStream {
    let stream = this.#streams.get(name);
    if (stream === undefined) this.#streams.set(name, (stream = new TestStream(name)));
    return stream;
  }

  stream(name: string): TestStream {
    const stream = this.#streams.get(name);
    invariant(stream !== undefined, `stream ${name} is read by a source`);
    return stream;
  }

  async info(name: string): Promise<StreamInfo | null> {
    return this.#streams.get(name)?.info() ?? null;
  }

  async get({ stream, seq }: { stream: string; seq: number }): Promise<StoredMessage | null> {
    return this.stream(stream).at(seq);
  }

  /** A stream's end on the clock of the test. */
  end(stream: string): StreamLook {
    return { clockMs: this.#clock.now(), lastSeq: this.stream(stream).messages.length };
  }

  read({ stream, subjects }: ReadOptions): LogReader {
    const { messages } = this.stream(stream);
    const end = () => this.end(stream);
    let position = 0;
    return {
      take() {
        const taken = messages.slice(position);
        position = messages.length;
        return subjects === undefined ? taken : taken.filter(({ subject }) => subjects.some(f => matches(f, subject)));
      },
      get caughtUp() {
        return position === messages.length;
      },
      get left() {
        return messages.length - position;
      },
      get nextTimeMs() {
        return messages[position]?.timeMs ?? null;
      },
      onReady: null,
      error: null,
      async look() {
        return position === messages.length ? end() : null;
      },
      async stop() {},
    };
  }
}
