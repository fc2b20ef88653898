/**
 * The bench's input in the broker: which events a query reads, loaded as messages of one event or as NDJSON frames of
 * 200, or sent live at a rate with their time of sending.
 */
import type { NatsConnection } from 'nats';
import { Publisher } from '../rig/publisher.ts';
import type { Query } from './answers.ts';
import { bidsOf, type NexmarkEvent, nexmark, withCopies } from './nexmark.ts';

export type Shape = 'framed' | 'single';

const FRAME_EVENTS = 200;
const TICK_MS = 5;

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

/** What the query reads of the events, in the order of sending. */
function* inputOf(
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
  options: { query: Query; shape: Shape; events: number; eventsPerSecond?: number },
): Promise<{ eventsRead: number; lastMs: number }> {
  const { query, shape, events, eventsPerSecond = 10_000 } = options;
  const publisher = new Publisher(connection);
  const frames = new Frames(shape === 'framed' ? FRAME_EVENTS : 1);
  let eventsRead = 0;
  let lastMs = 0;
  for (const { kind, event } of inputOf(query, nexmark({ events, eventsPerSecond }))) {
    eventsRead++;
    lastMs = Math.max(lastMs, event.dateTime);
    const frame = frames.add(kind, event);
    if (frame !== null && publisher.publish(SUBJECTS[kind], frame)) await publisher.room();
  }
  for (const { kind, frame } of frames.rest()) publisher.publish(SUBJECTS[kind], frame);
  await publisher.finish();
  return { eventsRead, lastMs };
}

/**
 * Sends events at a rate for so long, each with the moment of sending as its time. Resolves when all are stored, with
 * the moment of the first (ms since 1970).
 */
export async function sendLive(
  connection: NatsConnection,
  options: { query: Query; shape: Shape; eventsPerSecond: number; seconds: number },
): Promise<{ fromMs: number }> {
  const { query, shape, eventsPerSecond, seconds } = options;
  const publisher = new Publisher(connection, { windowMax: eventsPerSecond });
  const frames = new Frames(shape === 'framed' ? Number.POSITIVE_INFINITY : 1);
  const events = inputOf(query, nexmark({ events: eventsPerSecond * seconds, eventsPerSecond, startMs: 0, seed: 2 }));
  const fromMs = Date.now();
  let next = events.next();
  while (!next.done) {
    const nowMs = Date.now();
    while (!next.done && next.value.event.dateTime <= nowMs - fromMs) {
      const { kind, event } = next.value;
      const frame = frames.add(kind, { ...event, dateTime: nowMs });
      if (frame !== null) publisher.publish(SUBJECTS[kind], frame);
      next = events.next();
    }
    for (const { kind, frame } of frames.rest()) publisher.publish(SUBJECTS[kind], frame);
    await new Promise(resolve => setTimeout(resolve, TICK_MS));
  }
  await publisher.finish();
  return { fromMs };
}

/** Gathers events into NDJSON, a frame of each kind at a time. */
class Frames {
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
