/**
 * A channel as its writer sees it: records wait here until the frame before theirs has landed, so frames are as large
 * as the backlog and as small as what has arrived.
 *
 * *Resume*: a frame's progress covers exactly the rows that this channel has been sent so far. It holds
 * because a frame is cut from the front of what waits, because its progress is that of its last row, and because
 * appends are fenced: nobody else can have put a frame in between without our append being beaten, and then the channel is
 * another owner's (`authorship.ts`).
 *
 * A row is a record or a letter, in the order in which the source's message gave them. So a frame may end anywhere in a
 * message, and whoever reads that message again counts the same rows. A record that no frame can carry becomes a letter
 * where it stands: the count stays.
 */
import { invariant, MillraceError } from '../base/errors.ts';
import type { Chain } from '../chain/chain.ts';
import { type Change, DELETE, INSERT } from '../change/change.ts';
import { addRecord, type Columns, changeAt, copyRecord, emptyColumns, sliceColumns } from '../record/columns.ts';
import { type Letter, REASON_LENGTH_MAX } from '../record/letter.ts';
import { seqOfOrigin } from '../record/origin.ts';
import { beaten, begun, takeOver } from './authorship.ts';
import { FrameCut } from './cut.ts';
import type { FrameEncoding } from './encoding.ts';
import { type Author, encodeFrame, type FrameHead, isBeyond, type Progress } from './frame.ts';

/** The writer's state at the moment a frame is cut. */
export type WriterState = Omit<FrameHead, 'row' | 'by'>;

/** A letter in the place of a record's value. */
class LetterRow {
  readonly letter: Letter;
  constructor(letter: Letter) {
    this.letter = letter;
  }
}

export class ChannelWriter {
  #cut = new FrameCut();
  #chain: Chain;
  #frameBytesMax: number;
  #writer: string;
  #encoding: FrameEncoding;
  /** Whose the channel is and what makes its rows, once it is open. */
  #author!: Author;
  /** All that has landed. */
  #progress: Progress = { position: 0, row: 0 };
  /** Event time at that progress, or before it. */
  #landedWatermarkMs = Number.NEGATIVE_INFINITY;
  /** What waits, in order; letters are `LetterRow`s among the values. */
  #columns: Columns = emptyColumns();
  /** No letter has waited since nothing did: all values are records. */
  #plain = true;
  /** Rows of the front row's source message that this channel has had before it. */
  #rowsOfFront = 0;
  #skipping = false;
  #skipped = 0;
  #sending = false;
  /** First source sequence of the frame that is on its way. */
  #inFlightFrom = Number.POSITIVE_INFINITY;
  #publishedMs: (seq: number) => number | null;
  framesSent = 0;

  /**
   * @param options.writer the reader's name, which letters about its records carry
   * @param options.encoding may be that of other channels of the reader, too
   * @param options.publishedMs when the source message at a sequence was published, ms since 1970; null: unknown
   */
  constructor(options: {
    chain: Chain;
    frameBytesMax: number;
    writer: string;
    encoding: FrameEncoding;
    publishedMs?: (seq: number) => number | null;
  }) {
    this.#publishedMs = options.publishedMs ?? (() => null);
    this.#writer = options.writer;
    this.#encoding = options.encoding;
    this.#chain = options.chain;
    this.#frameBytesMax = options.frameBytesMax;
  }

  /**
   * Takes the channel over for `author`, and learns from its tail, or from a broadcast that is further, where to go on; null: nothing has
   * begun here. May be done again before anything is pushed. Throws as `takeOver` does.
   */
  async open(author: Author, broadcast: FrameHead | null): Promise<FrameHead | null> {
    this.#author = author;
    const encode = (head: FrameHead) => encodeFrame({ columns: emptyColumns(), letters: [], ...head });
    const { head } = await takeOver(this.#chain, { author, encode, keeps: [] });
    // Where both stand at one position, the broadcast knows more of the time since then.
    const isTold = broadcast !== null && (head === null || !isBeyond(head, broadcast));
    const later = isTold ? broadcast : head;
    if (later !== null) this.#goOnAfter(later);
    return begun(later);
  }

  #goOnAfter(head: FrameHead): void {
    this.#progress = { position: head.position, row: head.row };
    this.#landedWatermarkMs = head.watermarkMs;
    this.#skipping = true;
    this.#skipped = 0;
  }

  get waiting(): number {
    return this.#columns.keys.length;
  }

  /** What a record beside the rows may take. */
  get besideBytesMax(): number {
    return this.#frameBytesMax >> 1;
  }

  get sending(): boolean {
    return this.#sending;
  }

  /** Every record of source messages up to this sequence has landed, if the writer has passed them on. */
  get landedTo(): number {
    const { origins } = this.#columns;
    const from = origins.length > 0 ? Math.min(this.#inFlightFrom, seqOfOrigin(origins[0]!)) : this.#inFlightFrom;
    return from - 1;
  }

  push(
    key: string | null,
    value: unknown,
    timeMs: number,
    change: Change,
    origin: number,
    id: string | null,
    trace: string | null = null,
  ): void {
    if (this.#skipping && this.#isCovered(origin)) return;
    addRecord(this.#columns, key, value, timeMs, change, origin, id, trace);
  }

  pushLetter(letter: Letter): void {
    this.push(null, new LetterRow(letter), 0, INSERT, letter.origin, null);
    this.#plain = false;
  }

  /**
   * Puts a record behind all that waits, of which no source message gives any: it is lost with its frame, and whoever goes
   * on does not count it. `origin`: of the last message that was read.
   */
  pushBeside(value: unknown, origin: number): void {
    addRecord(this.#columns, null, value, 0, DELETE, origin, null, null);
  }

  /** Only just after opening: is this row one that the tail says is sent? */
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

  /** Sends one frame of what waits, if the one before has landed. True: it has landed. Throws whose the channel is by now. */
  async send(writer: WriterState): Promise<boolean> {
    if (this.#sending || this.waiting === 0) return false;
    this.#sending = true;
    try {
      const cut = this.#next(writer);
      this.#inFlightFrom = cut.fromSeq;
      const outcome = await this.#chain.append(cut.bytes);
      this.#inFlightFrom = Number.POSITIVE_INFINITY;
      if (outcome.kind === 'moved') throw beaten(outcome.tail, { author: this.#author, chain: this.#chain });
      this.#progress = { position: cut.head.position, row: cut.head.row };
      this.#landedWatermarkMs = cut.head.watermarkMs;
      this.framesSent++;
      return true;
    } finally {
      this.#sending = false;
    }
  }

  stop(): void {
    this.#chain.stop();
  }

  /** Takes off the front what makes one frame. What no frame can carry gives way where it stands. */
  #next(writer: WriterState) {
    const bytesMax = this.#frameBytesMax;
    const encode = (rows: number) => {
      const found = this.#encode(rows, writer);
      return !(found instanceof Uint8Array) && this.#refuseUnwritable(rows) ? this.#encode(rows, writer) : found;
    };
    for (;;) {
      const cut = this.#cut.longest(this.waiting, { bytesMax, encode });
      if (!cut.fits) {
        this.#shrinkFront(cut.found);
        continue;
      }
      const head = this.#headFor(cut.rows, writer);
      const fromSeq = seqOfOrigin(this.#columns.origins[0]!);
      this.#columns = sliceColumns(this.#columns, cut.rows, this.waiting);
      this.#plain ||= this.waiting === 0;
      this.#rowsOfFront = head.row;
      return { head, bytes: cut.bytes, fromSeq };
    }
  }

  #encode(count: number, writer: WriterState): Uint8Array | MillraceError {
    const rows = sliceColumns(this.#columns, 0, count);
    const publishedMs = this.#publishedMs(seqOfOrigin(rows.origins[0]!)) ?? undefined;
    const { columns, letters } = this.#plain ? { columns: rows, letters: [] } : parted(rows);
    return this.#encoding.try({ columns, letters, publishedMs, ...this.#headFor(count, writer) });
  }

  /** Puts letters in the places of the first `count` records that cannot be packed. False: there is none. */
  #refuseUnwritable(count: number): boolean {
    const { values, origins } = this.#columns;
    let refused = false;
    for (let i = 0; i < count; i++) {
      if (values[i] instanceof LetterRow) continue;
      const refusal = this.#encoding.refusal(values[i], origins[i]!);
      if (refusal === null) continue;
      this.#refuse(i, refusal);
      refused = true;
    }
    return refused;
  }

  /** The front row alone is too much for a frame: a record gives way to a letter, and a letter is shortened. */
  #shrinkFront(bytes: Uint8Array | MillraceError): void {
    const { values } = this.#columns;
    const front = values[0];
    if (front instanceof LetterRow) {
      values[0] = new LetterRow(
        shortened(front.letter, bytes instanceof Uint8Array ? bytes.length - this.#frameBytesMax : null),
      );
    } else if (bytes instanceof Uint8Array) {
      const text = `a record of ${bytes.length} bytes is larger than the broker's max_payload allows`;
      this.#refuse(0, new MillraceError('MESSAGE_TOO_LARGE', text));
    } else this.#refuse(0, bytes);
  }

  /** The task that gets the letter looks for the original message: a letter without a subject has not got it. */
  #refuse(row: number, { code, message }: MillraceError): void {
    const { values, origins, changes } = this.#columns;
    const bytes = this.#encoding.content(values[row], origins[row]!);
    const text = message.slice(0, REASON_LENGTH_MAX);
    const about = { operator: this.#writer, code, message: text, bytes, index: 0, subject: '' };
    const change = changeAt(changes, row);
    values[row] = new LetterRow({ origin: origins[row]!, ...about, ...(change === INSERT ? {} : { change }) });
    this.#plain = false;
  }

  /** Never less than has landed: what is beside the rows of messages is no progress. */
  #headFor(count: number, writer: WriterState): FrameHead {
    const head = this.#headOf(count, writer);
    return isBeyond(this.#progress, head) ? { ...head, ...this.#progress } : head;
  }

  #headOf(count: number, writer: WriterState): FrameHead {
    const { origins } = this.#columns;
    const by = this.#author;
    if (count === origins.length) return { row: 0, by, ...writer };
    const next = seqOfOrigin(origins[count]!);
    let row = 0;
    for (let i = count - 1; i >= 0 && seqOfOrigin(origins[i]!) === next; i--) row++;
    if (row === count) row += this.#rowsOfFront;
    // Event time at that message is not known any more, and what is too late a clock only makes it stand still for longer:
    // one that is too early would count the silence before messages that came in it (`window/source-time.ts`, S2).
    const { clockMs } = writer;
    const watermarkMs = this.#landedWatermarkMs;
    return { position: next - 1, row, by, watermarkMs, clockMs, quietMs: 0, bootstrapped: false };
  }
}

/** The letter with less content and the length of all of it; its reason gives way last. `beyond` null: unknown. */
function shortened(letter: Letter, beyond: number | null): Letter {
  const { bytes, message } = letter;
  if (bytes.length === 0) {
    invariant(message.length > 0, 'a letter without content and reason fits a frame');
    return { ...letter, message: message.slice(0, message.length >> 1) };
  }
  const kept = Math.max(0, bytes.length - (beyond === null ? bytes.length >> 1 : beyond + 16));
  return { ...letter, bytes: bytes.subarray(0, kept), bytesTotal: letter.bytesTotal ?? bytes.length };
}

/** Records and letters apart, as a frame carries them. */
function parted(rows: Columns): { columns: Columns; letters: Letter[] } {
  const columns = emptyColumns();
  const letters: Letter[] = [];
  rows.values.forEach((value, i) => {
    if (value instanceof LetterRow) letters.push(value.letter);
    else copyRecord(columns, rows, i);
  });
  return { columns, letters };
}
