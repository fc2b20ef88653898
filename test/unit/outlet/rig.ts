/** What the tests of outlets and journals share: a broker in memory without faults of its own, rows, and what was sent. */
import { Random } from '../../../lib/base/random.ts';
import type { OutRows } from '../../../lib/journal/outbox.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { destinationOf, targetText } from '../../../lib/outlet/destination.ts';
import type { Past } from '../../../lib/outlet/past.ts';
import { HEADER_COMMIT, itemOf, type RowsItem, Style } from '../../../lib/outlet/rows-item.ts';
import type { SinkSpec } from '../../../lib/outlet/sink-spec.ts';
import type { Append, Log, NewMessage, StoredMessage, StreamSettings } from '../../../lib/port/log.ts';

export const unsure: Append = { kind: 'unsure', cause: new Error('no answer') };
export const sender = { task: 'p/s/0', life: 'l', sourceStreams: ['orders', 'payments'] };

export async function makeBroker(
  settings: Omit<StreamSettings, 'name' | 'subjects'> = {},
  options: { messageBytesMax?: number } = {},
) {
  const random = new Random(7);
  const clock = new SimClock({ random });
  const broker = new MemoryBroker({ clock, random, ...options });
  const log = broker.client('writer');
  await log.ensureStream({ name: 'out', subjects: ['out.>', 'm.>'], ...settings });
  const kept = (match = 'out.'): StoredMessage[] => {
    const stream = broker.stream('out')!;
    const messages: StoredMessage[] = [];
    for (let seq = stream.firstSeq; seq <= stream.lastSeq; seq++) {
      const message = stream.at(seq);
      if (message?.subject.startsWith(match) === true) messages.push(message);
    }
    return messages;
  };
  /** The rows that a subscriber got, and how far the messages say they go. */
  const rows = (match?: string): string[] =>
    kept(match).flatMap(message => textOf(message).split('\n').filter(Boolean));
  const progress = (match?: string): (string | undefined)[] => kept(match).map(one => one.headers?.[HEADER_COMMIT]);
  return { clock, random, broker, log, kept, rows, progress };
}

export function textOf(message: StoredMessage): string {
  return Buffer.from(message.data).toString();
}

export function sinkOf(changes: Partial<SinkSpec> = {}): SinkSpec {
  return {
    name: 'sink',
    mode: 'owned',
    template: 'out.{partition}',
    stream: { name: 'out', create: true, subjects: ['out.>'] },
    frame: 'ndjson',
    format: 'json',
    ...changes,
  };
}

const styles = new Map<string, Style>();

/** One for all rows of a sink, as in a task. */
export function styleOf(changes: Partial<SinkSpec> = {}): Style {
  const sink = sinkOf(changes);
  const text = `${sink.name} ${targetText(destinationOf(sink, 0))}`;
  let style = styles.get(text);
  if (style === undefined) {
    style = new Style({ sink: sink.name, sender, destination: destinationOf(sink, 0) });
    styles.set(text, style);
  }
  return style;
}

/** A past in which there was nothing, and an owner whom nobody has fenced. */
export function pastOf(changes: Partial<Past> = {}): Past {
  return {
    rememberedSeq: 0,
    sinceSeq: 0,
    inheritedTo: 0,
    inheritedFromMs: Number.NEGATIVE_INFINITY,
    confirm: async () => {},
    ...changes,
  };
}

/** Rows as texts, each to the one subject or to its own. */
export function rowsOf(
  texts: readonly string[],
  to: string | readonly string[] = [],
  sink: Partial<SinkSpec> = {},
): OutRows {
  const spec = sinkOf(sink);
  const each = typeof to === 'string' ? texts.map(() => to) : to;
  const subjects = [...new Set(each)];
  return {
    sink: spec.name,
    target: targetText(destinationOf(spec, 0)),
    subjects,
    subjectOf: each.map(subject => subjects.indexOf(subject)),
    bytes: Buffer.from(texts.map(text => `${text}\n`).join('')),
    lengths: texts.map(text => Buffer.byteLength(text)),
    areLines: true,
    origins: texts.map((_, i) => (i + 1) * 64 + 1),
    headers: null,
  };
}

/** Rows `<commit>.<n>` of one commit. */
export function rowsItem(
  commit: number,
  count: number,
  to?: string | readonly string[],
  sink?: Partial<SinkSpec>,
): RowsItem {
  return itemOf(commit, rowsOf(numbered(commit, count), to, sink), styleOf(sink));
}

export function numbered(commit: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `"${commit}.${i}"`);
}

/** The log with one of its calls replaced. */
export function withCall<K extends 'append' | 'appendBatch' | 'appendAll' | 'last' | 'trim'>(
  log: Log,
  name: K,
  call: (really: Log[K]) => Log[K],
): Log {
  const really = (log[name] as (...args: never[]) => unknown).bind(log) as Log[K];
  return withCalls(log, { [name]: call(really) });
}

/** The log with some of its calls replaced. */
export function withCalls(log: Log, calls: Partial<Log>): Log {
  return new Proxy(log, {
    get(target, name) {
      const value: unknown = Reflect.get(calls, name) ?? Reflect.get(target, name);
      return typeof value === 'function' && !(name in calls) ? value.bind(target) : value;
    },
  });
}

export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export type { NewMessage };
