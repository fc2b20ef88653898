/**
 * The results and letters as they come, for `dev`: reads every output stream, and the stream of letters, from where it
 * ended when the tail was made, and hands on each row as text. Made before the pipeline is deployed, so that its first
 * result is seen; a stream may come later.
 */
import type { SinkSpec } from '../lib/outlet/sink-spec.ts';
import type { Headers, Log, LogReader, StoredMessage } from '../lib/port/log.ts';
import { lateText } from '../lib/record/letter.ts';
import { unpackLetters } from '../lib/record/letter-group.ts';
import { isInternal, lettersStream } from '../lib/record/names.ts';
import type { Seal } from '../lib/record/seal.ts';

const ROW_CHARACTERS_MAX = 400;
const TAKE = { messagesMax: 1_000, bytesMax: 1 << 20 };

export interface OutputRow {
  readonly subject: string;
  readonly text: string;
}

export interface TailedLetter {
  readonly operator: string;
  /** Code of the error; null: it was late. */
  readonly code: string | null;
  readonly message: string;
  readonly text: string;
}

export interface TailOptions {
  /** By it letters are known as such; others are not shown. */
  readonly seal: Seal;
  row(row: OutputRow): void;
  letter(letter: TailedLetter): void;
}

interface Tailed {
  readonly stream: string;
  readonly holds: 'text' | 'msgpack' | 'letters';
  readonly from: number;
  reader: LogReader | null;
}

export class Tail {
  readonly #log: Log;
  readonly #streams = new Map<string, Tailed>();
  readonly #options: TailOptions;

  constructor(log: Log, options: TailOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Notes where the streams end now; what is known already is left as it is. */
  async add(plan: { readonly pipeline: string; readonly sinks: readonly SinkSpec[] }): Promise<void> {
    for (const { target, format } of plan.sinks) {
      await this.#note(target.stream.name, format === 'msgpack' ? 'msgpack' : 'text');
    }
    await this.#note(lettersStream(plan.pipeline), 'letters');
  }

  async #note(stream: string, holds: Tailed['holds']): Promise<void> {
    if (this.#streams.has(stream)) return;
    const info = await this.#log.info(stream);
    this.#streams.set(stream, { stream, holds, from: (info?.lastSeq ?? 0) + 1, reader: null });
  }

  /** Begins to read the streams that exist by now. Called again and again. */
  async poll(): Promise<void> {
    for (const tailed of this.#streams.values()) {
      if (tailed.reader !== null || (await this.#log.info(tailed.stream)) === null) continue;
      const reader = this.#log.read({ stream: tailed.stream, from: tailed.from });
      tailed.reader = reader;
      reader.onReady = () => this.#drain(tailed, reader);
      this.#drain(tailed, reader);
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#streams.values()].map(tailed => tailed.reader?.stop()));
  }

  #drain(tailed: Tailed, reader: LogReader): void {
    for (let batch = reader.take(TAKE); batch.length > 0; batch = reader.take(TAKE)) {
      for (const message of batch) this.#show(message, tailed.holds);
    }
  }

  #show(message: StoredMessage, holds: Tailed['holds']): void {
    const { subject, data } = message;
    if (isInternal(subject)) return;
    if (holds === 'letters') {
      if (!this.#options.seal.isLetter(message)) return;
      for (const { headers, bytes } of unpackLetters(message)) this.#options.letter(letterOf(headers, textOf(bytes)));
      return;
    }
    if (data.length === 0) return;
    const text = () => textOf(data);
    if (holds === 'msgpack') {
      this.#options.row({ subject, text: `(${data.length} bytes of msgpack)` });
      return;
    }
    for (const line of text().split('\n')) {
      if (line !== '') this.#options.row({ subject, text: line.slice(0, ROW_CHARACTERS_MAX) });
    }
  }
}

function textOf(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString();
}

function letterOf(headers: Headers, text: string): TailedLetter {
  const header = (name: string) => headers[name] ?? null;
  const code = header('Millrace-Error');
  return {
    operator: header('Millrace-Operator') ?? '',
    code,
    message: code === null ? lateText(headers) : (header('Millrace-Message') ?? ''),
    text: text.slice(0, ROW_CHARACTERS_MAX),
  };
}
