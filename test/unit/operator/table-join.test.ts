/** Stream-table joins. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KEY_GROUPS, keyGroupOf } from '../../../lib/base/hash.ts';
import { DELETE } from '../../../lib/change/change.ts';
import { type Census, partsOf } from '../../../lib/operator/census.ts';
import type { StatefulSpec } from '../../../lib/operator/spec.ts';
import { orderly, play, RUNS } from './histories.ts';
import { Rig } from './rig.ts';

const spec = (inner: boolean): StatefulSpec => ({
  kind: 'tableJoin',
  inner,
  combine(stream, row) {
    if (stream === 'bad') throw new Error('boom');
    return [stream, row];
  },
});

describe('stream and table', () => {
  test('only the stream triggers, and it meets the latest row of its key', () => {
    const rig = new Rig(spec(true));
    rig.receive('k', 'row1', 100, 1);
    rig.receive('k', 'x', 50);
    rig.receive('k', 'row2', 90, 1);
    rig.receive('j', 'other', 90, 1);
    rig.receive('k', 'y', 60);
    assert.deepEqual(rig.rows, [
      { key: 'k', value: ['x', 'row1'], timeMs: 50 },
      { key: 'k', value: ['y', 'row2'], timeMs: 60 },
    ]);
  });

  test('null in the table removes the row; what has no row is dropped by inner and passed by left', () => {
    for (const inner of [true, false]) {
      const rig = new Rig(spec(inner));
      rig.receive('k', 'x', 1);
      rig.receive('k', 'row', 2, 1);
      rig.receive('k', null, 3, 1);
      rig.receive('k', 'y', 4);
      rig.advance(10);
      assert.deepEqual(
        rig.values(),
        inner
          ? []
          : [
              ['x', null],
              ['y', null],
            ],
      );
      assert.deepEqual(rig.drops, inner ? ['filtered', 'filtered'] : []);
      assert.equal(rig.state.entries, 0);
    }
  });

  test('a row is there after a restart', () => {
    const rig = new Rig(spec(true));
    rig.receive('k', { city: 'Ulm' }, 1, 1);
    rig.advance(1);
    rig.restart();
    rig.receive('k', 'x', 2);
    assert.deepEqual(rig.values(), [['x', { city: 'Ulm' }]]);
  });

  test('a stream record without a key is dropped by inner and passed by left, a table record without one is no row', () => {
    for (const inner of [true, false]) {
      const rig = new Rig(spec(inner));
      rig.receive(null, 'x', 1);
      rig.receive(null, 'row', 1, 1);
      assert.deepEqual(rig.values(), inner ? [] : [['x', null]]);
      assert.deepEqual(rig.drops, inner ? ['null-key', 'null-key'] : ['null-key']);
    }
  });

  test('a null value in the stream is counted and otherwise nothing', () => {
    const rig = new Rig(spec(false));
    rig.receive('k', null, 1);
    assert.deepEqual(rig.drops, ['null-value']);
  });

  test('a combine function that throws makes the stream record poison', () => {
    const rig = new Rig(spec(false));
    rig.receive('k', 'bad', 1);
    assert.deepEqual(
      rig.poisons.map(poison => poison.value),
      ['bad'],
    );
    assert.deepEqual(rig.rows, []);
  });

  test('whatever the cuts and the restarts, rows are those of a walk through both in the order of arrival', () => {
    fc.assert(
      fc.property(orderly, fc.boolean(), (history, inner) => {
        const rig = new Rig(spec(inner), { strict: true });
        play(rig, history);
        const table: Record<string, number> = {};
        const expected: unknown[] = [];
        for (const { port, key, id } of history.arrivals) {
          if (port === 1) table[key] = id;
          else if (key in table || !inner) expected.push([id, table[key] ?? null]);
        }
        assert.deepEqual(rig.values(), expected);
      }),
      RUNS,
    );
  });

  describe('a census', () => {
    const byGroup = (keys: readonly string[]) => {
      const found = new Map<number, Set<string>>();
      for (const key of keys) found.set(keyGroupOf(key), (found.get(keyGroupOf(key)) ?? new Set()).add(key));
      return found;
    };
    const tell = (rig: Rig, census: Census) => rig.receive(null, census, 0, 1, DELETE);

    test('takes away the rows of its key groups that it does not have, and no others', () => {
      fc.assert(
        fc.property(
          fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 40 }),
          fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 40 }),
          fc.nat(KEY_GROUPS),
          fc.nat(KEY_GROUPS),
          fc.boolean(),
          (rows, keys, one, other, restarts) => {
            const of = { from: Math.min(one, other), to: Math.max(one, other) };
            const rig = new Rig(spec(true), { strict: true });
            for (const key of rows) rig.receive(key, `row of ${key}`, 1, 1);
            if (restarts) {
              rig.advance(1);
              rig.restart();
            }
            for (const part of partsOf(byGroup(keys), of)) tell(rig, part);
            rig.advance(2);
            for (const key of rows) rig.receive(key, 'x', 3);
            rig.advance(3);
            const stays = (key: string) => {
              const group = keyGroupOf(key);
              return group < of.from || group >= of.to || keys.includes(key);
            };
            assert.deepEqual(
              rig.rows.map(({ key }) => key),
              rows.filter(stays),
            );
          },
        ),
      );
    });

    test('does no harm when it comes again, and rows that come behind it stay', () => {
      const rig = new Rig(spec(true), { strict: true });
      const none = { from: 0, to: KEY_GROUPS, keys: [] };
      rig.receive('k', 'row', 1, 1);
      tell(rig, none);
      tell(rig, none);
      rig.receive('k', 'new', 1, 1);
      rig.advance(1);
      rig.receive('k', 'x', 2);
      rig.advance(2);
      assert.deepEqual(rig.values(), [['x', 'new']]);
    });

    test('comes in parts that say something of each key group once, and are no larger than a frame takes', () => {
      const keys = Array.from({ length: 40_000 }, (_, i) => `ключ некоторой длины, ${i}`);
      const of = { from: 5_000, to: 21_000 };
      const parts = [...partsOf(byGroup(keys), of, 10_000)];
      assert.ok(parts.length > 5);
      let from = of.from;
      for (const part of parts) {
        assert.equal(part.from, from);
        from = part.to;
        assert.ok(part.keys.every(key => keyGroupOf(key) >= part.from && keyGroupOf(key) < part.to));
        assert.ok(Buffer.byteLength(part.keys.join('')) < 10_000);
      }
      assert.equal(from, of.to);
      const told = parts.flatMap(part => part.keys).sort();
      const wanted = keys.filter(key => keyGroupOf(key) >= of.from && keyGroupOf(key) < of.to);
      assert.deepEqual(told, wanted.sort());
      assert.deepEqual([...partsOf(new Map(), of)], [{ ...of, keys: [] }]);
      assert.deepEqual([...partsOf(new Map(), { from: 7, to: 7 })], []);
    });

    test('says in several parts what the bucket has of a group whose keys no frame holds', () => {
      const all: string[] = [];
      for (let i = 0; all.length < 24; i++) if (keyGroupOf(`key ${i}`) === 7) all.push(`key ${i}`);
      const present = all.filter((_, i) => i % 3 > 0);
      const vast = all[1]! + 'x'.repeat(200);
      const of = { from: 5, to: keyGroupOf(vast) + 9 };
      const parts = [...partsOf(byGroup([...present, vast]), of, 60)];
      assert.ok(parts.filter(({ from }) => from === 7).length >= 4);
      assert.ok(parts.every(part => Buffer.byteLength(part.keys.join('')) < 60));
      const rig = new Rig(spec(true), { strict: true });
      // What is too large for a part is not spoken of, nor what shares its place.
      for (const key of [...all, vast]) rig.receive(key, 'row', 1, 1);
      for (const part of parts) tell(rig, part);
      for (const key of [...all, vast]) rig.receive(key, 'x', 2);
      rig.advance(2);
      assert.deepEqual(
        rig.rows.map(({ key }) => key),
        [...present, vast],
      );
    });
  });
});
