/**
 * The way out to a stream that may not be touched: at least once, each message with a `Nats-Msg-Id` made of task,
 * commit and row, so that within the stream's duplicate window a repeat is dropped by the broker. The checksum of the
 * commit's rows, and of what they do, tells a repeat from another commit of that number, as a journal makes that was put back
 * to an older copy.
 */
import { crc32 } from 'node:zlib';
import type { Log, NewMessage } from '../../port/log.ts';
import { traceHeaders } from '../../record/trace.ts';
import type { Outlet, Sender } from '../outlet.ts';
import { ItemQueue } from '../queue.ts';
import { addressFrom } from './destination.ts';
import { changeText, HEADER_CHANGE, HEADER_ORIGIN, joinRows, type NatsItem, originText } from './rows-item.ts';

export interface LooseOptions {
  readonly log: Log;
  readonly stream: string;
  readonly sender: Sender;
  onSent(item: NatsItem, tail: null): void;
  onFailed(error: unknown): void;
}

export class LooseOutlet implements Outlet<NatsItem> {
  #options: LooseOptions;
  #queue = new ItemQueue<NatsItem>();
  #running = false;
  #stopped = false;

  constructor(options: LooseOptions) {
    this.#options = options;
  }

  get backlogBytes(): number {
    return this.#queue.bytes;
  }

  push(item: NatsItem): void {
    this.#queue.push(item);
    if (this.#running) return;
    this.#running = true;
    this.#send().catch(error => this.#options.onFailed(error));
  }

  /** There is no tail that could tell. */
  async open(): Promise<void> {}

  async #send(): Promise<void> {
    for (let item = this.#queue.at(0); item !== undefined && !this.#stopped; item = this.#queue.at(0)) {
      await this.#options.log.appendAll(this.#messagesOf(item));
      this.#queue.shift();
      this.#options.onSent(item, null);
    }
    // In the same breath as the look at the queue, or what is pushed a moment later would wait for the next push.
    this.#running = false;
  }

  #messagesOf(item: NatsItem): NewMessage[] {
    const { rows, rowTo, commit } = item;
    const { style } = item.way;
    const { sender, stream } = this.#options;
    const messages: NewMessage[] = [];
    const checksum = crc32(rows.bytes, rows.changes === null ? 0 : crc32(rows.changes));
    const id = `${sender.task}/${sender.life}/${rows.sink}/${commit}-${checksum.toString(16)}`;
    for (let row = 0; row < rowTo; row++) {
      const origin = originText(sender.sourceStreams, rows.origins[row]!);
      const blocks = [{ item, from: row, to: row + 1 }];
      const change = changeText(blocks);
      messages.push({
        stream,
        subject: addressFrom(rows.addresses[rows.addressOf[row]!]!).subject,
        data: joinRows(blocks),
        commonHeaders: style.of(1),
        headers: {
          'Nats-Msg-Id': `${id}.${row}`,
          ...(origin === null ? {} : { [HEADER_ORIGIN]: origin }),
          ...(change === null ? {} : { [HEADER_CHANGE]: change }),
          ...traceHeaders(rows.traces?.[row] ?? null),
        },
      });
    }
    return messages;
  }

  stop(): void {
    this.#stopped = true;
  }
}
