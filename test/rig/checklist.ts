/**
 * A checklist of rows: compares a multiset of rows that must come with those that come, one by one, in any order.
 * Used wherever an output is held against a batch answer.
 */
export class Checklist {
  readonly expected: number;
  /** Rows that came and were expected. */
  verified = 0;
  /** Rows that came without being expected, or once too often. */
  surplus = 0;
  /** The first few of them. */
  readonly surplusFirst: string[] = [];
  private readonly open = new Map<string, number>();

  constructor(rows: Iterable<string>) {
    let expected = 0;
    for (const row of rows) {
      this.open.set(row, (this.open.get(row) ?? 0) + 1);
      expected++;
    }
    this.expected = expected;
  }

  /** A row has come. False: it should not have. */
  tick(row: string): boolean {
    const left = this.open.get(row);
    if (left === undefined) {
      this.surplus++;
      if (this.surplusFirst.length < EXAMPLES_MAX) this.surplusFirst.push(row);
      return false;
    }
    if (left === 1) this.open.delete(row);
    else this.open.set(row, left - 1);
    this.verified++;
    return true;
  }

  /** All have come, and nothing else. */
  get holds(): boolean {
    return this.open.size === 0 && this.surplus === 0;
  }

  /** The first few rows that have not come. */
  missingFirst(): string[] {
    return [...this.open.keys()].slice(0, EXAMPLES_MAX);
  }
}

const EXAMPLES_MAX = 5;
