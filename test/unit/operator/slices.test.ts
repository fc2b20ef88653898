/** What is due may be very much. It fires some at a time, whatever becomes of it, and no more is wanted than fires next. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { count } from '../../../lib/operator/aggregates.ts';
import { DUE_MAX } from '../../../lib/operator/due.ts';
import type { StatefulSpec } from '../../../lib/operator/spec.ts';
import { Rig } from './rig.ts';

const FLOOD = DUE_MAX + 500;

const SPECS: Record<string, StatefulSpec> = {
  'timers of process': {
    kind: 'process',
    process: {
      onRecord: (_value, context, timeMs) => context.setTimer('t', timeMs + 10),
      onTimer: (_name, context) => context.emit(1),
    },
  },
  sessions: {
    kind: 'window',
    window: { kind: 'session', gapMs: 10 },
    graceMs: 0,
    emit: 'final',
    results: ['n'],
    aggregates: [count()],
    shape: ({ results }) => results[0],
  },
  'unmatched records of a join': {
    kind: 'join',
    join: 'left',
    beforeMs: 10,
    afterMs: 10,
    graceMs: 0,
    combine: (left, right) => [left, right],
  },
};

describe('a flood', () => {
  for (const [what, spec] of Object.entries(SPECS)) {
    test(`of ${what} takes one advance for each DUE_MAX of them`, () => {
      const rig = new Rig(spec);
      for (let i = 0; i < FLOOD; i++) rig.receive(`k${i}`, 1, i % 10);
      const fired: number[] = [];
      for (let done = false; !done; ) {
        const wanted = new Set<string>();
        const wants = { key: (_table: unknown, _bucket: number, key: string) => wanted.add(key), bucket: () => {} };
        rig.operator.wantAdvance(wants as never, 1_000);
        done = rig.operator.advance(1_000);
        if (!done) rig.operator.hold();
        const rows = rig.take();
        // What a bucket brings is wanted with the bucket.
        const isNamed = spec.kind !== 'join' || fired.length > 0;
        if (isNamed) for (const { key } of rows) assert.ok(wanted.has(key!), `${key} fired and was not wanted`);
        assert.ok(wanted.size <= DUE_MAX, `${wanted.size} are wanted`);
        fired.push(rows.length);
      }
      assert.deepEqual(fired, [DUE_MAX, 500]);
    });

    test(`of ${what} is whole though the task dies after each slice`, () => {
      const rig = new Rig(spec, { strict: true });
      for (let i = 0; i < FLOOD; i++) rig.receive(`k${i}`, 1, i % 10);
      rig.dies = () => true;
      assert.equal(new Set(rig.advance(1_000).map(({ key }) => key)).size, FLOOD);
      assert.equal(rig.rows.length, FLOOD);
      assert.equal(rig.state.entries, 0);
    });
  }

  test('of timers set out of order fires in the order of time, as many at a time', () => {
    const rig = new Rig(SPECS['timers of process']!);
    rig.advance(0);
    for (let i = 0; i < FLOOD; i++) rig.receive(`k${i}`, 1, (i * 7_919) % FLOOD);
    const times: number[] = [];
    while (!rig.operator.advance(1e9)) rig.operator.hold();
    for (const { timeMs } of rig.take()) times.push(timeMs);
    assert.equal(times.length, FLOOD);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });
});
