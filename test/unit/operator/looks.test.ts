/** What an operator holds and waits for, as people are told who ask why nothing comes out. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { count } from '../../../lib/operator/aggregates.ts';
import { LOOK_ENTRIES_MAX } from '../../../lib/operator/operator.ts';
import type { JoinKind, ProcessContext, StatefulSpec, WindowSpec } from '../../../lib/operator/spec.ts';
import { Rig } from './rig.ts';

const windowed = (window: WindowSpec, graceMs = 0): StatefulSpec => ({
  ...{ kind: 'window', window, graceMs, emit: 'final', results: ['n'], aggregates: [count()] },
  shape: ({ startMs, results }) => ({ startMs, results }),
});
const joined = (join: JoinKind): StatefulSpec => ({
  ...{ kind: 'join', join, beforeMs: 5, afterMs: 20, graceMs: 2 },
  combine: (left, right) => [left, right],
});
const tumbling: WindowSpec = { kind: 'tumbling', sizeMs: 100, offsetMs: 0 };
const hopping: WindowSpec = { kind: 'hopping', sizeMs: 100, advanceMs: 10, offsetMs: 0 };
const sessions: WindowSpec = { kind: 'session', gapMs: 10 };

/**
 * What it says, and, since nothing else tells whether that is true, what it then does: nothing before the moment that it names,
 * which is a window's end, and the last of what waits.
 */
function foretold(rig: Rig): string {
  const look = rig.operator.look();
  const { held, unit, nextMs } = look;
  if (nextMs === null) return `${held} ${unit}`;
  const doneMs = unit === 'windows' || unit === 'panes' ? nextMs : nextMs + 1;
  assert.equal(rig.advance(doneMs - 1).length, 0, `nothing is done before ${doneMs}`);
  rig.restart();
  assert.deepEqual(rig.operator.look(), look, 'a restart changes nothing of it');
  return `${held} ${unit} at ${nextMs}: ${rig.advance(doneMs).length}`;
}

describe('a look', () => {
  test('at windows: when the first closes, with grace', () => {
    const rig = new Rig(windowed(tumbling, 5));
    assert.deepEqual(rig.operator.look(), { unit: 'windows', held: 0, nextMs: null });
    for (const [key, timeMs] of [
      ['a', 10],
      ['b', 20],
      ['a', 130],
    ] as const)
      rig.receive(key, 1, timeMs);
    rig.advance(30);
    assert.equal(foretold(rig), '3 windows at 105: 2');
    assert.equal(foretold(rig), '1 windows at 205: 1');
    assert.equal(foretold(rig), '0 windows');
  });

  test('at windows that overlap: when the next closes that anything is in', () => {
    const rig = new Rig(windowed(hopping));
    rig.receive('a', 1, 1_005);
    rig.advance(1_005);
    assert.equal(foretold(rig), '1 panes at 1010: 1');
    assert.equal(foretold(rig), '1 panes at 1020: 1');
    rig.advance(1_100);
    assert.equal(foretold(rig), '0 panes');
  });

  test('at sessions: those that have closed are not counted', () => {
    const rig = new Rig(windowed(sessions, 3));
    for (const [key, timeMs] of [
      ['a', 0],
      ['b', 4],
      ['a', 8],
    ] as const)
      rig.receive(key, 1, timeMs);
    rig.advance(8);
    assert.equal(foretold(rig), '2 sessions at 17: 1');
    assert.equal(foretold(rig), '1 sessions at 21: 1');
    assert.equal(foretold(rig), '0 sessions');
  });

  for (const [join, expected] of [
    ['left', '1 unmatched at 32: 1'],
    ['outer', '2 unmatched at 26: 1'],
    ['anti', '1 unmatched at 32: 1'],
  ] as const) {
    test(`at a join (${join}): what waits for a partner, and until when`, () => {
      const rig = new Rig(joined(join));
      rig.receive('a', 'A', 10, 0);
      rig.receive('a', 'a', 12, 1);
      rig.receive('b', 'B', 10, 0);
      rig.receive('c', 'c', 19, 1);
      rig.advance(10);
      assert.equal(foretold(rig), expected);
    });
  }

  test('at an inner join: what is kept for partners', () => {
    const rig = new Rig(joined('inner'));
    for (const port of [0, 1]) rig.receive('a', port, 10, port);
    assert.deepEqual(rig.operator.look(), { unit: 'records', held: 2, nextMs: 17 });
  });

  test('at a join with very much in it looks at some, and says that there is more', () => {
    const rig = new Rig(joined('left'));
    for (let i = 0; i < 1_000; i++) rig.receive(`k${i}`, i, 100 + i, 0);
    rig.advance(100);
    const { held, more, nextMs } = rig.operator.look();
    assert.equal(more, true);
    assert.ok(held <= LOOK_ENTRIES_MAX + 1, `${held}`);
    assert.ok(nextMs! <= 122, 'no later than the first');
  });

  test('at timers, ids and rows', () => {
    const process = new Rig({
      kind: 'process',
      process: {
        onRecord: (value, context: ProcessContext<unknown, unknown>) => context.setTimer('t', value as number),
      },
    });
    process.receive('a', 500, 1);
    process.receive('b', 400, 1);
    assert.deepEqual(process.operator.look(), { unit: 'timers', held: 2, nextMs: 400 });
    const dedupe = new Rig({ kind: 'dedupe', id: value => String(value), withinMs: 100, graceMs: 0, keep: 'first' });
    dedupe.receive('a', 1, 1);
    assert.deepEqual(dedupe.operator.look(), { unit: 'ids', held: 1, nextMs: null });
    const table = new Rig({ kind: 'tableJoin', inner: true, combine: left => left });
    table.receive('a', 1, 1, 1);
    assert.deepEqual(table.operator.look(), { unit: 'rows', held: 1, nextMs: null });
  });
});
