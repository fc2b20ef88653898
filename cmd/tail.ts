/**
 * The results as they come, for `dev`: reads every output stream from where it ended when the tail was made, and hands on
 * each row as text. Made before the pipeline is deployed, so that its first result is seen; a stream may come later.
 */
import type { SinkSpec } from '../lib/commit/sink-spec.ts';
import type { Log, LogReader, StoredMessage } from '../lib/port/log.ts';

const ROW_CHARACTERS_MAX = 400;
const TAKE = { messagesMax: 1_000, bytesMax: 1 << 20 };

export interface OutputRow {
  readonly subject: string;
  readonly text: string;
}

interface Tailed {
  readonly stream: string;
  readonly msgpack: boolean;
  readonly from: number;
  reader: LogReader | null;
}

export class Tail {
  readonly #log: Log;
  readonly #streams = new Map<string, Tailed>();
  readonly #row: (row: OutputRow) => void;

  constructor(log: Log, row: (row: OutputRow) => void) {
    this.#log = log;
    this.#row = row;
  }

  /** Notes where the streams end now; what is known already is left as it is. */
  async add(sinks: readonly SinkSpec[]): Promise<void> {
    for (const { stream, format } of sinks) {
      if (this.#streams.has(stream.name)) continue;
      const info = await this.#log.info(stream.name);
      const from = (info?.lastSeq ?? 0) + 1;
      this.#streams.set(stream.name, { stream: stream.name, msgpack: format === 'msgpack', from, reader: null });
    }
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
      for (const message of batch) this.#show(message, tailed.msgpack);
    }
  }

  #show(message: StoredMessage, msgpack: boolean): void {
    const { subject, data } = message;
    if (subject.startsWith('_mr.') || data.length === 0) return;
    if (msgpack) {
      this.#row({ subject, text: `(${data.length} bytes of msgpack)` });
      return;
    }
    for (const line of Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString().split('\n')) {
      if (line !== '') this.#row({ subject, text: line.slice(0, ROW_CHARACTERS_MAX) });
    }
  }
}
