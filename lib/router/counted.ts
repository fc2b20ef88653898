/**
 * What a reader has done, which it tells with how far it is. Where it goes on it may read again what it has read before, for a
 * channel that is behind: that is not counted again.
 */
export interface Counted {
  /** Up to and with this source message. */
  readonly to: number;
  readonly records: number;
  readonly bytes: number;
  /** Records that ended without a result, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** What one life of a reader has read, again or not. */
interface Own {
  readonly position: number;
  readonly recordsIn: number;
  readonly bytesIn: number;
}

const NOTHING: Counted = { to: 0, records: 0, bytes: 0, dropped: {} };

export class Counting {
  #before: Counted | null = null;
  /** What had been read when that came which nobody had read before. */
  #again: Omit<Counted, 'to'> = NOTHING;

  /** @param before null: nothing was told */
  begin(before: Counted | null): void {
    this.#before = before ?? NOTHING;
  }

  /** Up to this source message all has been counted. */
  get to(): number {
    return this.#before?.to ?? 0;
  }

  /** What has been read by now has all been counted before. */
  noteAgain({ recordsIn, bytesIn }: Own, dropped: ReadonlyMap<string, number>): void {
    this.#again = { records: recordsIn, bytes: bytesIn, dropped: Object.fromEntries(dropped) };
  }

  /** Null: it has not begun. */
  total({ position, recordsIn, bytesIn }: Own, dropped: ReadonlyMap<string, number>): Counted | null {
    const before = this.#before;
    if (before === null) return null;
    const again = this.#again;
    const sums = { ...before.dropped };
    for (const [reason, count] of dropped) {
      const more = count - (again.dropped[reason] ?? 0);
      if (more > 0) sums[reason] = (sums[reason] ?? 0) + more;
    }
    return {
      to: Math.max(before.to, position),
      records: before.records + recordsIn - again.records,
      bytes: before.bytes + bytesIn - again.bytes,
      dropped: sums,
    };
  }
}

/** As a header has it, which is JSON. */
export function countedFrom(header: string | undefined): Counted | null {
  return header === undefined ? null : (JSON.parse(header) as Counted);
}
