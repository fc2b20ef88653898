/** Deltas as the journal carries them. The bytes here are frozen: journals are read for ever. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { pack, unpack } from '../../../lib/record/rows.ts';
import { stateOf } from './declared.ts';

function held() {
  const state = stateOf({ 'op.v': 'values', 'op.l': 'lists' });
  const tables = state.tables('op');
  return { state, values: tables.values<unknown>('v'), lists: tables.lists<unknown>('l') };
}

/** One of each kind of change. */
function history(): Uint8Array[] {
  const { state, values, lists } = held();
  values.set(1, 'a', { n: 1 });
  values.set(1, 'b', { n: 2 });
  values.set(2, 'c', 'three');
  for (const item of ['x', 'y']) lists.append(-5, 'k', item);
  const first = state.takeDelta()!;
  values.delete(1, 'a');
  values.set(1, 'b', { n: 20 });
  values.drop(2);
  values.set(2, 'd', 4);
  lists.append(-5, 'k', 'z');
  lists.replace(-5, 'k', 0, 'X');
  lists.append(-5, 'new', 'w');
  return [first, state.takeDelta()!];
}

describe('deltas in the journal', () => {
  test('they lay changes out in columns', () => {
    assert.deepEqual(history().map(unpack), [
      [
        1,
        [
          ['op.v', [1, 0, 0, 2, 2, 0, 0, 1], ['a', 'b', 'c'], [{ n: 1 }, { n: 2 }, 'three']],
          ['op.l', [-5, 0, 0, 1], ['k'], ['x', 'y'], [0, 2, 0]],
        ],
      ],
      [
        1,
        [
          ['op.v', [1, 0, 1, 1, 2, 1, 0, 1], ['a', 'b', 'd'], [{ n: 20 }, 4]],
          ['op.l', [-5, 0, 0, 2], ['k', 'new'], ['z', 'X', 'w'], [2, 1, 1, 0, 0, 1, 0]],
        ],
      ],
    ]);
  });

  test('they have these bytes', () => {
    assert.deepEqual(
      history().map(delta => Buffer.from(delta).toString('hex')),
      GOLDEN,
    );
  });

  test('these bytes are read', () => {
    const { state, values, lists } = held();
    for (const golden of GOLDEN) state.applyDelta(Buffer.from(golden, 'hex'));
    assert.deepEqual([...values.entries(1)], [['b', { n: 20 }]]);
    assert.deepEqual([...values.entries(2)], [['d', 4]]);
    assert.deepEqual(
      new Map(lists.entries(-5)),
      new Map([
        ['k', ['X', 'y', 'z']],
        ['new', ['w']],
      ]),
    );
    assert.equal(state.takeDelta(), null, 'what was applied is not told again');
  });

  test('what is not a delta is refused', () => {
    const isCorrupt = (error: unknown) => isMillraceError(error, 'JOURNAL_CORRUPT');
    const wrong = [
      null,
      [2, []],
      [1, [['op.v', [1, 0, 0, 1], [], []]]],
      [1, [['op.v', [1, 0, 0], ['a'], [1]]]],
      [1, [['op.v', [1, 0, 0, 1], [5], [1]]]],
      [1, [['op.l', [1, 0, 0, 1], ['a'], [1]]]],
      [1, [['op.v', [1, 0, 0, 1], ['a'], [1], []]]],
      [1, [['op.l', [1, 0, 0, 1], ['a'], [1], [3, 1, 0]]]],
    ];
    for (const delta of wrong)
      assert.throws(() => held().state.applyDelta(pack(delta)), isCorrupt, JSON.stringify(delta));
  });

  test('any values come through whole', () => {
    const value = fc
      .anything({ withNullPrototype: false, withObjectString: false, maxDepth: 3 })
      .filter(one => one !== undefined);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary' }), value)), entries => {
        const [task, replica] = [held(), held()];
        for (const [key, content] of entries) {
          task.values.set(0, key, content);
          task.lists.append(1, key, content);
        }
        const delta = task.state.takeDelta();
        if (delta !== null) replica.state.applyDelta(delta);
        assert.deepEqual([...replica.values.entries(0)], [...task.values.entries(0)]);
        assert.deepEqual([...replica.lists.entries(1)], [...task.lists.entries(1)]);
      }),
    );
  });
});

const GOLDEN = [
  '0101350000008c02018c028c04898c0801000002020000018c038989898c03900101c002898c05898c0484fb0000018c01898c0289898c03000200' +
    '5b226f702e76222c2261222c2262222c2263222c226e222c227468726565222c226f702e6c222c226b222c2278222c2279225d',
  '0101390000008c02018c028c04898c0801000101020100018c038989898c02900114048c05898c0484fb0000028c0289898c038989898c07020101000001005b226f702e76222c2261222c2262222c2264222c226e222c226f702e6c222c226b222c226e6577222c227a222c2258222c2277225d',
];
