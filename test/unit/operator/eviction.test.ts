/**
 * Operators over a state that is on disk: after each batch everything is written to a store and evicted, and a batch
 * may touch only what the operator wanted. The rows must be those of the same history with all state in memory.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { INSERT } from '../../../lib/change/change.ts';
import { collect, count } from '../../../lib/operator/aggregates.ts';
import { buildOperator } from '../../../lib/operator/build.ts';
import type { AggregateSpec, StatefulSpec, WindowSpec } from '../../../lib/operator/spec.ts';
import { tablesOf } from '../../../lib/operator/tables.ts';
import { TaskState } from '../../../lib/state/state.ts';
import { GatedStore } from '../state/gated-store.ts';
import { type Arrival, type History, orderly, play, unruly } from './histories.ts';
import { Rig } from './rig.ts';

/** One batch after the other through a task's steps: want, prefetch, execute, write back, evict. */
async function playOnDisk(spec: StatefulSpec, history: History): Promise<unknown[]> {
  const rows: unknown[] = [];
  const store = new GatedStore();
  let carried: string | null = null;
  const context = (state: TaskState) => ({
    name: 'op',
    tables: state.tables('op'),
    emit: (key: string | null, value: unknown, timeMs: number) => void rows.push(structuredClone([key, value, timeMs])),
    late: ({ value, lateByMs }: { value: unknown; lateByMs: number }) => void rows.push(['late', value, lateByMs]),
    drop: (reason: string) => void rows.push(['drop', reason]),
    poison: (cause: unknown) => {
      throw cause;
    },
    carriedId: () => carried,
    hasPassed: () => false,
    owe: () => {},
    worked: () => {},
    full: () => false,
  });
  let state = new TaskState(tablesOf({ nodes: [{ name: 'op', spec, targets: [] }] }));
  let operator = buildOperator(spec, context(state));
  let watermarkMs = Number.NEGATIVE_INFINITY;

  const run = async (batch: readonly Arrival[], nextMs: number) => {
    for (;;) {
      if (state.resident) break;
      for (const { port, key, id, t, dedupeId } of batch) {
        carried = dedupeId;
        operator.want(state.wants(), port, key, id, t, INSERT);
      }
      operator.wantAdvance(state.wants(), nextMs);
      if ((await state.prefetch(store)) === 0) break;
    }
    for (const { port, key, id, t, dedupeId } of batch) {
      carried = dedupeId;
      operator.receive(port, key, id, t, INSERT);
    }
    operator.advance(nextMs);
    watermarkMs = nextMs;
    state.takeDelta();
    state.endBatch();
    await store.write([...state.checkpoint().writes()]);
    state.checkpointLanded();
    state.evict(0);
  };

  let batch: Arrival[] = [];
  let maxMs = Number.NEGATIVE_INFINITY;
  for (const arrival of history.arrivals) {
    batch.push(arrival);
    maxMs = Math.max(maxMs, arrival.t);
    if (!arrival.cut) continue;
    await run(batch, maxMs - history.maxOutOfOrderMs);
    batch = [];
    if (!arrival.restart) continue;
    state = new TaskState(tablesOf({ nodes: [{ name: 'op', spec, targets: [] }] }));
    operator = buildOperator(spec, context(state));
    await state.loadAll(store, { bytesMax: 0 });
    operator.resume(watermarkMs);
  }
  await run(batch, maxMs - history.maxOutOfOrderMs + history.tailMs);
  await run([], 100_000);
  assert.equal(spec.kind === 'tableJoin' ? 0 : state.entries, 0);
  return rows;
}

function playInMemory(spec: StatefulSpec, history: History): unknown[] {
  const rig = new Rig(spec, { strict: true });
  play(rig, { ...history, slice: 0 });
  rig.advance(100_000);
  return [
    ...rig.rows.map(({ key, value, timeMs }) => [key, value, timeMs]),
    ...rig.late.map(({ value, lateByMs }) => ['late', value, lateByMs]),
    ...rig.drops.map(reason => ['drop', reason]),
  ];
}

const windowSpec = (window: WindowSpec, emit: 'final' | 'updates', aggregates: AggregateSpec[]): StatefulSpec => ({
  kind: 'window',
  window,
  graceMs: 7,
  emit,
  results: aggregates.map((_, i) => `r${i}`),
  aggregates,
  shape: ({ key: _key, ...row }) => row,
});
const ids = collect((v: number) => v) as AggregateSpec;
const slow: AggregateSpec = { ...(count() as AggregateSpec), merge: undefined } as unknown as AggregateSpec;
const hopping: WindowSpec = { kind: 'hopping', sizeMs: 20, advanceMs: 6, offsetMs: 1 };
const join = (kind: 'inner' | 'left' | 'right' | 'outer' | 'semi' | 'anti'): StatefulSpec => ({
  kind: 'join',
  join: kind,
  beforeMs: 6,
  afterMs: 9,
  graceMs: 7,
  combine: (left, right) => [left, right],
});

const SPECS: Record<string, StatefulSpec> = {
  dedupe: { kind: 'dedupe', id: null, withinMs: 15, graceMs: 7, keep: 'first' },
  'dedupe, keeping the last': { kind: 'dedupe', id: null, withinMs: 15, graceMs: 7, keep: 'last' },
  'an inner join': join('inner'),
  'a left join': join('left'),
  'a right join': join('right'),
  'an outer join': join('outer'),
  'a semi join': join('semi'),
  'an anti join': join('anti'),
  'tumbling windows': windowSpec({ kind: 'tumbling', sizeMs: 20, offsetMs: 0 }, 'final', [ids]),
  'tumbling windows with updates': windowSpec({ kind: 'tumbling', sizeMs: 20, offsetMs: 0 }, 'updates', [ids]),
  'hopping windows by panes': windowSpec(hopping, 'final', [ids]),
  'hopping windows by panes with updates': windowSpec(hopping, 'updates', [ids]),
  'hopping windows without merge, with updates': windowSpec(hopping, 'updates', [slow]),
  sessions: windowSpec({ kind: 'session', gapMs: 8 }, 'final', [ids]),
  'sessions with updates': windowSpec({ kind: 'session', gapMs: 8 }, 'updates', [ids]),
  'a table join': { kind: 'tableJoin', inner: true, combine: (stream, row) => [stream, row] },
  process: {
    kind: 'process',
    process: {
      onRecord(value, c, timeMs) {
        c.state = [...((c.state ?? []) as unknown[]), value];
        c.setTimer(`${Number(value) % 3}`, timeMs + 20);
      },
      onTimer(name, c) {
        c.emit([name, c.state]);
        c.state = undefined;
      },
    },
  },
};

for (const [name, spec] of Object.entries(SPECS)) {
  test(`${name}: with all state on disk between batches, the rows are the same`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(orderly, unruly), async history => {
        const sort = (rows: unknown[]) => rows.map(row => JSON.stringify(row)).sort();
        assert.deepEqual(sort(await playOnDisk(spec, history)), sort(playInMemory(spec, history)));
      }),
      { numRuns: 120 },
    );
  });
}
