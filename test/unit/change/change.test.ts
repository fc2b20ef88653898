/** The algebra of changes, against a table that is written and read like any other. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  AFTER,
  adds,
  BEFORE,
  CHANGE_WORDS,
  type Change,
  type Changed,
  changeOf,
  DELETE,
  fold,
  INSERT,
  isChange,
  oppositeOf,
  settled,
  signOf,
  wordOf,
} from '../../../lib/change/change.ts';

type Key = 'a' | 'b' | 'c';
interface Entry extends Changed<number> {
  readonly key: Key;
}
/** What is done to a table: a row is put, or removed. */
type Deed = { readonly key: Key; readonly put: number | null };

const KEYS: readonly Key[] = ['a', 'b', 'c'];
const keys = fc.constantFrom(...KEYS);
const deeds = fc.array(fc.record({ key: keys, put: fc.option(fc.nat(9)) }), { maxLength: 30 });
const tables = fc.dictionary(keys, fc.nat(9)).map(rows => new Map(Object.entries(rows) as [Key, number][]));

/** The table after the deeds, and the changelog of what they did to it. */
function replayed(start: ReadonlyMap<Key, number>, done: readonly Deed[]) {
  const table = new Map(start);
  const log: Entry[] = [];
  for (const { key, put } of done) {
    const was = table.get(key);
    if (put === null) {
      if (was !== undefined) log.push({ key, change: DELETE, value: was });
      table.delete(key);
      continue;
    }
    if (was === undefined) log.push({ key, change: INSERT, value: put });
    else log.push({ key, change: BEFORE, value: was }, { key, change: AFTER, value: put });
    table.set(key, put);
  }
  return { table, log };
}

function folded(start: ReadonlyMap<Key, number>, log: readonly Entry[]): Map<Key, number> {
  const table = new Map(start);
  for (const entry of log) fold(table, entry.key, entry);
  return table;
}

function settledByKey(log: readonly Entry[]): Entry[] {
  return KEYS.flatMap(key => settled(log.filter(entry => entry.key === key)).map(row => ({ key, ...row })));
}

describe('a changelog', () => {
  test('folds into the table that it tells of', () => {
    fc.assert(
      fc.property(tables, deeds, (start, done) => {
        const { table, log } = replayed(start, done);
        assert.deepEqual(folded(start, log), table);
      }),
    );
  });

  test('of which a filter lets halves pass folds into the table of the rows that pass', () => {
    const passes = ({ value }: { value: number }) => value % 2 === 0;
    fc.assert(
      fc.property(tables, deeds, (start, done) => {
        const { table, log } = replayed(start, done);
        const even = (rows: ReadonlyMap<Key, number>) => new Map([...rows].filter(([, value]) => passes({ value })));
        assert.deepEqual(folded(even(start), log.filter(passes)), even(table));
      }),
    );
  });

  test('adds up to what there is more than before', () => {
    fc.assert(
      fc.property(tables, deeds, (start, done) => {
        const { table, log } = replayed(start, done);
        const sum = (rows: ReadonlyMap<Key, number>) => [...rows.values()].reduce((total, value) => total + value, 0);
        const change = log.reduce((total, entry) => total + signOf(entry.change) * entry.value, 0);
        assert.equal(sum(start) + change, sum(table));
      }),
    );
  });

  test('that is undone, last record first, leaves the table as it was', () => {
    fc.assert(
      fc.property(tables, deeds, (start, done) => {
        const { table, log } = replayed(start, done);
        const undone = log.toReversed().map(entry => ({ ...entry, change: oppositeOf(entry.change) }));
        assert.deepEqual(folded(table, undone), new Map(start));
      }),
    );
  });

  test('is an upsert where nothing is taken back before it is replaced', () => {
    const table = new Map([['a', 1]]);
    fold(table, 'a', { change: AFTER, value: 2 });
    fold(table, 'b', { change: INSERT, value: 3 });
    fold(table, 'b', { change: INSERT, value: 4 });
    fold(table, 'c', { change: DELETE, value: 5 });
    assert.deepEqual(
      [...table],
      [
        ['a', 2],
        ['b', 4],
      ],
    );
  });
});

describe('successive changes of one key', () => {
  const row = (change: Change, value: number) => ({ change, value });
  const cases: readonly (readonly [string, Changed<number>[], Changed<number>[]])[] = [
    ['nothing', [row(INSERT, 1), row(DELETE, 1)], []],
    ['nothing yet: the other half is to come', [row(INSERT, 1), row(BEFORE, 1)], []],
    ['an insert of what it is now', [row(INSERT, 1), row(BEFORE, 1), row(AFTER, 2)], [row(INSERT, 2)]],
    ['an update', [row(BEFORE, 1), row(AFTER, 2)], [row(BEFORE, 1), row(AFTER, 2)]],
    ['an update, too', [row(DELETE, 1), row(INSERT, 2)], [row(BEFORE, 1), row(AFTER, 2)]],
    ['one update', [row(BEFORE, 1), row(AFTER, 2), row(BEFORE, 2), row(AFTER, 3)], [row(BEFORE, 1), row(AFTER, 3)]],
    ['a delete of what it was', [row(BEFORE, 1), row(AFTER, 2), row(DELETE, 2)], [row(DELETE, 1)]],
    ['a delete, where the other half never came', [row(BEFORE, 1)], [row(DELETE, 1)]],
    ['the later of two rows', [row(AFTER, 1), row(AFTER, 2)], [row(INSERT, 2)]],
    ['nothing at all', [], []],
  ];
  for (const [what, changes, come] of cases) {
    test(`come to ${what}: ${changes.map(({ change, value }) => `${wordOf(change)} ${value}`).join(', ')}`, () => {
      assert.deepEqual(settled(changes), come);
    });
  }

  test('do to a table what all of them do, and may be settled in any slices', () => {
    fc.assert(
      fc.property(tables, deeds, fc.nat(40), (start, done, at) => {
        const { table, log } = replayed(start, done);
        const whole = settledByKey(log);
        assert.deepEqual(folded(start, whole), table);
        assert.ok(KEYS.every(key => whole.filter(entry => entry.key === key).length <= 2));
        assert.deepEqual(settledByKey([...settledByKey(log.slice(0, at)), ...log.slice(at)]), whole);
      }),
    );
  });
});

test('each change has a word, a sign and an opposite', () => {
  const all = CHANGE_WORDS.map(word => changeOf(word)!);
  assert.deepEqual(all, [INSERT, BEFORE, AFTER, DELETE]);
  assert.deepEqual(all.map(wordOf), CHANGE_WORDS);
  assert.deepEqual(all.map(signOf), [1, -1, 1, -1]);
  assert.deepEqual(all.map(oppositeOf), [DELETE, AFTER, BEFORE, INSERT]);
  for (const change of all) {
    assert.ok(isChange(change));
    assert.equal(adds(oppositeOf(change)), !adds(change));
  }
  assert.deepEqual(['Insert', 'update', '', 0, null, undefined].map(changeOf), new Array(6).fill(null));
  assert.deepEqual([4, 255].map(isChange), [false, false]);
});
