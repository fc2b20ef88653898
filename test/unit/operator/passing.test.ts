/**
 * When a run holds records back. While all state is in memory they pass its steps as they are fed; where some is on disk
 * they wait until their step executes. It is asked once a batch, and what a prefetch brings in changes nothing about it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSERT } from '../../../lib/change/change.ts';
import { count } from '../../../lib/operator/aggregates.ts';
import type { Program } from '../../../lib/operator/program.ts';
import { newCursor, Run } from '../../../lib/operator/run.ts';
import type { AggregateSpec, StatefulSpec } from '../../../lib/operator/spec.ts';
import { tablesOf } from '../../../lib/operator/tables.ts';
import { NO_ORIGIN } from '../../../lib/record/origin.ts';
import { TaskState } from '../../../lib/state/state.ts';
import { GatedStore } from '../state/gated-store.ts';

const dedupe: StatefulSpec = {
  kind: 'dedupe',
  id: value => String(value),
  withinMs: 1_000,
  graceMs: 0,
  keep: 'first',
};
const tableJoin: StatefulSpec = {
  kind: 'tableJoin',
  inner: false,
  combine: (left, row) => `${left}/${row ?? 'no row'}`,
};

/** Input 0 goes through a dedupe to a table join, and input 1 is the join's table. */
const program: Program = {
  entries: [[{ node: 0, port: 0 }], [{ node: 1, port: 1 }]],
  nodes: [
    { name: 'dedupe', spec: dedupe, targets: [{ node: 1, port: 0 }] },
    { name: 'join', spec: tableJoin, targets: [{ exit: 0 }] },
  ],
  exits: [{ kind: 'sink', sink: 's' }],
};

class Rig {
  readonly rows: string[] = [];
  readonly state: TaskState;
  readonly run: Run;
  asked = 0;
  readonly #cursor = newCursor();
  readonly #store = new GatedStore();
  #fed = 0;

  constructor(given = program) {
    this.state = new TaskState(tablesOf(given));
    const { rows } = this;
    const cursor = this.#cursor;
    const out = (_key: string | null, value: unknown) => {
      const { origin, id, trace } = cursor;
      rows.push([value, ...(origin === NO_ORIGIN ? [] : [origin, id, trace])].join(' '));
    };
    this.run = new Run(given, {
      cursor,
      exits: [{ receive: out }],
      tables: operator => this.state.tables(operator),
      late: () => assert.fail('nothing is late'),
      poison: ({ cause }) => assert.fail(cause),
      drop: () => {},
      resident: () => {
        this.asked++;
        return this.state.resident;
      },
    });
  }

  feed(input: number, value: string): void {
    const cursor = this.#cursor;
    cursor.origin = ++this.#fed;
    cursor.id = `id-${this.#fed}`;
    cursor.trace = this.#fed % 2 === 0 ? null : `trace-${this.#fed}`;
    this.run.entries[input]!.receive('k', value, 0, INSERT);
    cursor.id = null;
    cursor.trace = null;
  }

  /** As a task does it. Returns the rows since the last batch. */
  async execute(watermarkMs = 0): Promise<string[]> {
    if (this.run.passes) {
      for (const step of this.run.steps) {
        step.pass();
        step.advance(watermarkMs);
      }
    } else {
      for (const step of this.run.steps) {
        step.want(this.state.wants());
        await this.state.prefetch(this.#store);
        step.pass();
        step.advance(watermarkMs);
      }
      this.state.endBatch();
    }
    this.run.endBatch(true);
    this.state.takeDelta();
    return this.rows.splice(0);
  }

  async evict(): Promise<void> {
    await this.#store.write([...this.state.checkpoint().writes()]);
    this.state.checkpointLanded();
    this.state.evict(0);
  }
}

test('records pass as they are fed while all state is in memory, each with its origin, id and trace', async () => {
  const rig = new Rig();
  rig.feed(0, 'a');
  assert.deepEqual(rig.rows, ['a/no row 1 id-1 trace-1']);
  rig.feed(1, 'row');
  rig.feed(0, 'a');
  rig.feed(0, 'b');
  assert.deepEqual(await rig.execute(), ['a/no row 1 id-1 trace-1', 'b/row 4 id-4 ']);
  assert.equal(rig.asked, 1);
});

test('records wait for their step while some state is on disk, and keep their origin, id and trace', async () => {
  const rig = new Rig();
  rig.feed(0, 'a');
  await rig.execute();
  await rig.evict();
  rig.feed(0, 'a');
  rig.feed(0, 'b');
  rig.feed(1, 'row');
  assert.deepEqual(rig.rows, []);
  assert.deepEqual(await rig.execute(), ['b/row 3 id-3 trace-3']);
});

test('a batch that began to wait waits to its end, though a prefetch has brought everything into memory', async () => {
  const rig = new Rig();
  rig.feed(0, 'a');
  await rig.execute();
  await rig.evict();
  assert.equal(rig.state.resident, false);
  // The table's row waits before its join. What the dedupe lets pass must queue up behind it.
  rig.feed(1, 'row');
  rig.feed(0, 'b');
  rig.feed(0, 'a');
  assert.deepEqual(await rig.execute(), ['b/row 3 id-3 trace-3']);
  assert.equal(rig.state.resident, true);
  assert.equal(rig.asked, 2);
  rig.feed(0, 'c');
  assert.deepEqual(rig.rows, ['c/row 5 id-5 trace-5']);
});

test('a batch without records is asked when it is executed, and so is the next one anew', async () => {
  const rig = new Rig();
  await rig.execute();
  rig.feed(0, 'a');
  await rig.execute();
  await rig.evict();
  await rig.execute();
  rig.feed(0, 'b');
  assert.deepEqual(rig.rows, []);
  assert.equal(rig.asked, 4);
  await rig.execute();
});

test('what is due when event time moves comes of no record, whichever was the last', async () => {
  const seconds: StatefulSpec = {
    kind: 'window',
    window: { kind: 'tumbling', sizeMs: 1_000, offsetMs: 0 },
    graceMs: 0,
    emit: 'final',
    results: ['n'],
    aggregates: [count() as AggregateSpec],
    shape: ({ results }) => results[0],
  };
  const nodes = [{ name: 'seconds', spec: seconds, targets: [{ exit: 0 }] }];
  const rig = new Rig({ entries: [[{ node: 0, port: 0 }]], nodes, exits: program.exits });
  rig.feed(0, 'a');
  rig.feed(0, 'b');
  assert.deepEqual(await rig.execute(1_000), ['2']);
});
