/**
 * A task's state: every table of every operator, and the four things the engine does with them.
 *
 * - **journal** `takeDelta` gives what a batch changed, `applyDelta` does it again after a restart.
 * - **write back** `checkpoint` gives what changed since the last one, for the store and for a snapshot.
 * - **memory** `evict` drops what the store has, oldest buckets first; `prefetch` brings back what a batch wants.
 * - **restore** `loadAll` from the store, `loadSegments` from a snapshot, then `applyDelta` or `replay`.
 *
 * While everything fits in memory (`resident`) only the first is at work, and nothing is wanted or read.
 * Operators open their tables before anything is restored; state of a table that nobody opened is PLAN_INCOMPATIBLE.
 */
import { invariant } from '../base/errors.ts';
import type { BatchNotes } from './bucket.ts';
import { applyParts, decodeDelta, encodeDelta } from './delta.ts';
import { checkTableName } from './layout.ts';
import { ListStateTable } from './list-table.ts';
import type { StateTable } from './table.ts';
import type { ListTable, Tables, ValueTable } from './tables.ts';
import { ValueStateTable } from './value-table.ts';

export class TaskState {
  readonly #tables = new Map<string, StateTable>();
  readonly #notes: BatchNotes = { pinned: [], touched: [], unread: 0 };

  /** The face towards an operator. Its table `name` is the table `<operator>.<name>`. Throws INVARIANT if it is open. */
  tables(operator: string): Tables {
    return {
      values: <V>(name: string) => this.#open(new ValueStateTable(`${operator}.${name}`, this.#notes)) as ValueTable<V>,
      lists: <T>(name: string) => this.#open(new ListStateTable(`${operator}.${name}`, this.#notes)) as ListTable<T>,
    };
  }

  #open<T extends StateTable>(table: T): T {
    checkTableName(table.name);
    invariant(!this.#tables.has(table.name), `the table ${table.name} is opened twice`);
    this.#tables.set(table.name, table);
    return table;
  }

  /** How many entries there are, in memory or on disk. */
  get entries(): number {
    let entries = 0;
    for (const table of this.#tables.values()) entries += table.entriesHeld + table.onDisk;
    return entries;
  }

  /** About how much memory the entries take. */
  get bytes(): number {
    let bytes = 0;
    for (const table of this.#tables.values()) bytes += table.memoryBytes;
    return Math.round(bytes);
  }

  /** Every entry is in memory: nothing needs to be wanted. Holds until somebody evicts, so ask when about to execute. */
  get resident(): boolean {
    for (const table of this.#tables.values()) if (table.onDisk > 0) return false;
    return true;
  }

  /** About how long `takeDelta` would be now. */
  get deltaBytes(): number {
    let bytes = 0;
    for (const table of this.#tables.values()) bytes += table.deltaBytes;
    return Math.round(bytes);
  }

  /**
   * Everything that changed since the last call, self-contained; null if nothing did. A value changed in place without
   * `set` is not in it. Throws RECORD_UNWRITABLE if a value cannot be packed.
   */
  takeDelta(): Uint8Array | null {
    const delta = encodeDelta(this.#tables);
    this.#cut();
    return delta;
  }

  /**
   * Makes the changes of a delta, which must be the next one. Throws JOURNAL_CORRUPT, PLAN_INCOMPATIBLE, and INVARIANT
   * if it needs what is not in memory (then `replay` is the way) or if changes of our own are not taken yet.
   */
  applyDelta(bytes: Uint8Array): void {
    this.#checkTaken();
    applyParts(this.#tables, decodeDelta(bytes));
    this.#cut();
  }

  #cut(): void {
    for (const table of this.#tables.values()) table.cut();
  }

  #checkTaken(): void {
    for (const table of this.#tables.values()) {
      invariant(table.changedBuckets.length === 0, `${table.name} has changes that no delta has taken`);
    }
  }
}
