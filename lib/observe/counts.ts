/**
 * What a pipeline, or a part of it, has done since it began. The counts of a part are written with what they count: those of
 * a task with each commit, those of a reader with what it says of how far it is. So a restart and a new revision go on with
 * exactly those of what goes on, and only deleting the state begins anew.
 */
export interface Counts {
  /** Records taken in. */
  readonly in: number;
  /** Rows for the sinks. Letters are none. */
  readonly out: number;
  /** Records that came after what they belong to had closed. */
  readonly late: number;
  /** Records that became dead letters. */
  readonly dead: number;
  /** Records that ended without a result, by reason (`duplicate`, `filtered`, …). */
  readonly dropped: Readonly<Record<string, number>>;
}

export const NO_COUNTS: Counts = { in: 0, out: 0, late: 0, dead: 0, dropped: {} };

/** As it is packed. */
export type CountsParts = [
  recordsIn: number,
  rowsOut: number,
  late: number,
  dead: number,
  dropped: Readonly<Record<string, number>>,
];

export function toCountsParts({ in: recordsIn, out, late, dead, dropped }: Counts): CountsParts {
  return [recordsIn, out, late, dead, dropped];
}

export function fromCountsParts([recordsIn, out, late, dead, dropped]: CountsParts): Counts {
  return { in: recordsIn, out, late, dead, dropped };
}

export function sumOfCounts(all: readonly Counts[]): Counts {
  const sum = { in: 0, out: 0, late: 0, dead: 0 };
  const dropped: Record<string, number> = {};
  for (const counts of all) {
    sum.in += counts.in;
    sum.out += counts.out;
    sum.late += counts.late;
    sum.dead += counts.dead;
    for (const reason in counts.dropped) dropped[reason] = (dropped[reason] ?? 0) + counts.dropped[reason]!;
  }
  return { ...sum, dropped };
}

/** Those of before with what has been added since; asked for at each commit, where mostly there is nothing to add. */
export function addDropped(
  before: Readonly<Record<string, number>>,
  since: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> {
  if (since.size === 0) return before;
  const sums: Record<string, number> = { ...before };
  for (const [reason, count] of since) sums[reason] = (sums[reason] ?? 0) + count;
  return sums;
}
