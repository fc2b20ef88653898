/**
 * How rows become messages of a stream: their headers, and how a message is known as our own.
 */
import { type Change, INSERT, wordOf } from '../../change/change.ts';
import type { Headers, StoredMessage } from '../../port/log.ts';
import { NO_ORIGIN, seqOfOrigin, sourceOfOrigin } from '../../record/origin.ts';
import { traceHeaders } from '../../record/trace.ts';
import type { RowsItem, Sender, Way } from '../outlet.ts';
import { progressText } from '../queue.ts';
import type { NatsSink } from '../sink-spec.ts';
import type { Destination } from './destination.ts';

/** Rows on a way into a stream. */
export interface NatsItem extends RowsItem {
  readonly way: StyledWay;
}

export interface StyledWay extends Way {
  readonly style: Style;
}

export const HEADER_TASK = 'Millrace-Task';
/** `<life>/<sink>`: which life of the task's pipeline sent it, from which sink. */
export const HEADER_SINK = 'Millrace-Sink';
/** All rows of earlier commits for this subject, and this many of this commit, are in. */
export const HEADER_COMMIT = 'Millrace-Commit';
/** The source message a row comes from: `<stream>:<sequence>`; of many rows the first's and the last's. */
export const HEADER_ORIGIN = 'Millrace-Origin';
/** What a row does that is no insert: `before`, `after` or `delete`; of many rows a letter each, `i`, `b`, `a` or `d`. */
export const HEADER_CHANGE = 'Millrace-Change';

/**
 * How rows for a sink look as messages: what those of one target have in common, so that it is made once. `of` gives the
 * headers that all messages of so many rows share, the sender's names among them: by these a tail is known as our own.
 */
export class Style {
  readonly frame: Destination['frame'];
  readonly #one: Headers;
  readonly #many: Headers;

  constructor(options: { sink: string; sender: Sender; destination: Pick<Destination, 'frame' | 'format'> }) {
    const { sink, sender, destination } = options;
    this.frame = destination.frame;
    const names = { [HEADER_TASK]: sender.task, [HEADER_SINK]: `${sender.life}/${sink}` };
    this.#one = { 'Content-Type': contentType(destination, 1), ...names };
    this.#many = { 'Content-Type': contentType(destination, 2), ...names };
  }

  of(rows: number): Headers {
    return rows === 1 ? this.#one : this.#many;
  }
}

/**
 * - `us`        this task, in this life. From whichever sink: a commit sends a subject rows of one sink alone, so a
 *               commit and a row say the same whatever the sink was called
 * - `sibling`   another task of this life: two sinks changed their subjects in a redeploy
 * - `stranger`  anything else
 */
export type Writer = 'us' | 'sibling' | 'stranger';

export function writerOf(message: StoredMessage, { life, task }: Sender): Writer {
  const sink = message.headers?.[HEADER_SINK];
  if (sink === undefined || !sink.startsWith(`${life}/`)) return 'stranger';
  return message.headers?.[HEADER_TASK] === task ? 'us' : 'sibling';
}

/** @param sourceStreams names of streams by source index */
export function originText(sourceStreams: readonly string[], origin: number): string | null {
  if (origin === NO_ORIGIN) return null;
  return `${sourceStreams[sourceOfOrigin(origin)] ?? '?'}:${seqOfOrigin(origin)}`;
}

function originHeader(sender: Sender, first: number, last: number): string | null {
  const from = originText(sender.sourceStreams, first);
  const to = originText(sender.sourceStreams, last);
  if (from === null || to === null || from === to) return from ?? to;
  return `${from} ${to}`;
}

/** Null: all rows are inserts. */
export function changeText(blocks: readonly Block[]): string | null {
  for (const { item } of blocks) if (item.rows.changes !== null) return wordsOf(blocks);
  return null;
}

function wordsOf(blocks: readonly Block[]): string | null {
  const changes = blocks.flatMap(({ item, from, to }) =>
    Array.from({ length: to - from }, (_, i) => item.rows.changes?.[from + i] ?? INSERT),
  );
  if (changes.every(change => change === INSERT)) return null;
  const words = changes.map(change => wordOf(change as Change));
  return words.length === 1 ? words[0]! : words.map(word => word[0]).join('');
}

export function contentType(sink: Pick<NatsSink, 'format'>, rows: number): string {
  if (sink.format === 'msgpack') return rows === 1 ? 'application/msgpack' : 'application/x-msgpack-stream';
  return rows === 1 ? 'application/json' : 'application/x-ndjson';
}

export function headersFor(options: {
  sender: Sender;
  style: Style;
  rows: number;
  commit: number;
  row: number;
  firstOrigin: number;
  lastOrigin: number;
  /** See `changeText`. */
  change: string | null;
  /** The trace context of the first row that has one, or null. */
  trace: string | null;
}): Headers {
  const headers: Record<string, string> = {
    ...options.style.of(options.rows),
    [HEADER_COMMIT]: progressText({ position: options.commit, row: options.row }),
  };
  const origin = originHeader(options.sender, options.firstOrigin, options.lastOrigin);
  if (origin !== null) headers[HEADER_ORIGIN] = origin;
  if (options.change !== null) headers[HEADER_CHANGE] = options.change;
  return options.trace === null ? headers : { ...headers, ...traceHeaders(options.trace) };
}

/** Some rows of an item. */
export interface Block {
  readonly item: NatsItem;
  readonly from: number;
  readonly to: number;
}

/** Blocks of rows as one payload: a row alone as it is, several as they stand in their commits, lines with their newlines. */
export function joinRows(blocks: readonly Block[]): Uint8Array {
  const { item, from, to } = blocks[0]!;
  const { rows, starts } = item;
  if (blocks.length > 1) return Buffer.concat(blocks.map(part => bytesOf(part)));
  if (to - from > 1) return bytesOf(blocks[0]!);
  return rows.bytes.subarray(starts[from], starts[from]! + rows.lengths[from]!);
}

function bytesOf({ item, from, to }: Block): Uint8Array {
  return item.rows.bytes.subarray(item.starts[from], item.starts[to]);
}
