/**
 * The log of a checkpoint that is being made: its writes in order, as bytes until store and snapshot have them. A large
 * checkpoint waits long, and as objects its writes took ten times the memory and were the collector's to go through.
 *
 * What the store must hear of and what a snapshot must are nearly the same. The log is in the form of segments
 * (`segment.ts`), which mark what is the store's alone; where nothing is, they are the snapshot's as they stand.
 */
import type { StoreWrite } from '../port/store.ts';
import { encodeSegments, type SegmentOrPause, SegmentReader, SegmentWriter } from './segment.ts';

interface Part {
  readonly bytes: Uint8Array;
  /** How many of its writes are for the store alone. */
  readonly cached: number;
}

export class WriteLog implements Iterable<StoreWrite> {
  /** How many writes there are. */
  length = 0;
  readonly #parts: Part[] = [];
  /** Null: nothing more is added. */
  #writer: SegmentWriter | null = new SegmentWriter();
  #cached = 0;

  /** `isNews` false: a put of what the snapshot has already. */
  add(write: StoreWrite, isNews = true): void {
    const writer = this.#writer!;
    if (!writer.fits(write)) this.#endSegment(writer);
    writer.add(write, isNews);
    if (!isNews) this.#cached++;
    this.length++;
  }

  /** There will be no more, and it may be read. */
  end(): void {
    if (!this.#writer!.isEmpty) this.#endSegment(this.#writer!);
    this.#writer = null;
  }

  /** All of it, in order. What it gives shares memory with the log. */
  *[Symbol.iterator](): IterableIterator<StoreWrite> {
    for (const { bytes } of this.#parts) {
      const reader = new SegmentReader(bytes);
      for (let write = reader.next(); write !== null; write = reader.next()) yield write;
    }
  }

  /** What a snapshot must hear of. */
  *segments(): Generator<SegmentOrPause> {
    for (const { bytes, cached } of this.#parts) {
      if (cached === 0) yield bytes;
      else yield* encodeSegments(newsIn(bytes));
    }
  }

  #endSegment(writer: SegmentWriter): void {
    this.#parts.push({ bytes: writer.finish(), cached: this.#cached });
    this.#cached = 0;
  }
}

function* newsIn(bytes: Uint8Array): Generator<StoreWrite> {
  const reader = new SegmentReader(bytes);
  for (let write = reader.next(); write !== null; write = reader.next()) if (reader.isNews) yield write;
}
