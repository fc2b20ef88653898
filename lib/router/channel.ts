/**
 * A channel as its writer sees it: records wait here until the frame before theirs has landed, so frames are as large
 * as the backlog and as small as what has arrived.
 *
 * Invariant R (resume): a frame's progress covers exactly the records that this channel has been sent so far. It holds
 * because a frame is cut from the front of what waits, because its progress is that of its last record, and because
 * appends are fenced: nobody else can have put a frame in between without our append being beaten. When it is beaten,
 * the tail says what the other writer sent, and what it covers is dropped here.
 */

import { invariant, type MillraceError } from '../base/errors.ts';
import type { Chain } from '../commit/chain.ts';
import type { StoredMessage } from '../port/log.ts';
import {
  type Columns,
  decodeFrameHead,
  emptyColumns,
  type FrameHead,
  type Letter,
  type Progress,
  sliceColumns,
  tryEncodeFrame,
} from '../record/frame.ts';
import { seqOfOrigin } from '../record/origin.ts';

const FRAME_ROWS_MAX = 16_384;
/** So much of a letter's reason is never cut off. */
const REASON_MIN = 100;

/** The writer's state at the moment a frame is cut. */
export type WriterState = Omit<FrameHead, 'row'>;

export class Channel {
  #chain: Chain;
  #frameBytesMax: number;
  #writer: string;
  /** All that has landed. */
  #progress: Progress = { position: 0, row: 0 };
  #landedWatermarkMs = Number.NEGATIVE_INFINITY;
  #columns: Columns = emptyColumns();
  #letters: Letter[] = [];
  /** Rows of the front record's source message that this channel has had before it. */
  #rowsOfFront = 0;
  #skipping = false;
  #skipped = 0;
  #sending = false;
  /** First source sequence of the frame that is on its way. */
  #inFlightFrom = Number.POSITIVE_INFINITY;
  framesSent = 0;

  /** @param options.writer the reader's name, which letters about its records carry */
  constructor(options: { chain: Chain; frameBytesMax: number; writer: string }) {
    this.#writer = options.writer;
    this.#chain = options.chain;
    this.#frameBytesMax = options.frameBytesMax;
  }

  /** Learns from the channel's tail, or from a broadcast that is further, where to go on. */
  async open(broadcast: FrameHead | null): Promise<FrameHead | null> {
    const tail = await this.#chain.open();
    const head = tail === null ? null : decodeFrameHead(tail.data);
    const later = head === null || (broadcast !== null && broadcast.position > head.position) ? broadcast : head;
    if (later !== null) this.#goOnAfter(later);
    return later;
  }

  #goOnAfter(head: FrameHead): void {
    this.#progress = { position: head.position, row: head.row };
    this.#landedWatermarkMs = head.watermarkMs;
    this.#skipping = true;
    this.#skipped = 0;
  }

  get waiting(): number {
    return this.#columns.keys.length + this.#letters.length;
  }

  get sending(): boolean {
    return this.#sending;
  }

  /** Every record of source messages up to this sequence has landed, if the writer has passed them on. */
  get landedTo(): number {
    let from = this.#inFlightFrom;
    if (this.#columns.origins.length > 0) from = Math.min(from, seqOfOrigin(this.#columns.origins[0]!));
    if (this.#letters.length > 0) from = Math.min(from, seqOfOrigin(this.#letters[0]!.origin));
    return from - 1;
  }

  push(key: string | null, value: unknown, timeMs: number, origin: number, id: string | null): void {
    if (this.#skipping && this.#isCovered(origin)) return;
    const columns = this.#columns;
    columns.keys.push(key);
    columns.values.push(value);
    columns.timesMs.push(timeMs);
    columns.origins.push(origin);
    columns.ids!.push(id);
  }

  pushLetter(letter: Letter): void {
    if (seqOfOrigin(letter.origin) > this.#progress.position) this.#letters.push(letter);
  }

  /** Only just after opening: is this record one that the tail says is sent? */
  #isCovered(origin: number): boolean {
    const seq = seqOfOrigin(origin);
    if (seq <= this.#progress.position) return true;
    if (seq === this.#progress.position + 1 && this.#skipped < this.#progress.row) {
      this.#skipped++;
      return true;
    }
    this.#skipping = false;
    this.#rowsOfFront = seq === this.#progress.position + 1 ? this.#progress.row : 0;
    return false;
  }

  /** Sends one frame of what waits, if the one before has landed. True: a frame landed or the tail was adopted. */
  async send(writer: WriterState): Promise<boolean> {
    if (this.#sending || this.waiting === 0) return false;
    this.#sending = true;
    try {
      const cut = this.#cut(writer);
      this.#inFlightFrom = cut.fromSeq;
      const outcome = await this.#chain.append(cut.bytes);
      this.#inFlightFrom = Number.POSITIVE_INFINITY;
      if (outcome.kind === 'landed') {
        this.#progress = { position: cut.head.position, row: cut.head.row };
        this.#landedWatermarkMs = cut.head.watermarkMs;
        this.framesSent++;
      } else {
        this.#putBack(cut.columns, cut.letters);
        this.#adopt(outcome.tail);
      }
      return true;
    } finally {
      this.#sending = false;
    }
  }

  stop(): void {
    this.#chain.stop();
  }

  /** Takes off the front what makes one frame: less and less, until it can be written and sent. */
  #cut(writer: WriterState) {
    let count = Math.min(this.#columns.keys.length, FRAME_ROWS_MAX);
    /** The last source message whose letters go, where they alone are too much for a frame. */
    let throughSeq = Number.POSITIVE_INFINITY;
    for (;;) {
      const head = this.#headFor(count, throughSeq, writer);
      const columns = sliceColumns(this.#columns, 0, count);
      const letters = this.#letters.filter(letter => seqOfOrigin(letter.origin) <= head.position);
      const bytes = tryEncodeFrame({ ...head, columns, letters });
      if (this.#fits(bytes)) {
        const first = [columns.origins[0], letters[0]?.origin].filter(origin => origin !== undefined);
        this.#columns = sliceColumns(this.#columns, count, this.#columns.keys.length);
        this.#letters = this.#letters.filter(letter => seqOfOrigin(letter.origin) > head.position);
        this.#rowsOfFront = head.row;
        return { head, columns, letters, bytes, fromSeq: Math.min(...first.map(seqOfOrigin)) };
      }
      if (count > 1) {
        count = count >> 1;
        continue;
      }
      const alone = letters.length === 0 ? bytes : tryEncodeFrame({ ...head, columns, letters: [] });
      if (!this.#fits(alone)) {
        this.#refuseFront(alone);
        count = Math.min(1, this.#columns.keys.length);
        throughSeq = Number.POSITIVE_INFINITY;
        continue;
      }
      const firstSeq = seqOfOrigin(letters[0]!.origin);
      const rowSeq = count === 0 ? Number.NEGATIVE_INFINITY : seqOfOrigin(columns.origins[0]!);
      if (seqOfOrigin(letters.at(-1)!.origin) > firstSeq) {
        throughSeq = Math.max(firstSeq, seqOfOrigin(letters[letters.length >> 1]!.origin) - 1);
      } else if (rowSeq > firstSeq) throughSeq = firstSeq;
      else this.#shortenLetters(firstSeq);
      if (rowSeq > throughSeq) count = 0;
    }
  }

  #fits(bytes: Uint8Array | MillraceError): bytes is Uint8Array {
    return bytes instanceof Uint8Array && bytes.length <= this.#frameBytesMax;
  }

  /** The letters of one message are too much for a frame: bytes and long reasons give way, then every other letter. */
  #shortenLetters(seq: number): void {
    const isOfMessage = (letter: Letter) => seqOfOrigin(letter.origin) === seq;
    const isLong = ({ bytes, message }: Letter) => bytes.length > 0 || message.length > REASON_MIN;
    const canShorten = this.#letters.some(letter => isOfMessage(letter) && isLong(letter));
    let seen = 0;
    this.#letters = this.#letters.flatMap(letter => {
      if (!isOfMessage(letter)) return [letter];
      if (!canShorten) return seen++ % 2 === 0 ? [letter] : [];
      const { bytes, message } = letter;
      const end = Math.max(REASON_MIN, message.length >> 1);
      return [{ ...letter, bytes: bytes.subarray(0, bytes.length >> 1), message: message.slice(0, end) }];
    });
    invariant(canShorten || seen > 1, 'a letter without bytes fits a frame');
  }

  /** The front record fits no frame: a letter takes its place. */
  #refuseFront(bytes: Uint8Array | MillraceError): void {
    const { values, origins } = this.#columns;
    const about =
      bytes instanceof Uint8Array
        ? { code: 'MESSAGE_TOO_LARGE', message: `a record of ${bytes.length} bytes does not fit a message` }
        : { code: bytes.code, message: bytes.message };
    const content = Buffer.from(String(typeof values[0] === 'object' ? Object.keys(values[0] ?? {}) : values[0]));
    this.#letters.push({
      ...about,
      operator: this.#writer,
      bytes: content,
      origin: origins[0]!,
      index: 0,
      subject: '',
    });
    this.#letters.sort((a, b) => a.origin - b.origin);
    this.#columns = sliceColumns(this.#columns, 1, this.#columns.keys.length);
  }

  #headFor(count: number, throughSeq: number, writer: WriterState): FrameHead {
    const { origins } = this.#columns;
    const partial = { watermarkMs: this.#landedWatermarkMs, idle: false, bootstrapped: false };
    const next = count === origins.length ? writer.position + 1 : seqOfOrigin(origins[count]!);
    if (throughSeq < next - 1) return { ...partial, position: throughSeq, row: 0 };
    if (count === origins.length) return { ...writer, row: 0 };
    let row = 0;
    for (let i = count - 1; i >= 0 && seqOfOrigin(origins[i]!) === next; i--) row++;
    if (row === count) row += this.#rowsOfFront;
    return { ...partial, position: next - 1, row };
  }

  #putBack(columns: Columns, letters: readonly Letter[]): void {
    this.#columns = joinColumns(columns, this.#columns);
    this.#letters = [...letters, ...this.#letters];
  }

  /** Somebody else wrote: go on after what the tail covers. */
  #adopt(tail: StoredMessage): void {
    this.#chain.adopt(tail);
    this.#goOnAfter(decodeFrameHead(tail.data));
    const waiting = this.#columns;
    this.#columns = emptyColumns();
    const letters = this.#letters;
    this.#letters = [];
    for (let i = 0; i < waiting.keys.length; i++) {
      this.push(waiting.keys[i]!, waiting.values[i], waiting.timesMs[i]!, waiting.origins[i]!, waiting.ids![i]!);
    }
    for (const letter of letters) this.pushLetter(letter);
  }
}

function joinColumns(a: Columns, b: Columns): Columns {
  return {
    keys: a.keys.concat(b.keys),
    timesMs: a.timesMs.concat(b.timesMs),
    origins: a.origins.concat(b.origins),
    ids: a.ids!.concat(b.ids!),
    values: a.values.concat(b.values),
  };
}
