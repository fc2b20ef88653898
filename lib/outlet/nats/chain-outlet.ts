/**
 * The way out to a destination with one writer at a time: a channel of the next stage, or an owned output subject. It is
 * a chain, so a message of a former owner that lands late is the very one we were about to send: our append is beaten,
 * the tail says which rows are in, and we go on with the next (*exactly in*: a row is in exactly once, because every
 * message is fenced by the one before it and says up to which row it goes).
 *
 * A tail speaks for us only if it is *ours*: it names this life and this task. Read as our own, a stranger's
 * commit number would have us leave out rows that were never sent. What was there before this life took the subject over is
 * the past, and says nothing; anything else of a stranger's ends the pipeline. Another task of this life may write here
 * for a while after a redeploy in which two sinks changed their subjects, until what its commits say is sent: its message
 * is gone on after, and our own progress is what our own last message before it says.
 */
import type { Clock } from '../../base/clock.ts';
import { BEGIN_ANEW } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { Chain } from '../../chain/chain.ts';
import type { Progress } from '../../channel/frame.ts';
import { EXPECT_HEADER } from '../../port/headers.ts';
import type { Headers, Log, StoredMessage } from '../../port/log.ts';
import { firstTrace } from '../../record/trace.ts';
import type { Outlet, Sender } from '../outlet.ts';
import { broken, checkCommit } from '../past.ts';
import { ItemQueue, parseProgress, type QueuedItem } from '../queue.ts';
import {
  type Block,
  changeText,
  HEADER_COMMIT,
  HEADER_SINK,
  HEADER_TASK,
  headersFor,
  joinRows,
  type NatsItem,
  type Writer,
  writerOf,
} from './rows-item.ts';
import { type ChainPast, checkEmpty, checkSeq, nameOf, type Place } from './tail.ts';

/** What differs between the two kinds of chain: how a message is made of what waits, and how one is read. */
export interface Form<T extends QueuedItem> {
  /** Makes the next message from the front of the queue; takes nothing off. */
  next(queue: ItemQueue<T>): { data: Uint8Array; headers: Headers | undefined; through: Progress };
  /** Whose a message is, and how far the writer was with it; null: it does not say. */
  read(message: StoredMessage): { writer: Writer; progress: Progress | null };
}

export interface ChainOutletOptions<T extends QueuedItem> {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly stream: string;
  readonly subject: string;
  readonly form: Form<T>;
  readonly past: ChainPast;
  /** The stream's retention may take the chain's last message: it is the user's. */
  readonly expires: boolean;
  /** An item is in, whole. `seq`: the last message of the destination. */
  onSent(item: T, seq: number): void;
  onFailed(error: unknown): void;
}

/** Messages of another task that are passed over to find our own. */
const SIBLINGS_MAX = 10_000;

export class ChainOutlet<T extends QueuedItem> implements Outlet<T> {
  #options: ChainOutletOptions<T>;
  #place: Place;
  #chain: Chain;
  #queue = new ItemQueue<T>();
  #running = false;
  #opening: Promise<void> | null = null;
  #isOpen = false;
  /** The last commit that we can have sent from. */
  #known: number;

  constructor(options: ChainOutletOptions<T>) {
    this.#options = options;
    const { log, clock, random, stream, subject, past, expires } = options;
    this.#place = { log, stream, subject };
    this.#known = past.inheritedTo;
    const mayBeginAnew = expires
      ? ({ inDoubt }: { inDoubt: boolean }) => this.#checkEmpty({ known: this.#chain.seq, inDoubt })
      : undefined;
    this.#chain = new Chain({ log, clock, random, stream, subject, mayBeginAnew });
  }

  get backlogBytes(): number {
    return this.#queue.bytes;
  }

  push(item: T): void {
    this.#queue.push(item);
    if (item.commit > this.#known && this.#isOpen) this.#known = item.commit;
    if (this.#running) return;
    this.#running = true;
    this.#send().catch(error => this.#options.onFailed(error));
  }

  open(): Promise<void> {
    this.#opening ??= this.#goOnFromPast();
    return this.#opening;
  }

  async #send(): Promise<void> {
    const { form } = this.#options;
    const chain = this.#chain;
    if (!this.#isOpen) await this.open();
    while (this.#queue.length > 0) {
      const message = form.next(this.#queue);
      const outcome = await chain.append(message.data, message.headers);
      if (outcome.kind === 'landed') this.#settle(message.through);
      else {
        const judgedSeq = chain.seq;
        chain.adopt(outcome.tail);
        await this.#goOnAfter(outcome.tail, judgedSeq);
      }
    }
    // In the same breath as the look at the queue: what is pushed a moment later would wait for the next push, and the last
    // rows before a stop for its deadline.
    this.#running = false;
  }

  async #goOnFromPast(): Promise<void> {
    const { rememberedSeq, inheritedTo } = this.#options.past;
    const tail = await this.#chain.open(rememberedSeq);
    if (tail === null) await this.#checkEmpty({ known: rememberedSeq, inDoubt: false });
    else {
      checkSeq(tail.seq, { known: rememberedSeq, place: this.#place });
      // Nothing is sent yet, so a commit of our own in it is as wrong as one that is nowhere.
      await this.#goOnAfter(tail, 0);
    }
    this.#isOpen = true;
    this.#known = Math.max(inheritedTo, this.#queue.at(this.#queue.length - 1)?.commit ?? 0);
  }

  #checkEmpty({ known, inDoubt }: { known: number; inDoubt: boolean }): Promise<void> {
    const { past, expires } = this.#options;
    const place = this.#place;
    // The last message of a chain that nobody but us cuts stays: where none is remembered, none was sent.
    const canBeGone = expires || known > 0;
    return checkEmpty({ known, place, past, inDoubt: canBeGone && (inDoubt || this.#waitsInherited()) });
  }

  /** What waits at the front may have been sent by a former owner. */
  #waitsInherited(): boolean {
    const front = this.#queue.at(0);
    return front !== undefined && front.commit <= this.#options.past.inheritedTo;
  }

  /** @param judgedSeq what it and all before it say is known; 0: nothing is, and we have sent nothing */
  async #goOnAfter(tail: StoredMessage, judgedSeq: number): Promise<void> {
    const own = await this.#ownProgress(tail, judgedSeq);
    if (own === null) return;
    await checkCommit(own.position, { known: this.#known, place: nameOf(this.#place), past: this.#options.past });
    this.#settle(own);
  }

  /** What our own last message says; null: nothing of what waits has been sent. */
  async #ownProgress(tail: StoredMessage, judgedSeq: number): Promise<Progress | null> {
    const { form, past, log, stream } = this.#options;
    let message: StoredMessage | null = tail;
    for (let passed = 0; message !== null && passed < SIBLINGS_MAX; passed++) {
      const { writer, progress } = form.read(message);
      if (writer === 'us' && progress !== null) return progress;
      if (writer !== 'sibling' || progress === null) {
        if (message.seq <= past.sinceSeq) return null;
        throw broken(
          nameOf(this.#place),
          `the message at ${message.seq} was written by ${strangerOf(message)}. An owned subject has one writer: stop the other one, delete what it has written here (nats stream rmm ${stream} ${message.seq}) and restart the pipeline; or ${BEGIN_ANEW}`,
        );
      }
      if (judgedSeq === 0 && !this.#waitsInherited()) return null;
      const before = Number(message.headers?.[EXPECT_HEADER] ?? 0);
      if (before <= judgedSeq) return null;
      message = await log.get({ stream, seq: before });
    }
    throw broken(
      nameOf(this.#place),
      `another task of this pipeline has written here since, and what this one has sent before that is gone: it cannot be told what is sent already: ${BEGIN_ANEW}`,
    );
  }

  #settle(through: Progress): void {
    for (const item of this.#queue.settle(through)) this.#options.onSent(item, this.#chain.seq);
  }

  stop(): void {
    this.#chain.stop();
  }
}

/** Who wrote a message of a stranger's, for a person. */
function strangerOf({ headers }: StoredMessage): string {
  const [life, sink] = headers?.[HEADER_SINK]?.split('/') ?? [];
  return life === undefined ? 'no pipeline' : `sink ${sink} of task ${headers?.[HEADER_TASK]} in life ${life}`;
}

/** A message of many rows carries the trace of the first that has one. */
function traceOfBlocks(blocks: readonly Block[]): string | null {
  for (const { item, from, to } of blocks) {
    const trace = firstTrace(item.rows.traces, from, to);
    if (trace !== null) return trace;
  }
  return null;
}

/** Rows to an owned subject: as many commits' rows as wait and fit go out in one message, or one row at a time. */
export function rowsForm(options: { sender: Sender; messageBytesMax: number }): Form<NatsItem> {
  const { sender, messageBytesMax } = options;
  return {
    next(queue) {
      const { style } = queue.at(0)!.way;
      const rowsMax = style.frame === 'none' ? 1 : Number.POSITIVE_INFINITY;
      const blocks: Block[] = [];
      let count = 0;
      let bytes = 0;
      let commit = 0;
      // Where a row is no insert, the header has a letter for each.
      let letters = 0;
      for (let i = 0; i < queue.length && count < rowsMax; i++) {
        const item = queue.at(i)!;
        // A sink that writes the subject after a redeploy may do so under another name, and in another form.
        if (item.way.style !== style) break;
        const { rows, rowFrom, rowTo } = item;
        if (rows.changes !== null) letters = 1;
        let to = rowFrom;
        while (to < rowTo && count < rowsMax) {
          const more = rows.lengths[to]! + 1;
          if (count > 0 && bytes + more + letters * (count + 1) > messageBytesMax) break;
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
        style,
        rows: count,
        commit,
        row: last.to,
        firstOrigin: first.item.rows.origins[first.from]!,
        lastOrigin: last.item.rows.origins[last.to - 1]!,
        change: changeText(blocks),
        trace: traceOfBlocks(blocks),
      });
      return { data: joinRows(blocks), headers, through: { position: commit, row: last.to } };
    },
    read: message => ({
      writer: writerOf(message, sender),
      progress: parseProgress(message.headers?.[HEADER_COMMIT]),
    }),
  };
}
