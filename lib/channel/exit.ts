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
import { FrameCut } from './cut.ts';
import type { FrameEncoding } from './encoding.ts';
import type { Frame } from './frame.ts';

/** What a record takes in a frame beside key and value. */
const RECORD_BYTES = 24;

/** Records for the tasks of a next stage. */
export class StageExit implements Receiver {
  readonly route: FrameRoute;
  #lanes: Columns[];
  #used: number[] = [];
  #cut = new FrameCut();
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
      this.#takeLane(columns, partition, options, frames);
    }
    this.#used = [];
  }

  #takeLane(columns: Columns, partition: number, options: FrameOptions, frames: OutFrame[]): void {
    const { length } = columns.keys;
    const { bytesMax } = options;
    let row = 0;
    for (let from = 0; from < length; ) {
      const encode = (rows: number) =>
        this.#encoding.try(frameOf(columns, { from, to: from + rows, row: row + rows, ...options }));
      const cut = this.#cut.longest(length - from, { bytesMax, encode });
      if (cut.fits) {
        row += cut.rows;
        frames.push({ route: this.route, partition, row, bytes: cut.bytes });
        from += cut.rows;
      } else {
        refuse(columns, from, cut.found, options);
        from++;
      }
    }
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

function frameOf(
  columns: Columns,
  { from, to, row, commit, publishedMs, ...options }: FrameOptions & { from: number; to: number; row: number },
): Frame {
  return {
    position: commit,
    row,
    // Only the commit's last frame on a channel may say how far event time is.
    watermarkMs: to === columns.keys.length ? options.watermarkMs : Number.NEGATIVE_INFINITY,
    // Only broadcasts speak of the clock: a few times a second is enough for what it is needed for.
    clockMs: Number.NEGATIVE_INFINITY,
    quietMs: 0,
    bootstrapped: true,
    columns: sliceColumns(columns, from, to),
    letters: [],
    publishedMs: publishedMs === Number.POSITIVE_INFINITY ? undefined : publishedMs,
  };
}

function refuse(columns: Columns, row: number, found: Uint8Array | MillraceError, options: FrameOptions): void {
  const cause =
    found instanceof Uint8Array
      ? new MillraceError('MESSAGE_TOO_LARGE', `a record of ${found.length} bytes does not fit a message`)
      : found;
  const change = changeAt(columns.changes, row);
  options.refuse(cause, { value: columns.values[row], origin: columns.origins[row]!, change });
}
