/**
 * The outbox: what a commit says must be sent, as bytes ready to go. It is journaled with the commit, so what is sent
 * never depends on running user code again.
 */

/** An input of a next stage. */
export interface FrameRoute {
  readonly stage: string;
  readonly input: string;
}

/** Records for one task of a next stage: a frame (`channel/frame.ts`). `row`: the channel's rows of this commit up to here. */
export interface OutFrame {
  /** One object for all frames of an exit. By name: an exit's number is another's after a redeploy. */
  readonly route: FrameRoute;
  readonly partition: number;
  readonly row: number;
  readonly bytes: Uint8Array;
}

export type RowHeaders = Readonly<Record<string, string>>;

/** Rows for one sink, in order. */
export interface OutRows {
  /** A sink's name, or `LETTERS`. */
  readonly sink: string;
  /** Where they go (`destination.ts`): one text for all commits of a plan. */
  readonly target: string;
  /** Distinct subjects, and for each row the index of its own; empty for an owned sink, whose subject is fixed. */
  readonly subjects: readonly string[];
  readonly subjectOf: readonly number[];
  /** The rows one after the other, each of `lengths[i]` bytes; behind each, if they are lines, a newline. */
  readonly bytes: Uint8Array;
  readonly lengths: readonly number[];
  readonly areLines: boolean;
  /** Origin of each row (`origin.ts`); of a join's or window's row: of the record that caused it, or -1. */
  readonly origins: readonly number[];
  /** Per row, or null: none has headers of its own. */
  readonly headers: readonly RowHeaders[] | null;
  /** Trace contexts (`record/trace.ts`) by row, with holes; absent: no row has one. */
  readonly traces?: readonly (string | null | undefined)[];
}

/** The name that dead letters and late records travel under; not a sink's, since those have no `!`. */
export const LETTERS = '!letters';

export interface Outbox {
  readonly frames: readonly OutFrame[];
  readonly rows: readonly OutRows[];
}

export const EMPTY_OUTBOX: Outbox = { frames: [], rows: [] };

export function isEmpty(outbox: Outbox): boolean {
  return outbox.frames.length === 0 && outbox.rows.length === 0;
}

export function bytesOf(outbox: Outbox): number {
  let bytes = 0;
  for (const frame of outbox.frames) bytes += frame.bytes.length;
  for (const rows of outbox.rows) bytes += rows.bytes.length + rows.lengths.length * 8;
  return bytes;
}

export function toParts(outbox: Outbox): unknown[] {
  const routes: FrameRoute[] = [];
  // Frames of an exit follow each other.
  const indexOf = (route: FrameRoute) => (routes.at(-1) === route ? routes.length : routes.push(route)) - 1;
  return [
    outbox.frames.map(frame => [indexOf(frame.route), frame.partition, frame.row, frame.bytes]),
    outbox.rows.map(rows => [
      rows.sink,
      rows.target,
      rows.subjects,
      rows.subjectOf,
      rows.bytes,
      rows.lengths,
      rows.areLines,
      rows.origins,
      rows.headers,
      ...(rows.traces === undefined ? [] : [rows.lengths.map((_, i) => rows.traces?.[i] ?? null)]),
    ]),
    routes.map(({ stage, input }) => [stage, input]),
  ];
}

type RowsParts = [
  sink: string,
  target: string,
  subjects: string[],
  subjectOf: number[],
  bytes: Uint8Array,
  lengths: number[],
  areLines: boolean,
  origins: number[],
  headers: RowHeaders[] | null,
  traces?: (string | null)[],
];

export function fromParts(parts: unknown): Outbox {
  const [frames, rows, names] = parts as [[number, number, number, Uint8Array][], RowsParts[], [string, string][]];
  const routes = names.map(([stage, input]) => ({ stage, input }));
  return {
    frames: frames.map(([route, partition, row, bytes]) => ({ route: routes[route]!, partition, row, bytes })),
    rows: rows.map(([sink, target, subjects, subjectOf, bytes, lengths, areLines, origins, headers, traces]) => {
      const plain = { sink, target, subjects, subjectOf, bytes, lengths, areLines, origins, headers };
      return traces === undefined ? plain : { traces, ...plain };
    }),
  };
}
