/**
 * Where records of a batch leave for the tasks of a next stage: they wait here by partition, and at the batch's end become
 * the frames of its commit. Sending those is the relay's.
 */
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { partitionOf } from '../base/hash.ts';
import type { Change } from '../change/change.ts';
import type { BatchSize } from '../journal/batch-size.ts';
import type { FrameRoute, OutFrame } from '../journal/outbox.ts';
import type { WatchedCalls } from '../operator/call-watch.ts';
import type { Cursor, PoisonedRecord, Receiver } from '../operator/run.ts';
import { addRecord, type Columns, changeAt, emptyColumns, sliceColumns } from '../record/columns.ts';
import { roughBytes } from '../state/size.ts';
import type { FrameEncoding } from './encoding.ts';

/** What a record takes in a frame beside key and value. */
const RECORD_BYTES = 24;

/** Records for the tasks of a next stage. */
export class StageExit implements Receiver {
  readonly route: FrameRoute;
  #lanes: Columns[];
  #used: number[] = [];
  #cursor: Cursor;
  #size: BatchSize;
  /** Reads the value, and so runs its getters. */
  #weigh: (value: unknown) => number = roughBytes;
  #refuse: ((record: PoisonedRecord) => void) | undefined;
  #encoding: FrameEncoding;

  constructor(options: {
    route: FrameRoute;
    partitions: number;
    cursor: Cursor;
    size: BatchSize;
    encoding: FrameEncoding;
    calls?: WatchedCalls | undefined;
    /** Told of a record that cannot be read, with the next stage's name as its operator; absent: it is thrown. */
    refuse?: (record: PoisonedRecord) => void;
  }) {
    const { calls } = options;
    if (calls !== undefined) this.#weigh = calls.watched((value: unknown) => roughBytes(value));
    this.#refuse = options.refuse;
    this.route = options.route;
    this.#size = options.size;
    this.#encoding = options.encoding;
    this.#lanes = Array.from({ length: options.partitions }, emptyColumns);
    this.#cursor = options.cursor;
  }

  receive(key: string | null, value: unknown, timeMs: number, change: Change): void {
    if (this.#size.outgrown) return;
    let bytes: number;
    try {
      bytes = this.#weigh(value);
    } catch (error) {
      if (this.#refuse === undefined) throw error;
      const cause = isMillraceError(error) ? error : new MillraceError('USER_CODE', messageOf(error), { cause: error });
      return this.#refuse({ operator: this.route.stage, cause, value, change });
    }
    this.#size.bytes += RECORD_BYTES + (key === null ? 0 : key.length) + bytes;
    const partition = key === null ? 0 : partitionOf(key, this.#lanes.length);
    const lane = this.#lanes[partition]!;
    if (lane.keys.length === 0) this.#used.push(partition);
    const { origin, id, trace } = this.#cursor;
    addRecord(lane, key, value, timeMs, change, origin, id, trace);
  }

  /** Frames of at most `bytesMax`. A record that cannot be packed, or is too large for any frame, is refused. */
  take(options: FrameOptions, frames: OutFrame[]): void {
    for (const partition of this.#used) {
      const columns = this.#lanes[partition]!;
      this.#lanes[partition] = emptyColumns();
      let row = 0;
      for (let from = 0; from < columns.keys.length; ) {
        const { bytes, to } = cutFrame(columns, { from, row, encoding: this.#encoding, ...options });
        if (bytes !== null) {
          row += to - from;
          frames.push({ route: this.route, partition, row, bytes });
        }
        from = to;
      }
    }
    this.#used = [];
  }
}

/** A record that fits no frame. */
export interface RefusedRow {
  readonly value: unknown;
  readonly origin: number;
  readonly change: Change;
}

interface FrameOptions {
  readonly commit: number;
  readonly watermarkMs: number;
  readonly bytesMax: number;
  /** Infinity: unknown. */
  readonly publishedMs: number;
  refuse(cause: MillraceError, record: RefusedRow): void;
}

/** The longest frame from row `from` on that can be written, halving until it can; null: the one row is refused. */
function cutFrame(
  columns: Columns,
  options: FrameOptions & { from: number; row: number; encoding: FrameEncoding },
): { bytes: Uint8Array | null; to: number } {
  const { from, row, bytesMax, publishedMs, encoding } = options;
  for (let to = columns.keys.length; ; to = from + ((to - from) >> 1)) {
    // Only the commit's last frame on a channel may say how far event time is.
    const isLast = to === columns.keys.length;
    const bytes = encoding.try({
      position: options.commit,
      row: row + to - from,
      watermarkMs: isLast ? options.watermarkMs : Number.NEGATIVE_INFINITY,
      // Only broadcasts speak of the clock: a few times a second is enough for what it is needed for.
      clockMs: Number.NEGATIVE_INFINITY,
      quietMs: 0,
      bootstrapped: true,
      columns: sliceColumns(columns, from, to),
      letters: [],
      publishedMs: publishedMs === Number.POSITIVE_INFINITY ? undefined : publishedMs,
    });
    if (bytes instanceof Uint8Array && bytes.length <= bytesMax) return { bytes, to };
    if (to - from > 1) continue;
    const cause =
      bytes instanceof Uint8Array
        ? new MillraceError('MESSAGE_TOO_LARGE', `a record of ${bytes.length} bytes does not fit a message`)
        : bytes;
    const change = changeAt(columns.changes, from);
    options.refuse(cause, { value: columns.values[from], origin: columns.origins[from]!, change });
    return { bytes: null, to };
  }
}
