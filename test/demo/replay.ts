/**
 * The services of the demo at work: their streams, the airports' registry, and their events published one a message at a
 * steady rate, in the order in which they were sent.
 */
import type { NatsConnection } from 'nats';
import { Publisher } from '../rig/publisher.ts';
import type { Airport } from './flights.ts';
import { OPERATIONS, PLANNING, type Told } from './services.ts';

const TICK_MS = 10;

/** The streams that the services keep their events in. */
export async function makeStreams(connection: NatsConnection): Promise<void> {
  const manager = await connection.jetstreamManager();
  await manager.streams.add({ name: 'planning', subjects: [PLANNING] });
  await manager.streams.add({ name: 'operations', subjects: [OPERATIONS] });
}

/** The registry of airports: a KV bucket, one entry a code. */
export async function fillAirports(connection: NatsConnection, airports: readonly Airport[]): Promise<void> {
  await connection.jetstream().views.kv('airports');
  const publisher = new Publisher(connection);
  for (const { iata, ...airport } of airports)
    if (publisher.publish(`$KV.airports.${iata}`, JSON.stringify(airport))) await publisher.room();
  await publisher.finish();
}

export class Replay {
  /** How many events are in their streams. */
  get published(): number {
    return this.publisher.stored;
  }

  /** Over the whole time that publishing has taken so far. */
  get publishedPerSecond(): number {
    const tookMs = (this.endMs ?? performance.now()) - this.startMs;
    return this.startMs === 0 ? 0 : (this.published * 1_000) / Math.max(tookMs, 1);
  }

  private startMs = 0;
  private endMs: number | null = null;
  private readonly publisher: Publisher;
  private readonly told: readonly Told[];
  private readonly eventsPerSecond: number;
  private readonly shareMax: () => number;

  /** @param shareMax asked for the share of the events, 0 to 1, that may have been published by now. */
  constructor(
    connection: NatsConnection,
    options: { told: readonly Told[]; eventsPerSecond: number; shareMax: () => number },
  ) {
    this.publisher = new Publisher(connection, { windowMax: 2_000 });
    this.told = options.told;
    this.eventsPerSecond = options.eventsPerSecond;
    this.shareMax = options.shareMax;
  }

  /** Publishes everything. Resolves when all is stored. */
  async run(): Promise<void> {
    this.startMs = performance.now();
    let next = 0;
    let due = 0;
    let lastMs = this.startMs;
    while (next < this.told.length) {
      const nowMs = performance.now();
      due = Math.min(due + ((nowMs - lastMs) / 1_000) * this.eventsPerSecond, this.shareMax() * this.told.length);
      lastMs = nowMs;
      const sentAt = Date.now();
      while (next < due) {
        const event = this.told[next++]!;
        if (this.publisher.publish(event.subject, stamped(event, sentAt))) await this.publisher.room();
      }
      await new Promise(resolve => setTimeout(resolve, TICK_MS));
    }
    await this.publisher.finish();
    this.endMs = performance.now();
  }
}

/** A departure says when it was really sent, so that one can tell how long its answer took. */
function stamped({ subject, body, fault }: Told, sentAt: number): string {
  const plain = fault === 'unreadable' || !subject.endsWith('.departed');
  return plain ? body : `{"sentAt":${sentAt},${body.slice(1)}`;
}
