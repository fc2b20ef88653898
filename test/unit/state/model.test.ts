/**
 * A state against the naive model, through random histories: batches with evictions and landing writes in the middle of
 * their prefetch, checkpoints in slices, restarts from the store and from snapshots, at random points and budgets.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { metaKey } from '../../../lib/state/layout.ts';
import { mergeFrom, mergeSegments } from '../../../lib/state/snapshot.ts';
import { GatedStore } from './gated-store.ts';
import { made } from './made.ts';
import {
  assertEqual,
  copyOf,
  entriesOf,
  execute,
  type Model,
  newModel,
  newState,
  type Op,
  type Opened,
  open,
  want,
} from './model.ts';

const buckets = [-3, 0, 2 ** 40];
const pointerKey = metaKey('pointer');
const bucket = fc.constantFrom(...buckets);
// Few and unevenly used, so that the same entry is hit often.
const key = fc.constantFrom('a', 'a', 'a', 'b', 'b', 'c', 'd', 'é', '\ud800');
const row = fc.record(
  { n: fc.integer(), text: fc.constantFrom(null, '', 'long '.repeat(20)) },
  { noNullPrototype: true },
);
const valueTable = fc.constantFrom(0 as const, 1 as const, 3 as const);
const anyTable = fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const);
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('set' as const), table: valueTable, bucket, key, row }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('touch' as const), table: valueTable, bucket, key }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('append' as const), bucket, key, row }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('replace' as const), bucket, key, index: fc.nat(9), row }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), table: anyTable, bucket, key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), table: anyTable, bucket }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('sweep' as const), table: anyTable, bucket }) },
);

/** `during`: what happens while the batch's prefetch is on its way. */
type Step =
  | { kind: 'batch'; ops: Op[]; during: ('evict' | 'land')[] }
  | { kind: 'prepare'; entriesMax: number }
  | { kind: 'checkpoint' }
  | { kind: 'land' }
  | { kind: 'evict'; share: number }
  /** A checkpoint that lands at once, then everything out. */
  | { kind: 'pageOut' }
  | { kind: 'restartFromStore'; bytesMax: number; isOld: boolean }
  | { kind: 'restartFromSegments'; bytesMax: number | null };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      ops: fc.array(op, { minLength: 1, maxLength: 20 }),
      during: fc.array(fc.constantFrom('evict' as const, 'land' as const), { maxLength: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('prepare' as const), entriesMax: fc.nat(4) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('checkpoint' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('land' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pageOut' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('evict' as const), share: fc.constantFrom(0, 0.5) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('restartFromStore' as const),
      bytesMax: fc.constantFrom(0, 4000, 1e9),
      isOld: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('restartFromSegments' as const),
      bytesMax: fc.constantFrom(null, 0, 4000, 1e9),
    }),
  },
);

/** A task's owner, boiled down: it keeps a journal, a store with a pointer into it, and a snapshot. */
class Owner {
  state = newState();
  tables: Opened = open(this.state);
  model: Model = newModel();
  store = new GatedStore();
  /** Every delta so far. */
  readonly journal: Uint8Array[] = [];
  snapshot: { bytes: Uint8Array; run: number }[] = [];
  /** How many deltas the snapshot reflects. */
  pointer = 0;
  #runs = 0;
  /** Follows the deltas in memory. */
  readonly replica = newState();
  readonly replicaTables = open(this.replica);
  #writing: Promise<void> | null = null;
  #oldStore: Map<string, Uint8Array> | null = null;
  #landed = 0;
  #partlyOnDisk = 0;

  async take(step: Step): Promise<void> {
    if (step.kind === 'batch') await this.batch(step.ops, step.during);
    else if (step.kind === 'prepare') this.prepare(step.entriesMax);
    else if (step.kind === 'checkpoint') await this.checkpoint();
    else if (step.kind === 'land') await this.land();
    else if (step.kind === 'evict') this.state.evict(this.state.bytes * step.share);
    else if (step.kind === 'pageOut') await this.pageOut();
    else if (step.kind === 'restartFromStore') await this.restartFromStore(step.bytesMax, step.isOld);
    else await this.restartFromSegments(step.bytesMax);
    assert.equal(this.state.entries, entriesOf(this.model));
  }

  async batch(ops: readonly Op[], during: readonly ('evict' | 'land')[]): Promise<void> {
    const { state } = this;
    if (!state.resident) {
      this.#partlyOnDisk++;
      for (const one of ops) want(this.tables, state.wants(), one);
      // Reads are answered with what is there now, and arrive after whatever happens in between.
      this.store.hold('reads');
      const read = state.prefetch(this.store);
      for (const event of during) {
        if (event === 'evict') state.evict(0);
        else await this.land();
      }
      this.store.release('reads');
      await read;
      state.evict(0);
      assert.equal(await state.prefetch(this.store), 0, 'nothing is left to read');
    }
    for (const one of ops) execute(this.tables, this.model, one);
    const delta = state.takeDelta();
    if (delta !== null) {
      this.journal.push(delta);
      this.replica.applyDelta(delta);
    }
    state.endBatch();
    assertEqual(this.replicaTables, this.model);
  }

  prepare(entriesMax: number): void {
    if (this.#writing === null) this.state.prepareCheckpoint(entriesMax);
  }

  /** The snapshot is whole before the store hears of it. */
  async checkpoint(): Promise<void> {
    await this.land();
    const { writes, segments } = this.state.checkpoint();
    this.pointer = this.journal.length;
    const run = ++this.#runs;
    for (const bytes of made(segments())) this.snapshot.push({ bytes, run });
    await this.merge();
    this.store.hold('writes');
    this.#writing = this.store.write([
      ...writes(),
      { type: 'put', key: pointerKey, value: Buffer.from(String(this.pointer)) },
    ]);
  }

  async pageOut(): Promise<void> {
    await this.checkpoint();
    await this.land();
    this.state.evict(0);
    assert.ok(this.state.resident === (this.state.entries === 0));
  }

  async land(): Promise<void> {
    if (this.#writing === null) return;
    this.store.release('writes');
    await this.#writing;
    this.#writing = null;
    this.state.checkpointLanded();
    if (this.#landed++ % 3 === 0) this.#oldStore = new Map(this.store.content);
  }

  async merge(): Promise<void> {
    const refs = this.snapshot.map(({ bytes, run }, index) => ({ name: String(index), bytes: bytes.length, run }));
    const from = mergeFrom(refs);
    if (from === null) return;
    const tail = this.snapshot.splice(from).reverse();
    const run = ++this.#runs;
    const merged: { bytes: Uint8Array; run: number }[] = [];
    for await (const bytes of mergeSegments(
      tail.map(one => one.bytes),
      { isWhole: from === 0 },
    )) {
      if (bytes !== null) merged.unshift({ bytes, run });
    }
    this.snapshot.push(...merged);
  }

  /** `isOld`: on a machine that had the task some checkpoints ago. */
  async restartFromStore(bytesMax: number, isOld = false): Promise<void> {
    const content = isOld && this.#oldStore !== null ? this.#oldStore : this.store.content;
    const pointer = content.get(Buffer.from(pointerKey).toString('latin1'));
    // A store that is not whole is of no use. One that is behind the snapshot is.
    if (pointer === undefined) {
      await this.restartFromSegments(bytesMax);
      return;
    }
    this.#crash(new GatedStore(content));
    await this.state.loadAll(this.store, { bytesMax });
    await this.#replay(Number(Buffer.from(pointer)));
  }

  async restartFromSegments(bytesMax: number | null): Promise<void> {
    this.#crash(new GatedStore());
    const spill = bytesMax === null ? null : { store: this.store, bytesMax };
    await this.state.loadSegments(
      this.snapshot.map(one => one.bytes),
      spill,
    );
    await this.#replay(this.pointer);
  }

  /** What was being written is lost. */
  #crash(store: GatedStore): void {
    this.#writing = null;
    this.store = store;
    this.state = newState();
    this.tables = open(this.state);
  }

  async #replay(from: number): Promise<void> {
    for (const delta of this.journal.slice(from)) {
      if (this.state.resident) this.state.applyDelta(delta);
      else await this.state.replay(delta, this.store);
    }
  }

  /** Everything, read back through every way there is. */
  async finish(): Promise<number> {
    await this.checkpoint();
    await this.land();
    const model = copyOf(this.model);
    for (const restart of [
      () => this.restartFromStore(1e9),
      () => this.restartFromSegments(null),
      () => this.restartFromSegments(0),
    ]) {
      await restart();
      await this.#assertHolds(model);
    }
    // A fresh store after a restore from segments holds everything after one checkpoint.
    await this.checkpoint();
    await this.land();
    await this.restartFromStore(1e9);
    await this.#assertHolds(model);
    return this.#partlyOnDisk;
  }

  async #assertHolds(model: Model): Promise<void> {
    for (const table of this.tables.tables) for (const id of buckets) this.state.wants().bucket(table, id);
    await this.state.prefetch(this.store);
    assertEqual(this.tables, model);
    this.state.endBatch();
  }
}

describe('a state against the model', () => {
  test('it holds what a map of maps would hold, whatever is on disk and however often it is restored', async () => {
    let partlyOnDisk = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), async steps => {
        const owner = new Owner();
        for (const one of steps) await owner.take(one);
        partlyOnDisk += await owner.finish();
      }),
      { numRuns: 400 },
    );
    assert.ok(partlyOnDisk > 200, `only ${partlyOnDisk} batches ran on a state that was partly on disk`);
  });
});
