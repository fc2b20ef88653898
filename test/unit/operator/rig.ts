/**
 * A rig for one operator: feeds it records and watermarks, gathers what it says, and restarts it from nothing but the
 * deltas of its state, as a task does from its journal. A `strict` one also holds records back to the end of their
 * batch, asks the operator what it wants first, and lets it touch nothing else.
 */
import { type Change, INSERT } from '../../../lib/change/change.ts';
import { buildOperator } from '../../../lib/operator/build.ts';
import type { DropReason, Operator } from '../../../lib/operator/operator.ts';
import type { StatefulSpec } from '../../../lib/operator/spec.ts';
import { tablesOf } from '../../../lib/operator/tables.ts';
import { TaskState } from '../../../lib/state/state.ts';
import { WantedTables } from './wanted-tables.ts';

export interface Out {
  readonly key: string | null;
  readonly value: unknown;
  readonly timeMs: number;
}

export class Rig {
  readonly spec: StatefulSpec;
  operator: Operator;
  state: TaskState;
  readonly rows: Out[] = [];
  readonly late: (Out & { watermarkMs: number; lateByMs: number })[] = [];
  readonly drops: DropReason[] = [];
  readonly poisons: (Out & { cause: unknown })[] = [];
  /** What a reader would have computed for the record in hand. */
  carried: string | null = null;
  watermarkMs = Number.NEGATIVE_INFINITY;
  /** How many rows fire in one batch; null: all that are due. */
  sliceRows: number | null = null;
  /** Chance to die between two slices. */
  dies: () => boolean = () => false;
  #sliceFrom = 0;
  #journal: Uint8Array[] = [];
  #strict: boolean;
  #tables!: WantedTables;
  #batch: (Out & { port: number; change: Change; carried: string | null })[] = [];
  #taken = 0;

  constructor(spec: StatefulSpec, options?: { strict: boolean }) {
    this.spec = spec;
    this.#strict = options?.strict ?? false;
    this.state = this.#newState();
    this.operator = this.#build();
  }

  #newState(): TaskState {
    return new TaskState(tablesOf({ nodes: [{ name: 'op', spec: this.spec, targets: [] }] }));
  }

  #build(): Operator {
    this.#tables = new WantedTables(this.state.tables('op'), { inMemory: ['timers', 'closed', 'closing'] });
    return buildOperator(this.spec, {
      name: 'op',
      tables: this.#tables,
      emit: (key, value, timeMs) => {
        const oldest = this.watermarkMs - this.operator.lagMs;
        // A downstream watermark of W − lag has been told already; dedupe, table joins and process pass what they get.
        const holds = this.spec.kind === 'join' || this.spec.kind === 'window';
        if (holds && timeMs < oldest) throw new Error(`a row at ${timeMs} is older than W − lag = ${oldest}`);
        this.rows.push({ key, value: structuredClone(value), timeMs });
      },
      late: record => this.late.push(record),
      drop: reason => this.drops.push(reason),
      poison: (cause, record) => this.poisons.push({ cause, ...record }),
      carriedId: () => this.carried,
      hasPassed: () => false,
      owe: () => {},
      worked: () => {},
      full: () => this.sliceRows !== null && this.rows.length - this.#sliceFrom >= this.sliceRows,
    });
  }

  /** How often the operator has asked its tables or told them anything, since its last restart. */
  get tableCalls(): number {
    return this.#tables.calls;
  }

  receive(key: string | null, value: unknown, timeMs: number, port = 0, change: Change = INSERT): void {
    if (this.#strict) this.#batch.push({ key, value, timeMs, port, change, carried: this.carried });
    else this.operator.receive(port, key, value, timeMs, change);
  }

  /** The end of a batch. Returns the rows that came since the last one. */
  advance(watermarkMs: number): Out[] {
    let isLast = false;
    for (let done = false; !done; ) {
      if (this.#strict) this.#runBatch(watermarkMs);
      this.#sliceFrom = this.rows.length;
      const hasFired = this.operator.advance(watermarkMs);
      // Another operator of the stage may have more to fire when this one is done.
      done = hasFired && (isLast || this.sliceRows === null);
      isLast = hasFired;
      if (!done) this.operator.hold();
      this.#tables.end();
      const delta = this.state.takeDelta();
      if (delta !== null) this.#journal.push(delta);
      if (!done && this.dies()) this.restart();
    }
    this.watermarkMs = watermarkMs;
    return this.take();
  }

  #runBatch(watermarkMs: number): void {
    const batch = this.#batch;
    this.#batch = [];
    for (const { key, value, timeMs, port, change, carried } of batch) {
      this.carried = carried;
      this.operator.want(this.#tables, port, key, value, timeMs, change);
    }
    this.operator.wantAdvance(this.#tables, watermarkMs);
    this.#tables.begin();
    for (const { key, value, timeMs, port, change, carried } of batch) {
      this.carried = carried;
      this.operator.receive(port, key, value, timeMs, change);
    }
  }

  take(): Out[] {
    const rows = this.rows.slice(this.#taken);
    this.#taken = this.rows.length;
    return rows;
  }

  /** Only between batches. */
  restart(): void {
    this.state = this.#newState();
    this.operator = this.#build();
    for (const delta of this.#journal) this.state.applyDelta(delta);
    this.operator.resume(this.watermarkMs);
  }

  values(): unknown[] {
    return this.rows.map(row => row.value);
  }
}

/** Rows as texts in one order, so that multisets can be compared. */
export function sorted(rows: readonly unknown[]): string[] {
  return rows.map(row => JSON.stringify(row)).sort();
}
