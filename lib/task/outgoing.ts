/**
 * What a batch sends, while it runs: the exits of a task's program write here, and at its end `take` makes of it the
 * commit's outbox, in bytes. Rows that cannot be sent become letters.
 */
import { MillraceError, messageOf } from '../base/errors.ts';
import { type Change, INSERT } from '../change/change.ts';
import type { RefusedRow, StageExit } from '../channel/exit.ts';
import type { BatchSize } from '../journal/batch-size.ts';
import { LETTERS, type Outbox, type OutFrame, type OutRows } from '../journal/outbox.ts';
import type { WatchCalls } from '../operator/call-watch.ts';
import type { Cursor, PoisonedRecord, Receiver } from '../operator/run.ts';
import type { Addressing } from '../outlet/addressing.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import { addChange, denseChanges } from '../record/columns.ts';
import { JsonLines } from '../record/json-lines.ts';
import { packOutput } from '../record/output.ts';
import type { LetterPile } from './letter-pile.ts';
import type { LetterRow } from './letters.ts';

/** Told of a row that is poisoned on its way out, with the sink's name as its operator. */
export type Refuse = (record: PoisonedRecord) => void;

/** What a row takes in a commit beside its bytes. */
const ROW_BYTES = 16;

/** What a block is of: a sink's rows, or letters. */
export interface BlockOptions {
  readonly sink: string;
  readonly kind: string;
  readonly target: string;
  readonly keeps: Addressing['keeps'];
  readonly size: BatchSize;
}

export class RowBlock {
  readonly sink: string;
  readonly kind: string;
  readonly target: string;
  #size: BatchSize;
  #lines = new JsonLines();
  #blobs: Uint8Array[] = [];
  #addresses = new Map<string, number>();
  #addressOf: number[] = [];
  #origins: number[] = [];
  /** Shorter than the others: the rest are inserts; null: all rows are. */
  #changes: Change[] | null = null;
  /** Null: they are not kept. */
  #keys: (string | null)[] | null;
  #timesMs: number[] | null;
  /** With holes; undefined: no row has one. */
  #traces: (string | null)[] | undefined;

  constructor({ sink, kind, target, keeps, size }: BlockOptions) {
    this.sink = sink;
    this.kind = kind;
    this.target = target;
    this.#size = size;
    this.#keys = keeps.keys ? [] : null;
    this.#timesMs = keeps.times ? [] : null;
  }

  get rows(): number {
    return this.#origins.length;
  }

  /** A row as a line of JSON, unless it is larger than `bytesMax`. */
  addLine(row: unknown, bytesMax: number, address: string | null, cursor: Pick<Cursor, 'origin' | 'trace'>): void {
    const bytes = this.#lines.add(row, bytesMax);
    if (bytes > bytesMax) throw tooLarge(bytes);
    this.#size.bytes += bytes + ROW_BYTES;
    this.#add(address, cursor);
  }

  addBytes(bytes: Uint8Array, address: string | null, cursor: Pick<Cursor, 'origin' | 'trace'>): void {
    this.#blobs.push(bytes);
    this.#size.bytes += bytes.length + ROW_BYTES;
    this.#add(address, cursor);
  }

  /** What else the last row is. */
  note(key: string | null, timeMs: number, change: Change): void {
    if (change !== INSERT) addChange((this.#changes ??= []), this.#origins.length - 1, change);
    if (this.#timesMs !== null) this.#timesMs.push(timeMs);
    if (this.#keys === null) return;
    this.#keys.push(key);
    if (key !== null) this.#size.bytes += key.length;
  }

  #add(address: string | null, { origin, trace }: Pick<Cursor, 'origin' | 'trace'>): void {
    this.#origins.push(origin);
    if (trace !== null) (this.#traces ??= [])[this.#origins.length - 1] = trace;
    if (address === null) return;
    let index = this.#addresses.get(address);
    if (index === undefined) {
      this.#addresses.set(address, (index = this.#addresses.size));
      this.#size.bytes += address.length;
    }
    this.#addressOf.push(index);
  }

  take(): OutRows {
    const areLines = this.#lines.count > 0;
    const { bytes, lengths } = areLines ? this.#lines.take() : joinBlobs(this.#blobs);
    const changes = this.#changes;
    const rows: OutRows = {
      sink: this.sink,
      kind: this.kind,
      target: this.target,
      addresses: [...this.#addresses.keys()],
      addressOf: this.#addressOf,
      bytes,
      lengths,
      areLines,
      origins: this.#origins,
      changes: changes === null ? null : denseChanges(changes, lengths.length),
      keys: this.#keys,
      timesMs: this.#timesMs,
      ...(this.#traces === undefined ? {} : { traces: this.#traces }),
    };
    this.#blobs = [];
    this.#addresses = new Map();
    this.#addressOf = [];
    this.#origins = [];
    this.#changes = null;
    if (this.#keys !== null) this.#keys = [];
    if (this.#timesMs !== null) this.#timesMs = [];
    this.#traces = undefined;
    return rows;
  }
}

function joinBlobs(blobs: readonly Uint8Array[]): { bytes: Uint8Array; lengths: number[] } {
  return { bytes: Buffer.concat(blobs), lengths: blobs.map(blob => blob.length) };
}

function tooLarge(bytes: number): MillraceError {
  return new MillraceError(
    'MESSAGE_TOO_LARGE',
    `a result of ${bytes} bytes is larger than the broker's max_payload, or its stream's max_msg_size, allows`,
  );
}

/** Rows for a sink, each encoded once, here. They may say themselves how (`toJSON`, getters), so it is a watched call. */
export class SinkExit implements Receiver {
  readonly block: RowBlock;
  #name: string;
  #format: SinkSpec['format'];
  #addressing: Addressing;
  #cursor: Cursor;
  #refuse: Refuse;
  /** What a row may be at present: a stream's limit may be set anew while we run. */
  #limit: () => number;
  #rowBytesMax: number;
  #size: BatchSize;
  #write: (key: string | null, value: unknown) => void;

  constructor(options: {
    sink: Pick<SinkSpec, 'name' | 'format'> & { readonly kind: string };
    addressing: Addressing;
    cursor: Cursor;
    size: BatchSize;
    rowBytesMax(): number;
    refuse: Refuse;
    watchCalls?: WatchCalls | undefined;
  }) {
    const { sink, addressing, cursor, size, watchCalls } = options;
    this.#name = sink.name;
    this.#format = sink.format;
    this.#addressing = addressing;
    this.#size = size;
    const { target, keeps } = addressing;
    this.block = new RowBlock({ sink: sink.name, kind: sink.kind, target, keeps, size });
    this.#cursor = cursor;
    this.#refuse = options.refuse;
    this.#limit = options.rowBytesMax;
    this.#rowBytesMax = options.rowBytesMax();
    const write = (key: string | null, value: unknown) => this.#encode(key, value);
    this.#write = watchCalls === undefined ? write : watchCalls(sink.name, cursor).watched(write);
  }

  take(): OutRows {
    this.#rowBytesMax = this.#limit();
    return this.block.take();
  }

  receive(key: string | null, value: unknown, timeMs: number, change: Change): void {
    if (this.#size.outgrown) return;
    try {
      this.#write(key, value);
      this.block.note(key, timeMs, change);
    } catch (cause) {
      const error =
        cause instanceof MillraceError ? cause : new MillraceError('RECORD_UNWRITABLE', messageOf(cause), { cause });
      this.#refuse({ operator: this.#name, cause: error, value, change });
    }
  }

  #encode(key: string | null, value: unknown): void {
    const address = this.#addressing.addressOf(key, value);
    if (this.#format === 'json') {
      this.block.addLine(value, this.#rowBytesMax, address, this.#cursor);
    } else {
      const bytes = packOutput(value);
      if (bytes.length > this.#rowBytesMax) throw tooLarge(bytes.length);
      this.block.addBytes(bytes, address, this.#cursor);
    }
  }
}

/** All that a batch sends. */
export class Outgoing {
  readonly exits: readonly (SinkExit | StageExit)[];
  readonly letters: RowBlock;
  #pile: LetterPile;
  #size: BatchSize;
  /** The commit is being made, and what it may hold is judged: a letter takes the place of a record that was counted. */
  #taking = false;
  #frameBytesMax: number;
  #refuseRecord: (exit: StageExit, cause: MillraceError, record: RefusedRow) => void;

  constructor(options: {
    exits: readonly (SinkExit | StageExit)[];
    letters: Pick<BlockOptions, 'kind' | 'target'>;
    pile: LetterPile;
    size: BatchSize;
    frameBytesMax: number;
    refuseRecord(exit: StageExit, cause: MillraceError, record: RefusedRow): void;
  }) {
    const { letters, size } = options;
    this.exits = options.exits;
    this.#size = size;
    this.#pile = options.pile;
    this.letters = new RowBlock({ sink: LETTERS, keeps: { keys: false, times: false }, size, ...letters });
    this.#frameBytesMax = options.frameBytesMax;
    this.#refuseRecord = options.refuseRecord;
  }

  /** Where rows may go, letters among them. */
  get blocks(): readonly RowBlock[] {
    return [...this.exits.flatMap(exit => (exit instanceof SinkExit ? [exit.block] : [])), this.letters];
  }

  addLetter(letter: LetterRow, trace: string | null = null): void {
    if (this.#size.outgrown && !this.#taking) return;
    this.#pile.add(letter, trace);
  }

  /** The outbox of commit number `commit`; `watermarkMs` by exit, `publishedMs` of its oldest source message. */
  take(commit: number, watermarkMs: (exit: number) => number, publishedMs: number): Outbox {
    const frames: OutFrame[] = [];
    const rows: OutRows[] = [];
    this.#taking = true;
    this.exits.forEach((exit, index) => {
      if (exit instanceof SinkExit) {
        if (exit.block.rows > 0) rows.push(exit.take());
        return;
      }
      const refuse = (cause: MillraceError, record: RefusedRow) => this.#refuseRecord(exit, cause, record);
      const bytesMax = this.#frameBytesMax;
      exit.take({ commit, watermarkMs: watermarkMs(index), publishedMs, bytesMax, refuse }, frames);
    });
    this.#pile.take(this.letters);
    if (this.letters.rows > 0) rows.push(this.letters.take());
    this.#taking = false;
    this.#size.bytes = 0;
    return { frames, rows };
  }
}
