/**
 * A task's state: every table of every operator, and the four things the engine does with them.
 *
 * - **journal** `takeDelta` gives what a batch changed, `applyDelta` does it again after a restart.
 * - **write back** `checkpoint` gives what changed since the last one, for the store and for a snapshot.
 * - **memory** `evict` drops what the store has, oldest buckets first; `prefetch` brings back what a batch wants.
 * - **restore** `loadAll` from the store, `loadSegments` from a snapshot, then `applyDelta` or `replay`.
 *
 * While everything fits in memory (`resident`) only the first is at work, and nothing is wanted or read.
 * It is made from a list of tables, which operators open when they are made, before or after anything was restored; state
 * of a table that is not on the list is PLAN_INCOMPATIBLE.
 */
import { invariant } from '../base/errors.ts';
import type { Store } from '../port/store.ts';
import { type BatchNotes, STORED } from './bucket.ts';
import { type Checkpoint, WriteBack } from './checkpoint.ts';
import { applyParts, decodeDelta, encodeDelta } from './delta.ts';
import { checkTableName } from './layout.ts';
import { ListStateTable } from './list-table.ts';
import { StateLook } from './look.ts';
import { NumberTable } from './number-table.ts';
import { Residency, type WantsCollector } from './residency.ts';
import { loadSegments, loadStore, type Restored, replayDelta, type Spill } from './restore.ts';
import type { StateTable } from './table.ts';
import type { ListTable, TableSpec, Tables, ValueTable } from './tables.ts';
import { ValueStateTable } from './value-table.ts';

export class TaskState {
  readonly #tables = new Map<string, StateTable>();
  readonly #opened = new Set<string>();
  readonly #notes: BatchNotes = { touched: [], unread: 0 };
  readonly #residency = new Residency(this.#tables, this.#notes);
  readonly #writeBack = new WriteBack(this.#tables);
  /** For those who only want to see what is there. */
  readonly look = new StateLook(this.#tables, () => this.#writeBack.isOpen);

  /** @param specs all its tables, each named `<operator>.<name>` */
  constructor(specs: readonly TableSpec[]) {
    for (const spec of specs) {
      checkTableName(spec.name);
      invariant(!this.#tables.has(spec.name), `the table ${spec.name} is declared twice`);
      this.#tables.set(spec.name, tableOf(spec, this.#notes));
    }
  }

  /** The face towards an operator. Its table `name` is the table `<operator>.<name>`. */
  tables(operator: string): Tables {
    return {
      values: <V>(name: string) => this.#open(`${operator}.${name}`, ValueStateTable) as ValueTable<V>,
      numbers: name => this.#open(`${operator}.${name}`, NumberTable),
      lists: <T>(name: string) => this.#open(`${operator}.${name}`, ListStateTable) as ListTable<T>,
    };
  }

  #open<T extends StateTable>(name: string, kind: new (...about: never[]) => T): T {
    const table = this.#tables.get(name);
    invariant(table instanceof kind, `the table ${name} is not declared, or as one of another kind`);
    invariant(!this.#opened.has(name), `the table ${name} is opened twice`);
    this.#opened.add(name);
    return table;
  }

  /** Forgets all that is in it. Tables stay open. */
  reset(): void {
    for (const table of this.#tables.values()) table.reset();
    this.#residency.reset();
    this.#writeBack.reset();
  }

  /** The entries in memory of an operator's tables, for people to look at. */
  *entriesOf(operator: string): IterableIterator<{ table: string; bucket: number; key: string; content: unknown }> {
    for (const [name, table] of this.#tables) {
      if (!name.startsWith(`${operator}.`)) continue;
      for (const bucket of table.bucketsBelow(Number.POSITIVE_INFINITY)) {
        for (const [key, content] of table.entries(bucket)) {
          yield { table: name.slice(operator.length + 1), bucket, key, content };
        }
      }
    }
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

  /**
   * Every entry is in memory: nothing needs to be wanted. Holds until somebody evicts, which nobody may between asking and
   * executing.
   */
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
    this.#settleChanges();
    return delta;
  }

  /**
   * Makes the changes of a delta, which must be the next one. The store that the state came from may be older than the
   * snapshot, so from here on every deletion of what deltas bring is told at the next checkpoint. Throws JOURNAL_CORRUPT, PLAN_INCOMPATIBLE, and INVARIANT
   * if it needs what is not in memory (then `replay` is the way) or if changes of our own are not taken yet.
   */
  applyDelta(bytes: Uint8Array): void {
    this.#checkTaken();
    applyParts(this.#tables, decodeDelta(bytes));
    this.#settleChanges(STORED);
  }

  /** `applyDelta` for a state that is partly on disk: reads what the delta touches first. */
  replay(bytes: Uint8Array, store: Store): Promise<void> {
    this.#checkTaken();
    return replayDelta(this.#restored(), bytes, store);
  }

  /** How many entries the next checkpoint would write; one that changed twice may count twice. */
  get dirtyEntries(): number {
    return this.#writeBack.dirtyEntries;
  }

  /**
   * Encodes up to about `entriesMax` entries of the next checkpoint, between batches, so that `checkpoint` has less to do.
   * True: there is more.
   */
  prepareCheckpoint(entriesMax: number): boolean {
    return this.#writeBack.prepare(entriesMax);
  }

  /**
   * What changed since the last checkpoint, as of the last `takeDelta`. To be written to the store, with the caller's
   * pointer in the same batch, once the commits up to that delta are durable; then `checkpointLanded`. Throws INVARIANT
   * if changes are not taken yet or the last checkpoint has not landed.
   */
  checkpoint(): Checkpoint {
    return this.#writeBack.take();
  }

  /** The store has the last checkpoint: its entries may be evicted from now on. */
  checkpointLanded(): void {
    this.#writeBack.landed();
  }

  /**
   * Drops entries that the store has, unchanged, until about `bytesMax` are left. Does nothing while a checkpoint is open
   * (from its first `prepareCheckpoint` to `checkpointLanded`), and spares what the batch in hand has wanted and tables
   * that stay in memory.
   */
  evict(bytesMax: number): void {
    if (!this.#writeBack.isOpen) this.#residency.evict(bytesMax);
  }

  /** Where the batch in hand says what it will touch; opens it. Ask only when not `resident`. */
  wants(): WantsCollector {
    return this.#residency.wants;
  }

  /**
   * Reads what is wanted and not in memory. Returns how many keys and buckets were read; 0: nothing new was wanted. What
   * was wanted cannot be evicted until `endBatch`. Throws STORE_CORRUPT.
   */
  prefetch(store: Store): Promise<number> {
    return this.#residency.prefetch(store);
  }

  /** The batch has been executed: lets go of what it had wanted. */
  endBatch(): void {
    this.#residency.endBatch();
  }

  /**
   * Fills memory from a store, newest buckets first, up to about `bytesMax`; tables that stay in memory come in whole.
   * Throws STORE_CORRUPT, PLAN_INCOMPATIBLE.
   */
  loadAll(store: Store, options: { bytesMax: number }): Promise<void> {
    return loadStore(this.#restored(), store, options.bytesMax);
  }

  /** Fills memory from a snapshot's segments, oldest first. Throws JOURNAL_CORRUPT, PLAN_INCOMPATIBLE. */
  loadSegments(segments: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, spill: Spill | null = null): Promise<void> {
    return loadSegments(this.#restored(), segments, spill);
  }

  #restored(): Restored {
    const state = this;
    return {
      tables: this.#tables,
      residency: this.#residency,
      writeBack: this.#writeBack,
      get bytes() {
        return state.bytes;
      },
      get resident() {
        return state.resident;
      },
      settleChanges: () => this.#settleChanges(STORED),
    };
  }

  #settleChanges(flags: typeof STORED | 0 = 0): void {
    for (const table of this.#tables.values()) table.settleChanges(flags);
  }

  #checkTaken(): void {
    for (const table of this.#tables.values()) {
      invariant(table.changedBuckets.length === 0, `${table.name} has changes that no delta has taken`);
    }
  }
}

function tableOf({ name, kind, inMemory = false }: TableSpec, notes: BatchNotes): StateTable {
  switch (kind) {
    case 'values':
      return new ValueStateTable(name, notes, { inMemory });
    case 'numbers':
      return new NumberTable(name, notes, { inMemory });
    case 'lists':
      return new ListStateTable(name, notes, { inMemory });
  }
}
