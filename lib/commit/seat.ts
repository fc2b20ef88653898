/**
 * One task's part in a shared output stream: what of it waits, and its marker, the chain that says what of it is in.
 *
 * A batch begins with a marker of each task that has rows in it and ends with another: *begun*, which names the place of
 * the rows in the batch, and *done*. Invariant F: whatever part of a batch is in a stream, what of it are our rows can be
 * told, and no other try of them can get in. It does not rest on the broker's promise to take all of a batch or nothing:
 * where a store reaches its limit in the middle of one, nats-server keeps what was stored until then, and says nothing.
 * - The marker that begins it carries the fence, so once any of a batch is in, every other try after the same marker is
 *   refused, and one that is under way cannot land later.
 * - A batch that is whole ends in the markers that say so, and nothing more is asked.
 * - A tail that says *begun* is a batch that was broken off, or is landing at this moment. Its rows follow that marker
 *   without a gap, so those that are there are the first that wait, and the next go after them.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log, StoredMessage } from '../port/log.ts';
import type { Progress } from '../record/frame.ts';
import type { Outlet } from './chain-outlet.ts';
import { broken, checkCommit, checkEmpty, checkSeq, type Past, type Place, SHORTER_READINGS_MAX } from './past.ts';
import { OutgoingQueue, parseProgress, progressText } from './queue.ts';
import type { RowsItem, Sender } from './rows-item.ts';

const HEADER_BATCH = 'Nats-Batch-Id';

export interface SeatOptions {
  readonly sender: Sender;
  readonly marker: string;
  readonly past: Past;
  onSent(item: RowsItem, seq: number): void;
  onFailed(error: unknown): void;
}

/** What a marker says. `begun`: how far its batch was to go, as messages after the marker; null: that is done. */
export interface MarkerText {
  readonly progress: Progress;
  readonly begun: { readonly first: number; readonly messages: number } | null;
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

export class Seat implements Outlet<RowsItem> {
  readonly options: SeatOptions;
  readonly queue = new OutgoingQueue<RowsItem>();
  /** Sequence of the marker's last message, 0: there is none; null: not read yet. */
  markerSeq: number | null = null;
  /** A batch of ours has had no answer since the marker was read. */
  inDoubt = false;
  /** The marker is to be looked at, though nothing may wait. */
  asked = false;
  gone = false;
  #place: Place;
  /** The last commit that we can have sent from. */
  #known: number;
  #shorterReadings = 0;
  #wake: () => void;
  #leave: (seat: Seat) => void;

  constructor(options: SeatOptions, where: { log: Log; stream: string; wake(): void; leave(seat: Seat): void }) {
    this.options = options;
    this.#place = { log: where.log, stream: where.stream, subject: options.marker };
    this.#known = options.past.inheritedTo;
    this.#wake = where.wake;
    this.#leave = where.leave;
  }

  get backlogBytes(): number {
    return this.queue.bytes;
  }

  push(item: RowsItem): void {
    this.queue.push(item);
    this.#wake();
  }

  open(): void {
    this.asked = true;
    this.#wake();
  }

  stop(): void {
    this.gone = true;
    this.#leave(this);
  }

  settle(through: Progress): void {
    for (const item of this.queue.settle(through)) this.options.onSent(item, this.markerSeq ?? 0);
  }

  /**
   * Goes on after what the marker's last message says. `later`: it is older than one we know of, as a leader shows that was
   * deposed a moment ago; ask again. `brokenOff`: the last batch was.
   */
  async goOn(): Promise<'after' | 'later' | 'brokenOff'> {
    const { past } = this.options;
    const place = this.#place;
    const known = this.markerSeq ?? past.rememberedSeq;
    const tail = await place.log.last(place);
    if ((tail?.seq ?? 0) < known && ++this.#shorterReadings < SHORTER_READINGS_MAX) return 'later';
    this.#shorterReadings = 0;
    let outcome: 'after' | 'brokenOff' = 'after';
    if (tail === null) {
      const front = this.queue.at(0);
      const inDoubt = this.inDoubt || (front !== undefined && front.commit <= past.inheritedTo);
      await checkEmpty({ known, inDoubt, place, past });
      this.markerSeq = 0;
    } else {
      checkSeq(tail.seq, { known, place });
      const text = decodeMarker(tail.data);
      if (text === null) throw broken(place, `the message at ${tail.seq} is not Millrace's`);
      await checkCommit(text.progress.position, { known: this.#known, place, past });
      this.markerSeq = tail.seq;
      this.settle(text.progress);
      if (text.begun !== null && this.queue.length > 0) {
        outcome = 'brokenOff';
        await this.#goOnIn(tail, text.begun);
      }
      // Rows of a batch that was broken off wait, so this one is landing, and will have ended when something waits.
      if (text.begun !== null && outcome === 'after') this.markerSeq = null;
    }
    this.inDoubt = false;
    this.asked = false;
    return outcome;
  }

  /** What is put into a batch is sent from then on. */
  sends(commit: number): void {
    if (commit > this.#known) this.#known = commit;
  }

  /** Takes off what of a batch that was broken off is in. */
  async #goOnIn(marker: StoredMessage, { first, messages }: { first: number; messages: number }): Promise<void> {
    const { log, stream } = this.#place;
    const batch = marker.headers?.[HEADER_BATCH];
    const last = (await log.info(stream))?.lastSeq ?? 0;
    const end = Math.min(marker.seq + first + messages - 1, last);
    for (let seq = marker.seq + first; seq <= end; seq++) {
      const message = await log.get({ stream, seq });
      if (message === null) {
        throw broken(
          this.#place,
          `a batch of results was broken off behind ${marker.seq}, and what is at ${seq} was deleted since: it cannot be told which of them are in. Delete and deploy the pipeline again.`,
        );
      }
      if (batch === undefined || message.headers?.[HEADER_BATCH] !== batch) return;
      this.settle(this.#progressWith(message));
    }
  }

  /** How far we are when the message, which is in, has the rows that wait first. */
  #progressWith({ seq, data }: StoredMessage): Progress {
    const front = this.queue.at(0);
    if (front !== undefined) {
      const { commit, rows, rowFrom, rowTo, starts } = front;
      const begin = starts[rowFrom]!;
      // A row alone comes without its newline.
      let to = rowFrom + 1;
      const isAlone = rows.lengths[rowFrom] === data.length;
      if (!isAlone) while (to < rowTo && starts[to]! - begin < data.length) to++;
      const isCut = !isAlone && starts[to]! - begin !== data.length;
      const bytes = rows.bytes.subarray(begin, begin + data.length);
      if (!isCut && Buffer.compare(bytes, data) === 0) return { position: commit, row: to };
    }
    throw broken(
      this.#place,
      `the message at ${seq} is of a batch that was broken off, and has other rows than wait: the journal was put back to an older copy. Restore it as it was, or delete the pipeline with its state.`,
    );
  }

  fail(error: unknown): void {
    this.stop();
    this.options.onFailed(error);
  }
}

export function isPassing(error: unknown): boolean {
  return error instanceof MillraceError && error.fate === 'retry';
}
