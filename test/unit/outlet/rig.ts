/** What the tests of outlets and journals share: a broker in memory without faults of its own, rows, and what was sent. */
import { Random } from '../../../lib/base/random.ts';
import type { OutRows } from '../../../lib/journal/outbox.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { destinationOf, type NatsTarget, targetText } from '../../../lib/outlet/nats/destination.ts';
import { HEADER_COMMIT, type NatsItem, Style, type StyledWay } from '../../../lib/outlet/nats/rows-item.ts';
import type { ChainPast } from '../../../lib/outlet/nats/tail.ts';
import { itemOf } from '../../../lib/outlet/outlet.ts';
import type { NatsSink } from '../../../lib/outlet/sink-spec.ts';
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

/** What a test says of a sink, and of where it leads. */
export type SinkChanges = Partial<Pick<NatsSink, 'name' | 'format'> & NatsTarget>;

export function sinkOf({ name = 'sink', format = 'json', ...target }: SinkChanges = {}): NatsSink {
  const stream = { name: 'out', create: true, subjects: ['out.>'] };
  return {
    name,
    kind: 'nats',
    format,
    target: { mode: 'owned', template: 'out.{partition}', stream, frame: 'ndjson', ...target },
  };
}

const ways = new Map<string, StyledWay>();

/** One for all rows of a sink, as in a task. */
function wayOf(changes: SinkChanges = {}): StyledWay {
  const sink = sinkOf(changes);
  const destination = destinationOf(sink, 0);
  const text = `${sink.name} ${targetText(destination)}`;
  let way = ways.get(text);
  if (way === undefined) {
    const outlet = () => {
      throw new Error('these tests make their outlets themselves');
    };
    way = {
      key: text,
      destination: destination.subject,
      outlet,
      style: new Style({ sink: sink.name, sender, destination }),
    };
    ways.set(text, way);
  }
  return way;
}

/** A past in which there was nothing, and an owner whom nobody has fenced. */
export function pastOf(changes: Partial<ChainPast> = {}): ChainPast {
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
export function rowsOf(texts: readonly string[], to: string | readonly string[] = [], sink: SinkChanges = {}): OutRows {
  const spec = sinkOf(sink);
  const each = typeof to === 'string' ? texts.map(() => to) : to;
  const subjects = [...new Set(each)];
  return {
    sink: spec.name,
    kind: spec.kind,
    target: targetText(destinationOf(spec, 0)),
    addresses: subjects,
    addressOf: each.map(subject => subjects.indexOf(subject)),
    bytes: Buffer.from(texts.map(text => `${text}\n`).join('')),
    lengths: texts.map(text => Buffer.byteLength(text)),
    areLines: true,
    origins: texts.map((_, i) => (i + 1) * 64 + 1),
    changes: null,
    keys: null,
    timesMs: null,
  };
}

/** Rows `<commit>.<n>` of one commit. */
export function rowsItem(commit: number, count: number, to?: string | readonly string[], sink?: SinkChanges): NatsItem {
  return natsItem(commit, rowsOf(numbered(commit, count), to, sink), sink);
}

export function natsItem(commit: number, rows: OutRows, sink?: SinkChanges): NatsItem {
  const way = wayOf(sink);
  return { ...itemOf(commit, rows, way), way };
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
