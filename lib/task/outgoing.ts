/**
 * What a batch sends, while it runs: the exits of a task's program write here, and at its end `take` makes of it the
 * commit's outbox, in bytes. Rows that cannot be sent become letters.
 */
import { MillraceError, messageOf } from '../base/errors.ts';
import type { StageExit } from '../channel/exit.ts';
import type { Made } from '../journal/made.ts';
import { LETTERS, type Outbox, type OutFrame, type OutRows, type RowHeaders } from '../journal/outbox.ts';
import type { Cursor, Receiver } from '../operator/run.ts';
import { type Destination, destinationOf, targetText } from '../outlet/destination.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import { JsonLines } from '../record/json-lines.ts';
import { decodeKey } from '../record/key.ts';
import type { Letter } from '../record/letter.ts';
import { packOutput } from '../record/output.ts';
import { parseTemplate, type Template } from '../record/template.ts';

/** A row that is poisoned on its way out, with the sink's name as its operator. */
export type Refuse = (sink: string, cause: MillraceError, value: unknown) => void;

/** What a row takes in a commit beside its bytes. */
const ROW_BYTES = 16;

export class RowBlock {
  readonly sink: string;
  readonly target: string;
  #made: Made;
  #lines = new JsonLines();
  #blobs: Uint8Array[] = [];
  #subjects = new Map<string, number>();
  #subjectOf: number[] = [];
  #origins: number[] = [];
  #headers: RowHeaders[] | null = null;
  /** With holes; undefined: no row has one. */
  #traces: (string | null)[] | undefined;

  constructor(sink: string, to: Destination, made: Made) {
    this.sink = sink;
    this.target = targetText(to);
    this.#made = made;
  }

  get rows(): number {
    return this.#origins.length;
  }

  /** A row as a line of JSON, unless it is larger than `bytesMax`. */
  addLine(row: unknown, bytesMax: number, subject: string | null, cursor: Pick<Cursor, 'origin' | 'trace'>): void {
    const bytes = this.#lines.add(row, bytesMax);
    if (bytes > bytesMax) throw tooLarge(bytes);
    this.#made.bytes += bytes + ROW_BYTES;
    this.#add(subject, cursor);
  }

  addBytes(
    bytes: Uint8Array,
    subject: string | null,
    cursor: Pick<Cursor, 'origin' | 'trace'>,
    headers?: RowHeaders,
  ): void {
    this.#blobs.push(bytes);
    this.#made.bytes += bytes.length + ROW_BYTES;
    this.#add(subject, cursor);
    if (headers === undefined) return;
    (this.#headers ??= []).push(headers);
    for (const name in headers) this.#made.bytes += name.length + headers[name]!.length;
  }

  #add(subject: string | null, { origin, trace }: Pick<Cursor, 'origin' | 'trace'>): void {
    this.#origins.push(origin);
    if (trace !== null) (this.#traces ??= [])[this.#origins.length - 1] = trace;
    if (subject === null) return;
    let index = this.#subjects.get(subject);
    if (index === undefined) this.#subjects.set(subject, (index = this.#subjects.size));
    this.#subjectOf.push(index);
  }

  take(): OutRows {
    const areLines = this.#lines.count > 0;
    const { bytes, lengths } = areLines ? this.#lines.take() : joinBlobs(this.#blobs);
    const rows: OutRows = {
      sink: this.sink,
      target: this.target,
      subjects: [...this.#subjects.keys()],
      subjectOf: this.#subjectOf,
      bytes,
      lengths,
      areLines,
      origins: this.#origins,
      headers: this.#headers,
      ...(this.#traces === undefined ? {} : { traces: this.#traces }),
    };
    this.#blobs = [];
    this.#subjects = new Map();
    this.#subjectOf = [];
    this.#origins = [];
    this.#headers = null;
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
    `a result of ${bytes} bytes is larger than the broker's max_payload allows`,
  );
}

/** Rows for a sink, each encoded once, here. */
export class SinkExit implements Receiver {
  readonly block: RowBlock;
  #sink: SinkSpec;
  #template: Template | null;
  #place: { partition: number; key: unknown };
  #cursor: Cursor;
  #refuse: Refuse;
  #rowBytesMax: number;
  #made: Made;

  constructor(options: {
    sink: SinkSpec;
    partition: number;
    cursor: Cursor;
    made: Made;
    rowBytesMax: number;
    refuse: Refuse;
  }) {
    this.#sink = options.sink;
    this.#made = options.made;
    this.block = new RowBlock(options.sink.name, destinationOf(options.sink, options.partition), options.made);
    this.#template = options.sink.mode === 'owned' ? null : parseTemplate(options.sink.template);
    this.#place = { partition: options.partition, key: null };
    this.#cursor = options.cursor;
    this.#refuse = options.refuse;
    this.#rowBytesMax = options.rowBytesMax;
  }

  receive(key: string | null, value: unknown, _timeMs: number): void {
    if (this.#made.outgrown) return;
    try {
      let subject: string | null = null;
      if (this.#template !== null) {
        this.#place.key = key === null ? null : decodeKey(key);
        subject = this.#template.render(value, this.#place);
      }
      if (this.#sink.format === 'json') {
        this.block.addLine(value, this.#rowBytesMax, subject, this.#cursor);
      } else {
        const bytes = packOutput(value);
        if (bytes.length > this.#rowBytesMax) throw tooLarge(bytes.length);
        this.block.addBytes(bytes, subject, this.#cursor);
      }
    } catch (cause) {
      const error =
        cause instanceof MillraceError ? cause : new MillraceError('RECORD_UNWRITABLE', messageOf(cause), { cause });
      this.#refuse(this.#sink.name, error, value);
    }
  }
}

/** All that a batch sends. */
export class Outgoing {
  readonly exits: readonly (SinkExit | StageExit)[];
  readonly letters: RowBlock;
  #made: Made;
  /** The commit is being made, and what it may hold is judged: a letter takes the place of a record that was counted. */
  #taking = false;
  #frameBytesMax: number;
  #refuseRecord: (exit: StageExit, cause: MillraceError, value: unknown, origin: number) => void;

  constructor(options: {
    exits: readonly (SinkExit | StageExit)[];
    letters: Destination;
    made: Made;
    frameBytesMax: number;
    refuseRecord(exit: StageExit, cause: MillraceError, value: unknown, origin: number): void;
  }) {
    this.exits = options.exits;
    this.#made = options.made;
    this.letters = new RowBlock(LETTERS, options.letters, options.made);
    this.#frameBytesMax = options.frameBytesMax;
    this.#refuseRecord = options.refuseRecord;
  }

  /** Where rows may go, letters among them. */
  get blocks(): readonly RowBlock[] {
    return [...this.exits.flatMap(exit => (exit instanceof SinkExit ? [exit.block] : [])), this.letters];
  }

  addLetter(
    subject: string,
    bytes: Uint8Array,
    headers: RowHeaders,
    { origin, trace = null }: Pick<Letter, 'origin'> & Partial<Pick<Cursor, 'trace'>>,
  ): void {
    if (this.#made.outgrown && !this.#taking) return;
    this.letters.addBytes(bytes, subject, { origin, trace }, headers);
  }

  /** The outbox of commit number `commit`; `watermarkMs` by exit, `publishedMs` of its oldest source message. */
  take(commit: number, watermarkMs: (exit: number) => number, publishedMs: number): Outbox {
    const frames: OutFrame[] = [];
    const rows: OutRows[] = [];
    this.#taking = true;
    this.exits.forEach((exit, index) => {
      if (exit instanceof SinkExit) {
        if (exit.block.rows > 0) rows.push(exit.block.take());
        return;
      }
      const refuse = (cause: MillraceError, value: unknown, origin: number) =>
        this.#refuseRecord(exit, cause, value, origin);
      const bytesMax = this.#frameBytesMax;
      exit.take({ commit, watermarkMs: watermarkMs(index), publishedMs, bytesMax, refuse }, frames);
    });
    if (this.letters.rows > 0) rows.push(this.letters.take());
    this.#taking = false;
    this.#made.bytes = 0;
    return { frames, rows };
  }
}
