/**
 * The outbox: what a commit says must be sent, as bytes ready to go. It is journaled with the commit, so what is sent
 * never depends on running user code again. It knows of no destination: where rows go is said in texts that only the
 * outlet of their kind understands.
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

/** Rows for one sink, in order. */
export interface OutRows {
  /** A sink's name, or `LETTERS`. */
  readonly sink: string;
  /** Whose rows these are to send: names an outlet's kind (`outlet/kinds.ts`). */
  readonly kind: string;
  /** Where they go, in the words of the kind: one text for all commits of a plan. */
  readonly target: string;
  /** Where at the target, in the words of the kind: distinct texts, and for each row the index of its own; empty: the target says it all. */
  readonly addresses: readonly string[];
  readonly addressOf: readonly number[];
  /** The rows one after the other, each of `lengths[i]` bytes; behind each, if they are lines, a newline. */
  readonly bytes: Uint8Array;
  readonly lengths: readonly number[];
  readonly areLines: boolean;
  /** Origin of each row (`origin.ts`); of a join's or window's row: of the record that caused it, or -1. */
  readonly origins: readonly number[];
  /** What each row does to its table (`change/change.ts`); null: all are inserts. */
  readonly changes: Uint8Array | null;
  /** Encoded keys (`key.ts`) and event times, ms since 1970; null: the kind has no use for them. */
  readonly keys: readonly (string | null)[] | null;
  readonly timesMs: readonly number[] | null;
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
    outbox.rows.map(toRowsParts),
    routes.map(({ stage, input }) => [stage, input]),
  ];
}

type RowsParts = [
  sink: string,
  kind: string,
  target: string,
  addresses: string[],
  addressOf: number[],
  bytes: Uint8Array,
  lengths: number[],
  areLines: boolean,
  origins: number[],
  ...more: [] | MoreParts,
];

/** What most rows have none of, so that it takes no room. */
type MoreParts = [
  changes: Uint8Array | null,
  keys: (string | null)[] | null,
  timesMs: number[] | null,
  traces: (string | null)[] | null,
];

function toRowsParts(rows: OutRows): unknown[] {
  const { changes, keys, timesMs, traces } = rows;
  const isPlain = changes === null && keys === null && timesMs === null && traces === undefined;
  return [
    rows.sink,
    rows.kind,
    rows.target,
    rows.addresses,
    rows.addressOf,
    rows.bytes,
    rows.lengths,
    rows.areLines,
    rows.origins,
    ...(isPlain
      ? []
      : [changes, keys, timesMs, traces === undefined ? null : rows.lengths.map((_, i) => traces[i] ?? null)]),
  ];
}

const NO_MORE: MoreParts = [null, null, null, null];

export function fromParts(parts: unknown): Outbox {
  const [frames, rows, names] = parts as [[number, number, number, Uint8Array][], RowsParts[], [string, string][]];
  const routes = names.map(([stage, input]) => ({ stage, input }));
  return {
    frames: frames.map(([route, partition, row, bytes]) => ({ route: routes[route]!, partition, row, bytes })),
    rows: rows.map(fromRowsParts),
  };
}

function fromRowsParts(parts: RowsParts): OutRows {
  const [sink, kind, target, addresses, addressOf, bytes, lengths, areLines, origins, ...more] = parts;
  const [changes, keys, timesMs, traces] = more.length === 0 ? NO_MORE : more;
  const rows = { sink, kind, target, addresses, addressOf, bytes, lengths, areLines, origins, changes, keys, timesMs };
  return traces === null ? rows : { traces, ...rows };
}
