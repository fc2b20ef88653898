/**
 * The way out to a destination with one writer at a time: a channel of the next stage, or an owned output subject. It is
 * a chain, so a message of a former owner that lands late is the very one we were about to send: our append is beaten,
 * the tail says which rows are in, and we go on with the next (invariant E: a row is in exactly once, because every
 * message is fenced by the one before it and says up to which row it goes).
 */
import { MillraceError } from '../base/errors.ts';
import type { Headers, StoredMessage } from '../port/log.ts';
import { decodeFrameHead, type Progress } from '../record/frame.ts';
import { firstTrace } from '../record/trace.ts';
import type { Chain } from './chain.ts';
import { type Outgoing, OutgoingQueue, parseProgress } from './queue.ts';
import { type Block, HEADER_COMMIT, headersFor, joinRows, type RowsItem, type Sender } from './rows-item.ts';
import type { SinkSpec } from './sink-spec.ts';

export interface FrameItem extends Outgoing {
  readonly frame: Uint8Array;
}

/** What differs between the two kinds of chain: how a message is made of what waits, and how a tail is read. */
interface Form<T extends Outgoing> {
  /** Makes the next message from the front of the queue; takes nothing off. */
  next(queue: OutgoingQueue<T>): { data: Uint8Array; headers: Headers | undefined; through: Progress };
  progressOf(tail: StoredMessage): Progress | null;
}

export interface Outlet<T extends Outgoing> {
  push(item: T): void;
  readonly backlogBytes: number;
  stop(): void;
}

export interface OutletOptions<T extends Outgoing> {
  readonly chain: Chain;
  readonly form: Form<T>;
  /** The sequence that a past commit recorded for this destination, or 0. */
  readonly rememberedSeq: number;
  /** The last commit of former owners: later ones nobody but us can have sent. */
  readonly inheritedTo: number;
  /** An item is in, whole. `seq`: the last message of the destination. */
  onSent(item: T, seq: number): void;
  onFailed(error: unknown): void;
}

export class ChainOutlet<T extends Outgoing> implements Outlet<T> {
  #options: OutletOptions<T>;
  #queue = new OutgoingQueue<T>();
  #running = false;
  #open = false;

  constructor(options: OutletOptions<T>) {
    this.#options = options;
  }

  get backlogBytes(): number {
    return this.#queue.bytes;
  }

  push(item: T): void {
    this.#queue.push(item);
    if (this.#running) return;
    this.#running = true;
    this.#send().then(
      () => {
        this.#running = false;
      },
      error => this.#options.onFailed(error),
    );
  }

  async #send(): Promise<void> {
    const { chain, form } = this.#options;
    if (!this.#open) {
      this.#adopt(await chain.open());
      this.#open = true;
    }
    while (this.#queue.length > 0) {
      const message = form.next(this.#queue);
      const outcome = await chain.append(message.data, message.headers);
      if (outcome.kind === 'landed') this.#settle(message.through);
      else {
        chain.adopt(outcome.tail);
        this.#adopt(outcome.tail);
      }
    }
  }

  #adopt(tail: StoredMessage | null): void {
    const { chain, form, rememberedSeq, inheritedTo } = this.#options;
    if (tail === null) {
      if (rememberedSeq === 0 || this.#queue.at(0)!.commit > inheritedTo) return;
      throw new MillraceError(
        'CHAIN_BROKEN',
        `${chain.subject}: its last message (${rememberedSeq}) is gone and results wait to be sent, so it cannot be told whether they were sent already. The stream's retention is shorter than the outage was; delete and deploy the pipeline again, or raise max_age.`,
      );
    }
    const progress = form.progressOf(tail);
    if (progress === null) {
      throw new MillraceError(
        'CHAIN_BROKEN',
        `${chain.subject}: the message at ${tail.seq} was not written by this pipeline. An owned subject has one writer; stop the other one, or give the sink another subject.`,
      );
    }
    this.#settle(progress);
  }

  #settle(through: Progress): void {
    for (const item of this.#queue.settle(through)) this.#options.onSent(item, this.#options.chain.seq);
  }

  stop(): void {
    this.#options.chain.stop();
  }
}

/** Frames to a channel: each is a message of its own and says in its head what it is. */
export const frameForm: Form<FrameItem> = {
  next(queue) {
    const front = queue.at(0)!;
    return { data: front.frame, headers: undefined, through: { position: front.commit, row: front.rowTo } };
  },
  progressOf: tail => decodeFrameHead(tail.data),
};

/** A message of many rows carries the trace of the first that has one. */
function traceOfBlocks(blocks: readonly Block[]): string | null {
  for (const { item, from, to } of blocks) {
    const trace = firstTrace(item.rows.traces, from, to);
    if (trace !== null) return trace;
  }
  return null;
}

/** Rows to an owned subject: as many commits' rows as wait and fit go out in one message, or one row at a time. */
export function rowsForm(options: { sink: SinkSpec; sender: Sender; messageBytesMax: number }): Form<RowsItem> {
  const { sink, sender, messageBytesMax } = options;
  const rowsMax = sink.frame === 'none' ? 1 : Number.POSITIVE_INFINITY;
  return {
    next(queue) {
      const blocks: Block[] = [];
      let count = 0;
      let bytes = 0;
      let commit = 0;
      for (let i = 0; i < queue.length && count < rowsMax; i++) {
        const item = queue.at(i)!;
        const { rows, rowFrom, rowTo } = item;
        let to = rowFrom;
        while (to < rowTo && count < rowsMax) {
          const more = rows.lengths[to]! + 1;
          if (count > 0 && bytes + more > messageBytesMax) break;
          bytes += more;
          count++;
          to++;
        }
        if (to > rowFrom) {
          blocks.push({ item, from: rowFrom, to });
          commit = item.commit;
        }
        if (to < rowTo) break;
      }
      const first = blocks[0]!;
      const last = blocks.at(-1)!;
      const headers = headersFor({
        sender,
        sink,
        rows: count,
        commit,
        row: last.to,
        firstOrigin: first.item.rows.origins[first.from]!,
        lastOrigin: last.item.rows.origins[last.to - 1]!,
        trace: traceOfBlocks(blocks),
      });
      return { data: joinRows(blocks), headers, through: { position: commit, row: last.to } };
    },
    progressOf: tail => parseProgress(tail.headers?.[HEADER_COMMIT]),
  };
}
