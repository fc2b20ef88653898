/**
 * The frame: many records in one message of a channel, from one writer to one task. This page is its format.
 *
 * A frame says up to where it is complete, so that whoever writes next on the channel knows where to go on and no
 * record is sent twice or left out:
 * - a reader's frame: all records of source messages ≤ `position`, and the first `row` records of message `position`+1
 * - a stage task's frame: all records of commits < `position`, and the first `row` of commit `position`
 * `row` counts this channel's records only.
 *
 * Layout: a version byte, then one packed list (`record/rows.ts`). Keys of whole numbers are written as numbers. Times and
 * origins are a first value and differences, since small integers are packed into few bytes. What only some frames have is a
 * last part that is left out elsewhere.
 */
import { BEGIN_ANEW, isMillraceError, MillraceError } from '../base/errors.ts';
import { type Change, INSERT, isChange } from '../change/change.ts';
import type { Headers } from '../port/log.ts';
import { type Columns, denseChanges } from '../record/columns.ts';
import { fromKeyColumn, toKeyColumn } from '../record/key.ts';
import type { CarriedContent, Letter } from '../record/letter.ts';
import { decodeRows, encodeRows, pack, unpack } from '../record/rows.ts';

const VERSION = 2;
/** Without an author, and with one. */
const HEAD_LENGTHS: readonly number[] = [6, 10];

/** Up to where a channel is complete. */
export interface Progress {
  readonly position: number;
  readonly row: number;
}

/** Whose a reader's channels are: of two owners the one has them whose first number that differs is larger. */
export interface Owner {
  /** The pipeline's. */
  readonly revision: number;
  /** The number of the assignment that gave it the reader (`topology/parts.ts`). */
  readonly assignment: number;
  /** The number of the reader's claim under that assignment. */
  readonly epoch: number;
}

/** Who wrote, and what made it. */
export interface Author extends Owner {
  /** The revision whose program made the rows: the owner's, or a former one, whose work it finishes. */
  readonly program: number;
}

export interface FrameHead extends Progress {
  /** Event time up to which the writer is complete, ms; -Infinity: unknown. */
  readonly watermarkMs: number;
  /** Broker's clock up to which all that was published is in that, ms since 1970; -Infinity: unknown. */
  readonly clockMs: number;
  /** How long before that the last message was published; Infinity: there was none. */
  readonly quietMs: number;
  /** The source has been read to the end it had when the pipeline was first deployed. */
  readonly bootstrapped: boolean;
  /** Whose it is, in a reader's frames and broadcasts; what tasks send is journaled, whoever made it. */
  readonly by?: Author | undefined;
}

export interface Frame extends FrameHead {
  readonly columns: Columns;
  readonly letters: readonly Letter[];
  /** When the oldest source message that is in it was published, ms since 1970, or a little earlier; absent: unknown. */
  readonly publishedMs?: number | undefined;
}

function headOf(head: FrameHead): number[] {
  const { position, row, watermarkMs, clockMs, quietMs, bootstrapped, by } = head;
  const numbers = [position, row, watermarkMs, clockMs, quietMs, bootstrapped ? 1 : 0];
  if (by !== undefined) numbers.push(by.revision, by.assignment, by.epoch, by.program);
  return numbers;
}

function differences(numbers: readonly number[]): number[] {
  const out = new Array<number>(numbers.length);
  let before = 0;
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i]!;
    out[i] = number - before;
    before = number;
  }
  return out;
}

function restore(numbers: number[]): number[] {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) numbers[i] = sum += numbers[i]!;
  if (typeof sum !== 'number') throw notAFrame();
  return numbers;
}

function withVersion(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(body.length + 1);
  bytes[0] = VERSION;
  bytes.set(body, 1);
  return bytes;
}

export function encodeFrame(frame: Frame): Uint8Array {
  const { columns, publishedMs } = frame;
  return withVersion(
    pack([
      headOf(frame),
      toKeyColumn(columns.keys),
      differences(columns.timesMs),
      differences(columns.origins),
      columns.ids?.some(id => id !== null) === true ? columns.ids : null,
      encodeRows(columns.values),
      frame.letters.map(l => {
        const fields = [l.operator, l.code, l.message, l.bytes, l.origin, l.index, l.subject];
        const total = l.bytesTotal ?? null;
        if (l.change !== undefined) return [...fields, total, l.content ?? null, l.carried ?? null, l.change];
        if (l.content !== undefined) return [...fields, total, l.content, l.carried ?? null];
        return total === null ? fields : [...fields, total];
      }),
      ...lastPart(publishedMs ?? null, tracesOf(columns), changesOf(columns)),
    ]),
  );
}

/** What only some frames have; empty: this one has nothing of it. */
function lastPart(publishedMs: number | null, traces: (string | null)[] | null, changes: Uint8Array | null) {
  if (changes !== null) return [[publishedMs, traces, changes]];
  return publishedMs === null && traces === null ? [] : [[publishedMs, traces]];
}

/** One for each record, or null: none has any. */
function tracesOf({ traces, keys }: Columns): (string | null)[] | null {
  if (traces === undefined) return null;
  const dense = keys.map((_, i) => traces[i] ?? null);
  return dense.some(trace => trace !== null) ? dense : null;
}

/** A byte for each record, or null: all are inserts. */
function changesOf({ changes, keys }: Columns): Uint8Array | null {
  if (changes === undefined || !changes.some(change => change !== INSERT)) return null;
  return denseChanges(changes, keys.length);
}

function body(bytes: Uint8Array): unknown[] {
  if (bytes[0] !== VERSION) {
    const text = `a frame of format ${bytes[0]} was read; this version knows ${VERSION}`;
    throw new MillraceError('JOURNAL_CORRUPT', `${text}. Run the version that wrote it, or ${BEGIN_ANEW}`);
  }
  const parts = unpack(bytes.subarray(1));
  const head: unknown = Array.isArray(parts) ? parts[0] : null;
  if (!Array.isArray(head) || !HEAD_LENGTHS.includes(head.length) || !head.every(part => typeof part === 'number'))
    throw notAFrame();
  return parts as unknown[];
}

function notAFrame(cause?: unknown): MillraceError {
  return new MillraceError('JOURNAL_CORRUPT', 'a frame does not have the form of one', { cause });
}

function toHead(numbers: readonly number[]): FrameHead {
  const [position, row, watermarkMs, clockMs, quietMs, bootstrapped, revision, assignment, epoch, program] =
    numbers as [number, number, number, number, number, number, number?, number?, number?, number?];
  const head = { position, row, watermarkMs, clockMs, quietMs, bootstrapped: bootstrapped === 1 };
  if (revision === undefined) return head;
  return { by: { revision, assignment: assignment!, epoch: epoch!, program: program! }, ...head };
}

type LetterFields = [
  operator: string,
  code: string,
  message: string,
  bytes: Uint8Array,
  origin: number,
  index: number,
  subject: string,
  bytesTotal?: number | null,
  content?: CarriedContent | null,
  carried?: Headers | null,
  change?: Change,
];

/** Throws JOURNAL_CORRUPT. */
export function decodeFrame(bytes: Uint8Array): Frame {
  try {
    return frameOf(body(bytes));
  } catch (error) {
    throw isMillraceError(error) ? error : notAFrame(error);
  }
}

function frameOf(parts: unknown[]): Frame {
  const [head, keys, times, origins, ids, values, letters, more] = parts as [
    number[],
    (string | number | null)[],
    number[],
    number[],
    (string | null)[] | null,
    Uint8Array,
    LetterFields[],
    [publishedMs: number | null, traces: (string | null)[] | null, changes?: Uint8Array]?,
  ];
  const [publishedMs, traces, changes] = more ?? [null, null];
  const columns: Columns = {
    keys: fromKeyColumn(keys),
    timesMs: restore(times),
    origins: restore(origins),
    ids,
    values: decodeRows(values),
  };
  const { length } = keys;
  const lists: (readonly unknown[])[] = [times, origins, columns.values, ids ?? keys, traces ?? keys];
  if (!Array.isArray(keys) || lists.some(list => !Array.isArray(list) || list.length !== length)) throw notAFrame();
  if (traces !== null) columns.traces = traces;
  if (changes !== undefined) columns.changes = toChanges(changes, length);
  // Spreads go last: what is added to one makes a hidden class for each object (`operator/README.md`).
  const frame = { columns, letters: letters.map(toLetter), ...toHead(head) };
  return publishedMs === null ? frame : { publishedMs, ...frame };
}

function toChanges(bytes: Uint8Array, length: number): Change[] {
  if (!(bytes instanceof Uint8Array) || bytes.length !== length || !bytes.every(isChange)) throw notAFrame();
  return Array.from(bytes) as Change[];
}

function toLetter(fields: LetterFields): Letter {
  const [operator, code, message, bytes, origin, index, subject, total, content, carried, change] = fields;
  const letter: Letter = { operator, code, message, bytes, origin, index, subject };
  if (total == null && content === undefined) return letter;
  return {
    ...(total == null ? {} : { bytesTotal: total }),
    ...(content == null ? {} : { content }),
    ...(carried == null ? {} : { carried }),
    ...(change === undefined ? {} : { change }),
    ...letter,
  };
}

/** Only the head: what a writer that takes over needs of a channel's tail. */
export function decodeFrameHead(bytes: Uint8Array): FrameHead {
  return toHead(body(bytes)[0] as number[]);
}

/** A broadcast: a head without records, that tells every task of a stage what no frame carried to it. */
export function encodeBroadcast(head: FrameHead): Uint8Array {
  return withVersion(pack([headOf(head)]));
}

export const decodeBroadcast = decodeFrameHead;

/** Is `a` further than `b`? */
export function isBeyond(a: Progress, b: Progress): boolean {
  return a.position > b.position || (a.position === b.position && a.row > b.row);
}

/** Two at one position are both true, and one may know less of the time. */
export function isBehind(a: FrameHead, b: FrameHead): boolean {
  return a.position < b.position || (a.position === b.position && a.watermarkMs > b.watermarkMs);
}

/** Whether a writer that has told the one has more to tell: never less. */
export function isNews(head: FrameHead, told: FrameHead): boolean {
  if (head.position < told.position) return false;
  return (
    head.position > told.position ||
    head.watermarkMs > told.watermarkMs ||
    head.clockMs > told.clockMs ||
    (head.bootstrapped && !told.bootstrapped)
  );
}

/** The last source message that a head has any row of. */
export function throughOf({ position, row }: FrameHead): number {
  return row === 0 ? position : position + 1;
}
