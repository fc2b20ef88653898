/** Which thread runs what: even, and as it was as far as that is even. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadsOf, spread } from '../../../lib/host/spread.ts';
import { type Part, partsOf } from '../../../lib/topology/parts.ts';

const NOWHERE: ReadonlyMap<Part, number> = new Map();

function planOf(partitions: readonly number[], readers: number): Part[] {
  const stages = partitions.map((count, i) => ({ name: `s${i}`, partitions: count }));
  return partsOf({ stages, readers: Array.from({ length: readers }, (_, i) => ({ name: `r${i}` })) });
}

const idle = (threads: number) => new Array<number>(threads).fill(0);

/** `r0 | s0 ×16`: what each thread has. */
function text(placed: ReadonlyMap<Part, number>, threads: number): string {
  const shares = Array.from({ length: threads }, () => new Map<string, number>());
  for (const [part, thread] of placed) {
    const name = part.split('/')[0]!;
    shares[thread]!.set(name, (shares[thread]!.get(name) ?? 0) + 1);
  }
  return shares.map(share => Array.from(share, ([name, count]) => `${name} ×${count}`).join(' ')).join(' | ');
}

test('a reader and the tasks that it feeds are apart where there are threads enough, and tasks of a stage are divided evenly', () => {
  const found = (partitions: readonly number[], readers: number, threads: number) => {
    const all = planOf(partitions, readers);
    return text(spread({ parts: all, all, loads: idle(threads), present: NOWHERE }), threads);
  };
  assert.equal(found([16], 1, 1), 'r0 ×1 s0 ×16');
  assert.equal(found([16], 1, 2), 'r0 ×1 | s0 ×16');
  assert.equal(found([16], 1, 3), 'r0 ×1 | s0 ×8 | s0 ×8');
  assert.equal(found([16], 2, 2), 'r0 ×1 s0 ×8 | r1 ×1 s0 ×8');
  assert.equal(found([1], 0, 4), 's0 ×1 |  |  | ');
});

test('where others have a thread already, it goes elsewhere', () => {
  const all = planOf([4], 0);
  assert.equal(text(spread({ parts: all, all, loads: [1, 0], present: NOWHERE }), 2), ' | s0 ×4');
});

const planArb = fc.record({
  all: fc
    .tuple(fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 3 }), fc.nat(3))
    .map(([partitions, readers]) => planOf(partitions, readers)),
  loads: fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
  picks: fc.infiniteStream(fc.boolean()),
});

test('each part has one thread, and no thread has more than its share and one part, unless others gave it that', () => {
  fc.assert(
    fc.property(planArb, ({ all, loads, picks }) => {
      let present = NOWHERE;
      for (let round = 0; round < 4; round++) {
        const parts = all.filter(() => picks.next().value as boolean);
        const placed = spread({ parts, all, loads, present });
        assert.deepEqual([...placed.keys()].sort(), [...parts].sort());
        const own = loadsOf(placed, { all, threads: loads.length });
        const even = [...own, ...loads].reduce((sum, load) => sum + load, 0) / loads.length;
        for (const [thread, load] of own.entries()) {
          assert.ok(load === 0 || load + loads[thread]! <= even + 1 + 1e-6, `${load} of ${even} in ${thread}`);
        }
        present = placed;
      }
    }),
  );
});

test('what runs stays where it is when nothing goes: asked again, or asked for more', () => {
  fc.assert(
    fc.property(planArb, ({ all, loads, picks }) => {
      const some = all.filter(() => picks.next().value as boolean);
      const present = spread({ parts: some, all, loads, present: NOWHERE });
      assert.deepEqual(spread({ parts: some, all, loads, present }), present);
      const more = spread({ parts: all, all, loads, present });
      for (const [part, thread] of present) assert.equal(more.get(part), thread, part);
    }),
  );
});

test('when some go, as many move as make it even again, and no more', () => {
  const all = planOf([8], 0);
  const present = spread({ parts: all, all, loads: idle(2), present: NOWHERE });
  const left = all.filter(part => present.get(part) === 1 || part === 's0/0' || part === 's0/2');
  const placed = spread({ parts: left, all, loads: idle(2), present });
  assert.equal(text(placed, 2), 's0 ×3 | s0 ×3');
  assert.equal([...placed].filter(([part, thread]) => present.get(part) !== thread).length, 1);
});
