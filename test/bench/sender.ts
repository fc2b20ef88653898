/**
 * The live sender, a program of its own: sends the events of a query at a rate, each tick's at the moment at which they are
 * due. It shares no thread with whoever reads the rows: a reader that pauses would hold up the sender, and count as
 * latency of what lies between them.
 *
 * Started with an IPC channel by `live-input.ts`, as `sender.ts '{"url":…,"query":…,"shape":…,…}'`. It says when it begins,
 * ends when all is stored, and ends at once when the channel closes, however the other side has ended.
 */
import { connect } from 'nats';
import { Publisher } from '../rig/publisher.ts';
import type { Query } from './answers.ts';
import { clockOfMs, holdFor } from './clock.ts';
import { Frames, inputOf, liveEvents, type Shape, SUBJECTS, TICK_MS } from './input.ts';

export interface SenderTask {
  readonly url: string;
  readonly query: Query;
  readonly shape: Shape;
  readonly eventsPerSecond: number;
  readonly seconds: number;
  /** How far the clock by which events are due is from ours: it is that of the process which measures. */
  readonly clockOffsetMs: number;
}

/** The one thing that it says: when the first tick begins, ms since 1970. */
export interface SenderBegun {
  readonly fromMs: number;
}

process.once('disconnect', () => process.exit(1));
const task = JSON.parse(process.argv[2] ?? '') as SenderTask;
const connection = await connect({ servers: task.url });
await send(task);
await connection.close();
process.exit();

/**
 * A producer gathers for a tick, then sends; every event carries the moment at which that was due, so that a sender that
 * is late itself does not make latencies shorter. What is due next is written out before its moment comes.
 */
async function send({ query, shape, eventsPerSecond, seconds, clockOffsetMs }: SenderTask): Promise<void> {
  const tickMs = TICK_MS[shape];
  const publisher = new Publisher(connection, { windowMax: eventsPerSecond });
  const frames = new Frames(shape === 'single' ? 1 : Number.POSITIVE_INFINITY);
  const events = inputOf(query, liveEvents({ eventsPerSecond, seconds }));
  const fromMs = Math.ceil(clockOfMs(clockOffsetMs));
  const begun: SenderBegun = { fromMs };
  process.send?.(begun);
  let next = events.next();
  for (let dueMs = fromMs + tickMs; !next.done; dueMs += tickMs) {
    const due: { kind: keyof typeof SUBJECTS; frame: string }[] = [];
    while (!next.done && next.value.event.dateTime <= dueMs - fromMs) {
      const { kind, event } = next.value;
      const frame = frames.add(kind, { ...event, dateTime: dueMs });
      if (frame !== null) due.push({ kind, frame });
      next = events.next();
    }
    due.push(...frames.rest());
    holdFor(dueMs - clockOfMs(clockOffsetMs));
    for (const { kind, frame } of due) publisher.publish(SUBJECTS[kind], frame);
    // Once around the event loop: what was published leaves, and acknowledgements come in.
    await new Promise(resolve => setImmediate(resolve));
  }
  await publisher.finish();
}
