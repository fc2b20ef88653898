/**
 * The bench's input in the broker: which events a query reads, loaded as messages of one event or as NDJSON frames of
 * 200. Live events are the sender's (`sender.ts`).
 */
import type { NatsConnection } from 'nats';
import { Publisher } from '../rig/publisher.ts';
import type { Query } from './answers.ts';
import { bidsOf, type NexmarkEvent, nexmark, withCopies } from './nexmark.ts';

/**
 * - `framed`  200 events a message in, frames out on subjects of each task's own
 * - `single`  one event a message in, one row a message out on a subject shared by all tasks
 * - `safe`    as framed, and the broker syncs every write to the disk before it acknowledges it
 */
export const SHAPES = ['framed', 'single', 'safe'] as const;
export type Shape = (typeof SHAPES)[number];

const FRAME_EVENTS = 200;
const TELL_EVENTS = 500_000;

/** The subjects of the events and the streams that keep them. */
export const SUBJECTS = { bid: 'nexmark.bid', auction: 'nexmark.auction' } as const;
export const STREAMS = { bid: 'nexmark_bid', auction: 'nexmark_auction' } as const;
type Kind = keyof typeof SUBJECTS;

export async function makeInputStreams(connection: NatsConnection): Promise<void> {
  const manager = await connection.jetstreamManager();
  for (const kind of ['bid', 'auction'] as const)
    await manager.streams.add({ name: STREAMS[kind], subjects: [SUBJECTS[kind]] });
}

/** Which kinds of event a query reads: an engine is not charged for what nobody asks for. */
export function kindsOf(query: Query): readonly Kind[] {
  return query === 'qj' ? ['bid', 'auction'] : ['bid'];
}

/** How long a live producer gathers events before it sends them. */
export const TICK_MS: Readonly<Record<Shape, number>> = { framed: 5, safe: 5, single: 1 };
/** Makes the live events others than those of the backlog. */
const LIVE_SEED = 2;

export interface LiveSpan {
  readonly eventsPerSecond: number;
  readonly seconds: number;
}

/** The events that are sent live, each with the time after the beginning at which it happens, ms. */
export function liveEvents({ eventsPerSecond, seconds }: LiveSpan): Iterable<NexmarkEvent> {
  return nexmark({ events: eventsPerSecond * seconds, eventsPerSecond, startMs: 0, seed: LIVE_SEED });
}

/** When each auction is due to be sent, ms after the beginning: with the tick that it happens in. */
export function auctionsDue(span: LiveSpan, shape: Shape): ReadonlyMap<number, number> {
  const due = new Map<number, number>();
  const tickMs = TICK_MS[shape];
  for (const { kind, event } of liveEvents(span)) {
    if (kind === 'auction') due.set(event.id, Math.max(1, Math.ceil(event.dateTime / tickMs)) * tickMs);
  }
  return due;
}

/** What the query reads of the events, in the order of sending. */
export function* inputOf(
  query: Query,
  events: Iterable<NexmarkEvent>,
): Generator<{ kind: Kind; event: { dateTime: number } }> {
  if (query === 'qd') {
    for (const event of withCopies(bidsOf(events))) yield { kind: 'bid', event };
    return;
  }
  const kinds = kindsOf(query);
  for (const { kind, event } of events) if (kind !== 'person' && kinds.includes(kind)) yield { kind, event };
}

/** Fills the input streams. Resolves with the number of events in them and the last event's time. */
export async function loadInput(
  connection: NatsConnection,
  options: {
    query: Query;
    shape: Shape;
    events: number;
    eventsPerSecond?: number;
    /** Told now and then how many events are under way. */
    loaded?: (events: number) => void;
  },
): Promise<{ eventsRead: number; lastMs: number }> {
  const { query, shape, events, eventsPerSecond = 10_000, loaded } = options;
  const publisher = new Publisher(connection);
  const frames = new Frames(shape === 'single' ? 1 : FRAME_EVENTS);
  let eventsRead = 0;
  let lastMs = 0;
  for (const { kind, event } of inputOf(query, nexmark({ events, eventsPerSecond }))) {
    if (++eventsRead % TELL_EVENTS === 0) loaded?.(eventsRead);
    lastMs = Math.max(lastMs, event.dateTime);
    const frame = frames.add(kind, event);
    if (frame !== null && publisher.publish(SUBJECTS[kind], frame)) await publisher.room();
  }
  for (const { kind, frame } of frames.rest()) publisher.publish(SUBJECTS[kind], frame);
  await publisher.finish();
  return { eventsRead, lastMs };
}

/** Gathers events into NDJSON, a frame of each kind at a time. */
export class Frames {
  private readonly eventsMax: number;
  private readonly lines: Record<Kind, string[]> = { bid: [], auction: [] };

  constructor(eventsMax: number) {
    this.eventsMax = eventsMax;
  }

  /** A full frame, or null. */
  add(kind: Kind, event: object): string | null {
    const lines = this.lines[kind];
    lines.push(JSON.stringify(event));
    if (lines.length < this.eventsMax) return null;
    this.lines[kind] = [];
    return lines.join('\n');
  }

  /** What has not filled a frame. */
  rest(): { kind: Kind; frame: string }[] {
    const frames: { kind: Kind; frame: string }[] = [];
    for (const kind of ['bid', 'auction'] as const) {
      if (this.lines[kind].length > 0) frames.push({ kind, frame: this.lines[kind].join('\n') });
      this.lines[kind] = [];
    }
    return frames;
  }
}
