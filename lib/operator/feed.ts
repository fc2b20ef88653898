/**
 * What feeds a task's program: the contract between a task and its inputs. An input is channels (`channel/reader.ts`: frames
 * from a reader, or from all tasks of another stage) or, for a keyless stage, the source itself. It passes records on, and
 * knows up to where it has read and what each of its writers has said of event time (`window/watermark.ts` makes a watermark
 * of that): kept per writer, it does not matter which of two runs ahead, in catch-up least of all.
 *
 * *Slices*: a commit may stand anywhere in a frame or message, since a batch is full when it is. Its places say
 * how far: all messages up to a sequence, and the first so many rows of the one after it, records and letters as that
 * message gives them (a source's own message: what cannot be read of it first). Messages never change and nothing comes between two of a chain, so whoever restores goes on with the
 * very next row. What a message says of event time counts when all of it is in.
 */
import type { MillraceError } from '../base/errors.ts';
import type { Change } from '../change/change.ts';
import type { Letter } from '../record/letter.ts';
import { ROWS } from '../record/names.ts';
import type { Voice } from '../window/watermark.ts';

/** Where a record stands on an input: the same whenever it is read. */
export interface RecordPlace {
  readonly seq: number;
  readonly row: number;
}

export interface Fed {
  readonly records: number;
  readonly bytes: number;
  /** When the oldest source message that is in it was published, ms since 1970; Infinity: unknown. */
  readonly publishedMs: number;
}

export interface FeedLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
  /** Asked after each record: the batch takes no more. */
  full(): boolean;
}

/** Stands for all of a source's message, before it is read. */
export const WHOLE = -1;

/** Why the record at a place becomes a letter before anybody's code has it; null: it does not. */
export type Refused = (place: RecordPlace) => MillraceError | null;

export interface Refusals {
  /** Asked for at each feeding; null: nothing is refused, as nearly always. */
  refused(): Refused | null;
  refuse(why: MillraceError, value: unknown, change: Change): void;
  /** A letter that is in the place of a record, and is passed on as it is. */
  pass(letter: Letter): void;
}

export const NOTHING: Fed = { records: 0, bytes: 0, publishedMs: Number.POSITIVE_INFINITY };

export interface Journaled {
  readonly positions: Readonly<Record<string, number>>;
  readonly watermarkMs: number;
}

export interface TaskInput {
  readonly name: string;
  /** A table, which is read to its end before anything else is taken. */
  readonly bootstrap: boolean;
  /** Opens after what is journaled: the `places` of all inputs, and the stage's watermark. */
  open(journaled: Journaled, onReady: () => void): Promise<void>;
  /** Passes on some of what has arrived. Throws what ended the reader. */
  feed(limits: FeedLimits): Fed;
  /** Where the next record stands (`WHOLE`: one is to be read first); words before it are heard. Null: none has arrived. */
  next(): RecordPlace | null;
  /** The record that was passed on last. */
  readonly lastPlace: RecordPlace;
  /** What a commit journals of this input, numbers by names of its own: how far it has been read. */
  places(): Record<string, number>;
  /** Event time of the writer that is furthest behind, ms; -Infinity: some writer has not spoken yet. */
  readonly watermarkMs: number;
  readonly voices: readonly Voice[];
  readonly bootstrapped: boolean;
  /** Called a few times a second. */
  tick(): void;
  /** A commit with these places has landed: what they reflect may go. */
  committed(places: Readonly<Record<string, number>>): void;
  stop(): Promise<void>;
}

/** Frames are taken a few at a time, so that a task can turn to the input that is behind. */
export const TAKE_BYTES_MAX = 256 << 10;
/** Ends the name under which a commit says when the last message that was read was stored. */
export const TIME = '@time';

export function placesOf(name: string, position: number, row: number): Record<string, number> {
  return row === 0 ? { [name]: position } : { [name]: position, [`${name}${ROWS}`]: row };
}
