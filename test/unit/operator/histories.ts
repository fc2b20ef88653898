/**
 * Random histories: records in an order that a source could have, cut into batches, with restarts in between; and what is
 * due may take several batches, with restarts between those.
 *
 *   event time   1   2   3   4   5   6        a record arrives at its time plus a delay of at most
 *   arrival        2   1   3   6   5   4      maxOutOfOrder + grace, so none is late, wherever batches end
 */
import fc from 'fast-check';
import type { Rec } from './batch.ts';
import type { Rig } from './rig.ts';

export interface Arrival extends Rec {
  readonly port: number;
  readonly dedupeId: string;
  /** A batch ends after this record. */
  readonly cut: boolean;
  readonly restart: boolean;
}

export interface History {
  readonly arrivals: readonly Arrival[];
  readonly graceMs: number;
  readonly maxOutOfOrderMs: number;
  /** So many rows fire in one batch; 0: all that are due. */
  readonly slice: number;
  /** How far the watermark goes in the end, beyond the last event. */
  readonly tailMs: number;
}

const arrival = fc.record({
  port: fc.nat(1),
  key: fc.constantFrom('a', 'b', 'c'),
  dedupe: fc.nat(4),
  t: fc.nat(120),
  delay: fc.nat(100),
  cut: fc.boolean(),
  restart: fc.nat(9).map(n => n === 0),
});

function history(options: { late: boolean }): fc.Arbitrary<History> {
  return fc
    .record({
      arrivals: fc.array(arrival, { maxLength: 60, size: 'max' }),
      graceMs: fc.nat(12),
      maxOutOfOrderMs: fc.nat(12),
      slice: fc.nat(3),
      tailMs: fc.nat(60),
    })
    .map(({ arrivals, graceMs, maxOutOfOrderMs, slice, tailMs }) => {
      const disorderMs = options.late ? 100 : graceMs + maxOutOfOrderMs;
      const ordered = arrivals
        .map((one, id) => ({ ...one, id, dedupeId: `d${one.dedupe}`, at: one.t + (one.delay * disorderMs) / 100 }))
        .sort((a, b) => a.at - b.at || a.id - b.id);
      return { arrivals: ordered, graceMs, maxOutOfOrderMs, slice, tailMs };
    });
}

/** Nothing is late. */
export const orderly = history({ late: false });
/** Much is. */
export const unruly = history({ late: true });

/**
 * Plays a history; returns the last watermark. `judge` sees each record before it goes in, with W at that moment.
 * An end to everything comes on top with `flush`.
 */
export function play(
  rig: Rig,
  history: History,
  judge: (arrival: Arrival, watermarkMs: number) => void = () => {},
): number {
  let maxMs = Number.NEGATIVE_INFINITY;
  let slices = 0;
  rig.sliceRows = history.slice === 0 ? null : history.slice;
  rig.dies = () => ++slices % 3 === 0;
  for (const arrival of history.arrivals) {
    judge(arrival, rig.watermarkMs);
    rig.carried = arrival.dedupeId;
    rig.receive(arrival.key, arrival.id, arrival.t, arrival.port);
    maxMs = Math.max(maxMs, arrival.t);
    if (!arrival.cut) continue;
    rig.advance(maxMs - history.maxOutOfOrderMs);
    if (arrival.restart) rig.restart();
  }
  const lastMs = maxMs - history.maxOutOfOrderMs + history.tailMs;
  rig.advance(lastMs);
  return lastMs;
}

export const RUNS = { numRuns: 1000 };
