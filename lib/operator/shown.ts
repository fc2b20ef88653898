/**
 * State as people read it: what the entries of each operator's tables mean, with keys taken apart and values as plain
 * data. README.md has the same as a table. Nothing is computed: accumulators are shown as they are kept.
 */
import type { Key } from '../record/key.ts';
import { encodeKey } from '../record/key.ts';
import { plain, plainKey } from '../record/plain.ts';
import { readMark, readTimerId, writeMark } from '../state/entry-key.ts';
import { endOf, Panes, startOf, type Windows } from '../window/windows.ts';
import type { Item } from './join-side.ts';
import type { SessionItem } from './session-list.ts';
import type { AggregateSpec, JoinKind, StatefulSpec } from './spec.ts';

export interface ShownEntry {
  readonly key: Key;
  /** Plain data. */
  readonly value: unknown;
}

/** An entry as it is kept. `table` is its name within the operator. */
export interface KeptEntry {
  readonly table: string;
  readonly bucket: number;
  readonly key: string;
  readonly content: unknown;
}

/** Throws nothing: what has another form than expected shows as it is. */
export function showEntry(spec: StatefulSpec, { table, bucket, key, content }: KeptEntry): ShownEntry {
  switch (spec.kind) {
    case 'dedupe': {
      const read = readMark(key);
      const [acceptedMs, latestMs] = Array.isArray(content) ? (content as number[]) : [content as number];
      return {
        key: read.key === read.id ? plainKey(read.id) : [read.key === null ? null : plainKey(read.key), read.id],
        value: latestMs === undefined ? { acceptedMs } : { acceptedMs, latestMs },
      };
    }
    case 'join':
      return {
        key: plainKey(key),
        value: (content as Item[]).map(item => shownItem(item, knowsMatched(spec.join, table))),
      };
    case 'tableJoin':
      return { key: plainKey(key), value: plain(content) };
    case 'process': {
      if (table === 'timers') {
        const { name, key: owner } = readTimerId(key);
        return { key: [plainKey(owner), name], value: content };
      }
      const { s, t } = content as { s?: unknown; t: unknown };
      return { key: plainKey(key), value: { state: plain(s), timers: plain(t ?? {}) } };
    }
    case 'window':
      return { key: plainKey(key), value: shownWindow(spec, table, bucket, content) };
  }
}

function shownItem({ t, v, m }: Item, knows: boolean): object {
  const item = { timeMs: t, value: plain(v) };
  return knows ? { ...item, matched: m === 1 } : item;
}

/** Whether records of a side are told that they have matched: only where it makes a difference. */
function knowsMatched(join: JoinKind, side: string): boolean {
  if (join === 'outer') return true;
  return side === 'right' ? join === 'right' : join === 'left' || join === 'semi' || join === 'anti';
}

function shownWindow(
  spec: Extract<StatefulSpec, { kind: 'window' }>,
  table: string,
  bucket: number,
  content: unknown,
): unknown {
  const { window, aggregates } = spec;
  if (window.kind === 'session') {
    if (table === 'timers') return content;
    const sessions = (content as SessionItem[]).filter(item => typeof item === 'object' && item !== null);
    sessions.sort((left, right) => left.s - right.s);
    return sessions.map(({ s, e, a }) => {
      const span = { startMs: s, endMs: e };
      return a === null ? { ...span, closed: true } : { ...span, aggregates: named(aggregates, a) };
    });
  }
  const { sizeMs, offsetMs } = window;
  const windows: Windows = { sizeMs, advanceMs: window.kind === 'tumbling' ? sizeMs : window.advanceMs, offsetMs };
  if (table === 'closed' || table === 'closing') {
    const window = content as number;
    return { startMs: startOf(windows, window), endMs: endOf(windows, window) };
  }
  const panes = new Panes(windows);
  const [startMs, endMs] =
    table === 'panes'
      ? [panes.startOf(bucket), panes.startOf(bucket + 1)]
      : [startOf(windows, bucket), endOf(windows, bucket)];
  return { startMs, endMs, aggregates: named(aggregates, content as unknown[]) };
}

/** Each aggregate's kind and its accumulator, in the order in which they were written. */
function named(aggregates: readonly AggregateSpec[], row: readonly unknown[]): unknown[] {
  return aggregates.map(({ kind }, i) => ({ [kind]: plain(row[i]) }));
}

/**
 * The texts under which an operator may keep what belongs to a key. A mark of `dedupe` is asked for by `[key, id]`, or by
 * the id where that is the key.
 */
export function keptKeys(spec: StatefulSpec, key: Key): string[] {
  const texts: string[] = [];
  if (spec.kind === 'dedupe' && Array.isArray(key) && key.length === 2 && typeof key[1] === 'string') {
    texts.push(writeMark(encodeKey(key[0] as Key), key[1]));
  }
  const text = encodeKey(key);
  if (text !== null) texts.push(text);
  return texts;
}
