/**
 * All tasks of a stage, fed by hand: real processors and real states, with snapshots as checkpoints write them, a run each;
 * and the same stage with another number of tasks, made of those snapshots.
 *
 *   records ─► fleet of P ──┬──────────────► the rest ─► rows ─┐
 *                           └─ cut ─► fleet of P′ ─► the rest ─► rows ─┴─ the same
 */
import assert from 'node:assert/strict';
import { keyGroupOf, keyGroupsOf, partitionOf } from '../../../lib/base/hash.ts';
import { INSERT } from '../../../lib/change/change.ts';
import type { Pipeline } from '../../../lib/index.ts';
import { EMPTY_OUTBOX, type Outbox } from '../../../lib/journal/outbox.ts';
import { NO_COUNTS } from '../../../lib/observe/counts.ts';
import { tablesOf } from '../../../lib/operator/tables.ts';
import { startsOf } from '../../../lib/outlet/outlet.ts';
import { encodeKey, type Key } from '../../../lib/record/key.ts';
import { originOf } from '../../../lib/record/origin.ts';
import { Place, type PlaceParts } from '../../../lib/replica/place.ts';
import { type CutTask, cutStage, type TaskSnapshot } from '../../../lib/savepoint/cut.ts';
import type { TableSpec } from '../../../lib/state/tables.ts';
import { Pace } from '../../../lib/task/pace.ts';
import { Processor } from '../../../lib/task/processor.ts';
import type { Plan, StagePlan } from '../../../lib/topology/plan.ts';
import { GatedStore } from '../state/gated-store.ts';
import { planned } from '../topology/broker.ts';

export interface Fed {
  readonly key: Key;
  readonly value: unknown;
  readonly timeMs: number;
  readonly input: number;
}

const RECORD_BYTES_MAX = 1 << 28;

/** One task: its processor, its disk, and the segments of its checkpoints so far. */
class Task {
  readonly processor: Processor;
  readonly pace = new Pace({ commitBytesMax: RECORD_BYTES_MAX, recordBytesMax: RECORD_BYTES_MAX });
  readonly store = new GatedStore();
  readonly segments: Uint8Array[] = [];
  watermarkMs = Number.NEGATIVE_INFINITY;
  dueMs = Number.NEGATIVE_INFINITY;
  #commits = 0;

  constructor(options: { plan: Plan; stage: StagePlan; partition: number }) {
    this.processor = new Processor({ ...options, messageBytesMax: 1 << 20, pace: this.pace });
  }

  /** One batch, with what is due: rows and late records as texts. */
  async run(dueMs: number): Promise<string[]> {
    this.dueMs = dueMs;
    const { processor } = this;
    if (await processor.execute(dueMs, processor.state.resident ? null : this.store)) this.watermarkMs = dueMs;
    assert.deepEqual(processor.takePending(), []);
    return textsOf(processor.take(++this.#commits, this.watermarkMs).outbox);
  }

  get isDone(): boolean {
    return this.watermarkMs === this.dueMs;
  }

  async checkpoint(options: { evicts: boolean }): Promise<void> {
    const { state } = this.processor;
    const checkpoint = state.checkpoint();
    for (const step of checkpoint.segments()) if (step !== null) this.segments.push(step);
    await this.store.write([...checkpoint.writes()]);
    state.checkpointLanded();
    if (options.evicts) state.evict(0);
  }

  snapshot(): TaskSnapshot {
    return { place: placeOf(this), segments: () => this.segments.toReversed() };
  }
}

/** How far a task is; of what it has sent, all is out. */
export function placeOf(at: { watermarkMs: number; dueMs: number }, outbox: Outbox = EMPTY_OUTBOX): PlaceParts {
  const place = new Place();
  place.take({ ...at, commit: 1, outbox, positions: {}, tails: {}, relayedThrough: 0, counts: NO_COUNTS });
  return place.toParts();
}

export class Fleet {
  readonly plan: Plan;
  readonly stage: StagePlan;
  readonly tables: readonly TableSpec[];
  readonly tasks: Task[];
  #seq = 0;

  constructor(plan: Plan, partitions: number) {
    const stage = plan.stages.at(-1)!;
    this.plan = plan;
    this.stage = stage;
    // As they come from where no code is loaded.
    this.tables = JSON.parse(JSON.stringify(tablesOf(stage.program))) as TableSpec[];
    this.tasks = Array.from({ length: partitions }, (_, partition) => new Task({ plan, stage, partition }));
  }

  static async of(made: Pipeline, partitions: number): Promise<Fleet> {
    return new Fleet(await planned(made), partitions);
  }

  feed(records: readonly Fed[]): void {
    for (const { key, value, timeMs, input } of records) {
      const encoded = encodeKey(key);
      const { processor } = this.tasks[encoded === null ? 0 : partitionOf(encoded, this.tasks.length)]!;
      processor.cursor.origin = originOf(0, ++this.#seq);
      processor.entries[input]!.receive(encoded, structuredClone(value), timeMs, INSERT);
    }
  }

  /** A batch for every task; then as many as it takes until all that is due has fired. */
  async run(dueMs: number): Promise<string[]> {
    const rows: string[] = [];
    for (const task of this.tasks) {
      do rows.push(...(await task.run(dueMs)));
      while (!task.isDone);
    }
    return rows;
  }

  /** One small batch after the other, as many of each task as `batches` says, so that much is under way. */
  async begin(dueMs: number, batches: (partition: number) => number): Promise<string[]> {
    const rows: string[] = [];
    for (const [partition, task] of this.tasks.entries()) {
      task.dueMs = dueMs;
      task.pace.bytesMax = 1;
      for (let left = batches(partition); left > 0; left--) rows.push(...(await task.run(dueMs)));
    }
    return rows;
  }

  get isUnderWay(): boolean {
    return this.tasks.every(task => !task.isDone);
  }

  async checkpoint(options: { evicts: boolean }): Promise<void> {
    for (const task of this.tasks) await task.checkpoint(options);
  }

  cut(partitions: number): readonly CutTask[] {
    return cutStage({ tables: this.tables, tasks: this.tasks.map(task => task.snapshot()), partitions });
  }

  /** The stage of the tasks that the cut gives. */
  async recut(partitions: number): Promise<Fleet> {
    const fleet = new Fleet(this.plan, partitions);
    for (const { partition, watermarkMs, dueMs, segments } of this.cut(partitions)) {
      const task = fleet.tasks[partition]!;
      for await (const step of segments()) if (step !== null) task.segments.push(step);
      await task.processor.state.loadSegments(task.segments);
      task.processor.resume(watermarkMs);
      Object.assign(task, { watermarkMs, dueMs });
    }
    return fleet;
  }

  /** Every entry with a key of a record is where its group is. `keyOfEntry` knows nothing of how it was cut. */
  checkPlaces(keyOfEntry: (entry: { table: string; key: string }) => Key): void {
    for (const [partition, { processor }] of this.tasks.entries()) {
      const { from, to } = keyGroupsOf(partition, this.tasks.length);
      for (const { name } of this.stage.program.nodes) {
        for (const entry of processor.state.entriesOf(name)) {
          if (entry.table === 'closed') continue;
          const encoded = encodeKey(keyOfEntry(entry));
          const group = encoded === null ? 0 : keyGroupOf(encoded);
          assert.ok(group >= from && group < to, `${entry.table} ${JSON.stringify(entry.key)} in ${partition}`);
        }
      }
    }
  }
}

function textsOf({ rows }: Outbox): string[] {
  return rows.flatMap(({ bytes, lengths, ...rest }) => {
    const starts = startsOf({ bytes, lengths, ...rest });
    return lengths.map((length, i) => Buffer.from(bytes.subarray(starts[i], starts[i]! + length)).toString());
  });
}
