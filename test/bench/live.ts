/**
 * Latency at a steady rate: from the moment at which the last event of a row was due to be sent to the arrival of the row
 * at a plain JetStream subscriber. The sender is a process of its own, and both go by the clock of this one.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Latencies } from '../rig/latency.ts';
import { lastSequenceOf, subscribe } from '../rig/subscriber.ts';
import type { Query } from './answers.ts';
import { clockMs } from './clock.ts';
import { auctionsDue, type Shape } from './input.ts';
import { sendLive } from './live-input.ts';
import { pause, type Scene } from './scene.ts';

export interface Live {
  readonly eventsPerSecond: number;
  /** How long it is measured, after the warm-up; 0: not at all. */
  readonly seconds: number;
  /** Default 5. */
  readonly warmUpSeconds?: number;
}

export interface LatencyResult {
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

export const NO_LATENCY: LatencyResult = { p50Ms: null, p99Ms: null, maxMs: null };

/** When the last event has been stored, its row may be under way for so long. */
const TAIL_MS = 1_000;

/** @param options.output the stream and subjects of the rows; each row has the event's `dateTime`. */
export async function measureLive(
  scene: Scene,
  options: { query: Query; shape: Shape; live: Live; output: { stream: string; subject: string } },
): Promise<LatencyResult> {
  const { query, shape, live, output } = options;
  const { warmUpSeconds = 5 } = live;
  const { connection, broker } = scene;
  // A batch's sync waits for all that the file system has not written yet: gigabytes of the catch-up.
  await promisify(execFile)('sync');
  const latencies = new Latencies();
  const span = { ...live, seconds: live.seconds + warmUpSeconds };
  // A join's row is due when the later of its events is, and some bids are for an auction that is still to come.
  const partners = query === 'qj' ? auctionsDue(span, shape) : null;
  let begunMs = Number.POSITIVE_INFINITY;
  const subscription = await subscribe(connection, {
    ...output,
    from: (await lastSequenceOf(connection, output.stream)) + 1,
    arrived({ row }) {
      const { dateTime, auction } = JSON.parse(row) as { dateTime: number; auction: number };
      const partnerMs = begunMs + (partners?.get(auction) ?? 0);
      if (dateTime >= begunMs + warmUpSeconds * 1_000) latencies.add(clockMs() - Math.max(dateTime, partnerMs));
    },
  });
  await sendLive({ url: broker.url, query, shape, ...span }, fromMs => {
    begunMs = fromMs;
  });
  await pause(TAIL_MS);
  await subscription.stop();
  if (latencies.count === 0) return NO_LATENCY;
  return {
    p50Ms: latencies.quantileMs(0.5),
    p99Ms: latencies.quantileMs(0.99),
    maxMs: Math.round(latencies.maxMs * 10) / 10,
  };
}
