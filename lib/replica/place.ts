/**
 * How far a task is, beside its tables: what it has read, how far time is, and what of its results is out. A commit says
 * what has changed of this, a snapshot says all of it, so that a task can go on from either. Owned by whoever follows the
 * task's journal, and then by its owner.
 */
import type { Commit } from '../journal/entry.ts';
import { fromParts, type Outbox, toParts } from '../journal/outbox.ts';
import type { Tail, Tails } from '../journal/tails.ts';
import { type Counts, type CountsParts, fromCountsParts, NO_COUNTS, toCountsParts } from '../observe/counts.ts';

/** A commit that is not known to be sent whole. */
export interface UnsentCommit {
  readonly commit: number;
  readonly outbox: Outbox;
  readonly watermarkMs: number;
  /** When it was journaled, by the broker's clock, ms since 1970; -Infinity: unknown. */
  readonly timeMs: number;
}

/** What a place takes of a commit. */
type CommitPart = Pick<
  Commit,
  'commit' | 'outbox' | 'positions' | 'watermarkMs' | 'dueMs' | 'tails' | 'relayedThrough' | 'counts'
>;

/** A place as it is packed. */
export type PlaceParts = [
  positions: Record<string, number>,
  watermarkMs: number,
  dueMs: number,
  tails: Tails,
  relayedThrough: number,
  unsent: [commit: number, outbox: unknown, watermarkMs: number][],
  counts: CountsParts,
];

export class Place {
  /** By input; see `Commit`. */
  positions: Readonly<Record<string, number>> = {};
  /** The stage's watermark, ms; and how far event time is on the inputs, see `Commit`. */
  watermarkMs = Number.NEGATIVE_INFINITY;
  dueMs = Number.NEGATIVE_INFINITY;
  /** Every commit up to this one is sent whole. */
  relayedThrough = 0;
  /** What it has done. */
  counts: Counts = NO_COUNTS;
  /** What is last at the task's destinations, as far as it is known. */
  readonly #tails = new Map<string, Tail>();
  /** After `relayedThrough`, oldest first, from `#sent` on. */
  #unsent: UnsentCommit[] = [];
  #sent = 0;

  get tails(): Tails {
    return Object.fromEntries(this.#tails);
  }

  get unsent(): readonly UnsentCommit[] {
    return this.#unsent.slice(this.#sent);
  }

  /** The next commit has landed. @param timeMs see `UnsentCommit` */
  take(next: CommitPart, timeMs = Number.NEGATIVE_INFINITY): void {
    this.positions = next.positions;
    this.watermarkMs = next.watermarkMs;
    this.dueMs = next.dueMs;
    this.counts = next.counts;
    for (const name in next.tails) this.#tails.set(name, next.tails[name]!);
    const { commit, outbox, watermarkMs } = next;
    this.#unsent.push({ commit, outbox, watermarkMs, timeMs });
    this.#relayed(next.relayedThrough);
  }

  #relayed(through: number): void {
    if (through <= this.relayedThrough) return;
    this.relayedThrough = through;
    const unsent = this.#unsent;
    while (this.#sent < unsent.length && unsent[this.#sent]!.commit <= through) this.#sent++;
    if (this.#sent * 2 < unsent.length) return;
    this.#unsent = unsent.slice(this.#sent);
    this.#sent = 0;
  }

  /** A commit that is here already is seen in the journal, which says when it was stored. */
  date(stored: Pick<UnsentCommit, 'commit' | 'timeMs'>): void {
    const at = this.#unsent.findIndex(({ commit }, i) => i >= this.#sent && commit === stored.commit);
    if (at >= 0) this.#unsent[at] = { ...this.#unsent[at]!, timeMs: stored.timeMs };
  }

  /** Only what is known of destinations: where a task begins whose other places the journal tells. */
  tailsOnly(): Place {
    const place = new Place();
    for (const [name, tail] of this.#tails) place.#tails.set(name, tail);
    return place;
  }

  /** A copy: it stays as it is. */
  toParts(): PlaceParts {
    return [
      this.positions,
      this.watermarkMs,
      this.dueMs,
      this.tails,
      this.relayedThrough,
      this.unsent.map(({ commit, outbox, watermarkMs }) => [commit, toParts(outbox), watermarkMs]),
      toCountsParts(this.counts),
    ];
  }

  static fromParts([positions, watermarkMs, dueMs, tails, relayedThrough, unsent, counts]: PlaceParts): Place {
    const place = new Place();
    place.positions = positions;
    place.watermarkMs = watermarkMs;
    place.dueMs = dueMs;
    place.relayedThrough = relayedThrough;
    place.counts = fromCountsParts(counts);
    for (const name in tails) place.#tails.set(name, tails[name]!);
    place.#unsent = unsent.map(([commit, outbox, ms]) => ({
      ...{ commit, outbox: fromParts(outbox), watermarkMs: ms },
      // By the clock of the worker that wrote this it would be known, and not by the broker's.
      timeMs: Number.NEGATIVE_INFINITY,
    }));
    return place;
  }
}
