/**
 * One task's part in a shared output stream: what of it waits, and its marker, the chain that says what of it is in.
 *
 * A batch begins with a marker of each task that has rows in it and ends with another: *begun*, which names the place of
 * the rows in the batch, and *done*. *One try*: whatever part of a batch is in a stream, what of it are our rows can be
 * told, and no other try of them can get in. It does not rest on the broker's promise to take all of a batch or nothing:
 * where a store reaches its limit in the middle of one, nats-server keeps what was stored until then, and says nothing.
 * - The marker that begins it carries the fence, so once any of a batch is in, every other try after the same marker is
 *   refused, and one that is under way cannot land later.
 * - A batch that is whole ends in the markers that say so, and nothing more is asked.
 * - A tail that says *begun* is a batch that was broken off, or is landing at this moment. Its rows follow that marker
 *   without a gap, so those that are there are the first that wait. A marker that says so is written after it, and only
 *   then do they wait no longer: so whoever reads *begun* still has all of the batch's rows to compare with.
 */
import { BEGIN_ANEW, MillraceError } from '../../base/errors.ts';
import { SHORTER_READINGS_MAX } from '../../chain/chain.ts';
import type { Progress } from '../../channel/frame.ts';
import type { Log, StoredMessage } from '../../port/log.ts';
import type { Outlet, Sender } from '../outlet.ts';
import { broken, checkCommit } from '../past.ts';
import { ItemQueue, parseProgress, progressText } from '../queue.ts';
import type { NatsItem } from './rows-item.ts';
import { type ChainPast, checkEmpty, checkSeq, nameOf, type Place } from './tail.ts';

const HEADER_BATCH = 'Nats-Batch-Id';

export interface SharedOutletOptions {
  readonly sender: Sender;
  readonly marker: string;
  readonly past: ChainPast;
  onSent(item: NatsItem, seq: number): void;
  onFailed(error: unknown): void;
}

/** Where a batch has the rows of a marker: so many messages, the first of them so far behind it. */
interface Begun {
  readonly first: number;
  readonly messages: number;
}

/** What a marker says: what is in, and, where a batch begins with it, what is to follow. */
export interface MarkerText {
  readonly progress: Progress;
  readonly begun: Begun | null;
}

export function encodeMarker({ progress, begun }: MarkerText): Uint8Array {
  const text = progressText(progress);
  return Buffer.from(begun === null ? text : `${text} ${begun.first} ${begun.messages}`);
}

export function decodeMarker(data: Uint8Array): MarkerText | null {
  const match = /^(\S+)(?: (\d+) (\d+))?$/.exec(Buffer.from(data).toString());
  const progress = parseProgress(match?.[1]);
  if (match === null || progress === null) return null;
  return { progress, begun: match[2] === undefined ? null : { first: Number(match[2]), messages: Number(match[3]) } };
}

export class SharedOutlet implements Outlet<NatsItem> {
  readonly options: SharedOutletOptions;
  readonly queue = new ItemQueue<NatsItem>();
  /** Sequence of the marker's last message, 0: there is none; null: not read yet. */
  markerSeq: number | null = null;
  /** A batch of ours has had no answer since the marker was read. */
  inDoubt = false;
  gone = false;
  /** Who waits for the marker to be looked at. */
  #asking: (() => void)[] = [];
  #place: Place;
  /** The last commit that we can have sent from. */
  #known: number;
  #shorterReadings = 0;
  #wake: () => void;
  #leave: (outlet: SharedOutlet) => void;

  constructor(
    options: SharedOutletOptions,
    where: { log: Log; stream: string; wake(): void; leave(outlet: SharedOutlet): void },
  ) {
    this.options = options;
    this.#place = { log: where.log, stream: where.stream, subject: options.marker };
    this.#known = options.past.inheritedTo;
    this.#wake = where.wake;
    this.#leave = where.leave;
  }

  get stream(): string {
    return this.#place.stream;
  }

  get backlogBytes(): number {
    return this.queue.bytes;
  }

  push(item: NatsItem): void {
    this.queue.push(item);
    this.#wake();
  }

  open(): Promise<void> {
    return new Promise(resolve => {
      this.#asking.push(resolve);
      this.#wake();
    });
  }

  /** The marker is to be looked at, though nothing may wait. */
  get isAsked(): boolean {
    return this.#asking.length > 0;
  }

  #tell(): void {
    for (const told of this.#asking.splice(0)) told();
  }

  stop(): void {
    this.gone = true;
    this.#leave(this);
  }

  /** The marker at `seq` is the last, and says this. */
  isDone(through: Progress, seq: number): void {
    this.markerSeq = seq;
    this.inDoubt = false;
    this.#settle(through, seq);
    if (this.#asking.length > 0) this.#tell();
  }

  #settle(through: Progress, seq: number): void {
    for (const item of this.queue.settle(through)) this.options.onSent(item, seq);
  }

  /**
   * Goes on after what the marker's last message says. `later`: it is not to be had at the moment, or it is older than one
   * we know of, as a leader shows that was deposed a moment ago; ask again. `brokenOff`: the last batch was.
   */
  async goOn(): Promise<'after' | 'later' | 'brokenOff'> {
    const { past } = this.options;
    const place = this.#place;
    const known = this.markerSeq ?? past.rememberedSeq;
    const tail = await place.log.last(place);
    if ((tail?.seq ?? 0) < known && ++this.#shorterReadings < SHORTER_READINGS_MAX) return 'later';
    this.#shorterReadings = 0;
    if (tail === null) {
      const front = this.queue.at(0);
      const inDoubt = this.inDoubt || (front !== undefined && front.commit <= past.inheritedTo);
      await checkEmpty({ known, inDoubt, place, past });
      this.isDone({ position: 0, row: 0 }, 0);
      return 'after';
    }
    checkSeq(tail.seq, { known, place });
    const text = decodeMarker(tail.data);
    if (text === null) throw broken(nameOf(place), `the message at ${tail.seq} is not Millrace's`);
    await checkCommit(text.progress.position, { known: this.#known, place: nameOf(place), past });
    if (text.begun === null) {
      this.isDone(text.progress, tail.seq);
      return 'after';
    }
    // Until it is settled what follows it, nothing may be sent after it: the marker counts as not read.
    this.#settle(text.progress, tail.seq);
    if (this.queue.length > 0) return this.#goOnIn(tail, { progress: text.progress, ...text.begun });
    // Rows of a batch that was broken off wait, so this one is landing: it is looked at again when something does.
    this.markerSeq = null;
    this.#tell();
    return 'after';
  }

  /** What is put into a batch is sent from then on. */
  sends(commit: number): void {
    if (commit > this.#known) this.#known = commit;
  }

  /** Takes off what of a batch that was broken off is in. */
  async #goOnIn(marker: StoredMessage, begun: Begun & Pick<MarkerText, 'progress'>): Promise<'later' | 'brokenOff'> {
    const through = await this.#rowsIn(marker, begun);
    if (through === null) {
      this.isDone(begun.progress, marker.seq);
      return 'brokenOff';
    }
    const { log, stream, subject } = this.#place;
    const data = encodeMarker({ progress: through, begun: null });
    const outcome = await log.append({ stream, subject, data, expect: marker.seq });
    // Without an answer, or beaten: the next reading tells.
    if (outcome.kind !== 'landed') return 'later';
    this.isDone(through, outcome.seq);
    return 'brokenOff';
  }

  /** Up to where the rows go of which the batch has messages in the stream; null: it has none. */
  async #rowsIn(marker: StoredMessage, { first, messages }: Begun): Promise<Progress | null> {
    const { log, stream } = this.#place;
    const batch = marker.headers?.[HEADER_BATCH];
    const last = (await log.info(stream))?.lastSeq ?? 0;
    const end = Math.min(marker.seq + first + messages - 1, last);
    const walk = new RowsWalk(this.queue);
    for (let seq = marker.seq + first; seq <= end; seq++) {
      const message = await log.get({ stream, seq });
      if (message === null) {
        throw broken(
          nameOf(this.#place),
          `a batch of results was broken off behind ${marker.seq}, and what is at ${seq} was deleted since: it cannot be told which of them are in: ${BEGIN_ANEW}`,
        );
      }
      if (batch === undefined || message.headers?.[HEADER_BATCH] !== batch) break;
      if (walk.passes(message.data)) continue;
      throw broken(
        nameOf(this.#place),
        `the message at ${seq} is of a batch that was broken off, and has other rows than wait: the journal was put back to an older copy. Restore it as it was, or delete the pipeline with its state.`,
      );
    }
    return walk.through;
  }

  fail(error: unknown): void {
    this.stop();
    this.options.onFailed(error);
  }
}

export function isPassing(error: unknown): boolean {
  return error instanceof MillraceError && error.fate === 'retry';
}

/** Goes over the rows that wait, as messages have them that were made of them. */
class RowsWalk {
  through: Progress | null = null;
  #queue: ItemQueue<NatsItem>;
  #index = 0;
  #row: number | null = null;

  constructor(queue: ItemQueue<NatsItem>) {
    this.#queue = queue;
  }

  /** Whether the next rows are those of the message; then they are passed. */
  passes(data: Uint8Array): boolean {
    const item = this.#queue.at(this.#index);
    if (item === undefined) return false;
    const { commit, rows, rowFrom, rowTo, starts } = item;
    const from = this.#row ?? rowFrom;
    const begin = starts[from]!;
    // A row alone comes without its newline.
    let to = from + 1;
    const isAlone = rows.lengths[from] === data.length;
    if (!isAlone) while (to < rowTo && starts[to]! - begin < data.length) to++;
    if (!isAlone && starts[to]! - begin !== data.length) return false;
    if (Buffer.compare(rows.bytes.subarray(begin, begin + data.length), data) !== 0) return false;
    this.through = { position: commit, row: to };
    if (to === rowTo) this.#index++;
    this.#row = to === rowTo ? null : to;
    return true;
  }
}
