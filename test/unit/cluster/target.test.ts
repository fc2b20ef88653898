import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hasState, type Placement, partKey } from '../../../lib/cluster/placement.ts';
import { previousOf, target } from '../../../lib/cluster/target.ts';
import {
  isSame,
  loadOf,
  loadsOf,
  member,
  members,
  movedBetween,
  ownersOf,
  reader,
  settled,
  sharesOf,
  tasks,
  type World,
  withDisks,
  worlds,
} from './placements.ts';

const RUNS = { numRuns: 300 };
const NOTHING: Placement = new Map();
const tremors = fc.array(fc.double({ min: -0.06, max: 0.06, noNaN: true }), { minLength: 70, maxLength: 70 });

/** No part is so large that the bound does not hold. */
function isDivisible(world: World): boolean {
  const largest = Math.max(...world.parts.map(loadOf));
  return largest <= 1.5 * Math.min(...sharesOf(world).values());
}

function without({ members, ...world }: World, name: string): World {
  return { ...world, members: members.filter(one => one.name !== name) };
}

/** How many parts of a stage each member has. */
function countsOf(placement: Placement, stage: string): number[] {
  const counts = new Map<string, number>();
  for (const [key, { owner }] of placement) {
    if (key.startsWith(`${stage}/`)) counts.set(owner!, (counts.get(owner!) ?? 0) + 1);
  }
  return [...counts.values()].sort();
}

describe('a target', () => {
  test('gives every part an owner that is there, as long as there is anybody', () => {
    fc.assert(
      fc.property(worlds(), world => {
        const names = new Set(world.members.map(({ name }) => name));
        const placement = target({ ...world, previous: NOTHING });
        assert.deepEqual([...placement.keys()], world.parts.map(partKey).sort());
        for (const { owner } of placement.values()) assert.ok(owner !== null && names.has(owner));
      }),
      RUNS,
    );
  });

  test('is within the bound once it has settled: 0.9 and 1.1 of each share, give or take the largest part', () => {
    fc.assert(
      fc.property(worlds().filter(isDivisible), world => {
        const loads = loadsOf(world, settled(world));
        const largest = Math.max(...world.parts.map(loadOf));
        for (const [name, share] of sharesOf(world)) {
          const load = loads.get(name)!;
          assert.ok(load <= 1.1 * share + largest + 1e-6, `${name} has ${load} of ${share}`);
          assert.ok(load >= 0.9 * share - largest - 1e-6, `${name} has ${load} of ${share}`);
        }
      }),
      RUNS,
    );
  });

  test('has the same outcome in whatever order members, parts and disks are named', () => {
    fc.assert(
      fc.property(worlds({ membersMin: 3 }), fc.integer(), fc.boolean(), (all, seed, hasLeft) => {
        const previous = settled(without(all, 'w0'));
        const parts = withDisks(all.parts, previous, settled(without(all, 'w2')));
        const world = hasLeft ? without(all, 'w1') : all;
        const shuffled = <T>(list: readonly T[]): T[] =>
          list
            .map((item, i) => ({ item, at: Math.imul(seed + i * 7919, 2654435761) >>> 0 }))
            .sort((left, right) => left.at - right.at)
            .map(({ item }) => item);
        const one = target({ ...world, parts, previous });
        const other = target({
          members: shuffled(world.members),
          parts: shuffled(parts.map(part => ({ ...part, disks: shuffled(part.disks) }))),
          previous: new Map(
            shuffled([...previous].map(([key, place]) => [key, { ...place, followers: shuffled(place.followers) }])),
          ),
          standbys: world.standbys,
        });
        assert.ok(isSame(one, other));
      }),
      RUNS,
    );
  });

  test('moves only the parts of a member that leaves, and those of one that drains', () => {
    fc.assert(
      fc.property(worlds({ membersMin: 2 }), fc.boolean(), (world, drains) => {
        const before = settled(world);
        if (![...before.values()].some(({ owner }) => owner === 'w0')) return;
        const after = drains
          ? target({ ...draining(world, 'w0'), previous: before })
          : target({ ...without(world, 'w0'), previous: before });
        const were = [...before].filter(([, { owner }]) => owner === 'w0').map(([key]) => key);
        assert.deepEqual(movedBetween(before, after), were);
        for (const { owner, followers } of after.values()) assert.ok(owner !== 'w0' && !followers.includes('w0'));
      }),
      RUNS,
    );
  });

  test('gives a member that joins about its share, and moves nothing between others', () => {
    fc.assert(
      fc.property(worlds({ membersMin: 2 }).filter(isDivisible), world => {
        const before = settled(without(world, 'w0'));
        const after = target({ ...world, previous: before });
        for (const key of movedBetween(before, after)) assert.equal(after.get(key)!.owner, 'w0');
        const [share, largest] = [sharesOf(world).get('w0')!, Math.max(...world.parts.map(loadOf))];
        const load = loadsOf(world, after).get('w0')!;
        assert.ok(load >= 0.9 * share - largest - 1e-6 && load <= 1.1 * share + largest + 1e-6, `${load} of ${share}`);
      }),
      RUNS,
    );
  });

  test('goes where state is warm when its owner has left', () => {
    fc.assert(
      fc.property(worlds({ membersMin: 3, loads: fc.constant(1) }), world => {
        const before = settled({ ...world, standbys: 1 });
        const after = target({ ...without(world, 'w0'), standbys: 1, previous: before });
        const shares = sharesOf(without(world, 'w0'));
        for (const [key, { owner, followers }] of before) {
          const [follower] = followers;
          if (owner !== 'w0' || follower === undefined || after.get(key)!.owner === follower) continue;
          // Elsewhere only because that one would have had more than its share by all that it follows of it.
          const parts = [...before.values()].filter(
            place => place.owner === follower || (place.owner === 'w0' && place.followers[0] === follower),
          );
          assert.ok(8 * parts.length > 0.9 * shares.get(follower)!, `${key} is at ${after.get(key)!.owner}`);
        }
      }),
      RUNS,
    );
  });

  test('never has a standby in its owner’s zone if there is another, and has as many as asked for', () => {
    fc.assert(
      fc.property(worlds(), world => {
        const zones = new Map(world.members.map(({ name, zone }) => [name, zone]));
        const hasOthers = new Set(zones.values()).size > 1;
        for (const [key, { owner, followers }] of settled(world)) {
          const wanted = hasState(key) ? Math.min(world.standbys, world.members.length - 1) : 0;
          assert.equal(new Set(followers).size, wanted, key);
          assert.ok(!followers.includes(owner!));
          if (wanted === 0) continue;
          const elsewhere = followers.filter(name => zones.get(name) !== zones.get(owner!));
          const possible = world.members.filter(({ zone }) => zone !== zones.get(owner!)).length;
          assert.equal(elsewhere.length, hasOthers ? Math.min(wanted, possible) : 0, key);
        }
      }),
      RUNS,
    );
  });

  test('ends where it began when a member leaves and comes back with its disk', () => {
    fc.assert(
      fc.property(worlds({ membersMin: 2 }).filter(isDivisible), world => {
        const calm = { ...world, standbys: 0 };
        const before = settled(calm);
        // Where some have nothing, one of these takes what it leaves, and nothing is gained by taking it back.
        if ([...loadsOf(calm, before).values()].includes(0)) return;
        const meanwhile = target({ ...without(calm, 'w0'), previous: before });
        const after = target({ ...calm, parts: withDisks(calm.parts, before, meanwhile), previous: meanwhile });
        assert.deepEqual(ownersOf(after), ownersOf(before));
      }),
      RUNS,
    );
  });

  test('gives one that comes back with a disk of many standbys nothing that is not on its disk, if its share is there', () => {
    const world = { members: members(4), parts: [...tasks('p', 'a', 16), ...tasks('p', 'b', 16)], standbys: 1 };
    const before = settled(world);
    const meanwhile = target({ ...without(world, 'w0'), previous: before });
    const parts = withDisks(world.parts, before, meanwhile);
    const after = target({ ...world, parts, previous: meanwhile });
    const given = movedBetween(meanwhile, after);
    assert.ok(given.length >= 7 && given.length <= 9, `${given.length}`);
    for (const key of given) {
      assert.equal(after.get(key)!.owner, 'w0');
      const was = before.get(key)!;
      assert.ok(was.owner === 'w0' || was.followers.includes('w0'), key);
    }
  });

  test('does not follow loads that tremble', () => {
    fc.assert(
      fc.property(worlds({ loads: fc.constantFrom(0.25, 1, 2.5) }), tremors, (world, by) => {
        const before = settled(world);
        const parts = world.parts.map((part, i) => ({ ...part, load: part.load + by[i]! }));
        assert.deepEqual(ownersOf(target({ ...world, parts, previous: before })), ownersOf(before));
      }),
      RUNS,
    );
  });
});

function draining({ members, ...world }: World, name: string): World {
  return { ...world, members: members.map(one => (one.name === name ? { ...one, isDraining: true } : one)) };
}

describe('a target, by example', () => {
  test('spreads each stage, and the readers', () => {
    const parts = [
      ...tasks('p', 'a', 16),
      ...tasks('p', 'b', 16),
      ...tasks('q', 'a', 8),
      ...['r0', 'r1', 'r2', 'r3'].map(name => reader('p', name)),
    ];
    const placement = settled({ members: members(4), parts, standbys: 0 });
    assert.deepEqual(countsOf(placement, 'p/a'), [4, 4, 4, 4]);
    assert.deepEqual(countsOf(placement, 'p/b'), [4, 4, 4, 4]);
    assert.deepEqual(countsOf(placement, 'q/a'), [2, 2, 2, 2]);
    const readers = ['p/r0', 'p/r1', 'p/r2', 'p/r3'].map(key => placement.get(key)!.owner);
    assert.equal(new Set(readers).size, 4);
  });

  test('gives five members three or four of sixteen tasks, and none of them is moved for the sake of evenness', () => {
    const world = { members: members(5), parts: tasks('p', 'a', 16), standbys: 0 };
    const placement = settled(world);
    assert.deepEqual(countsOf(placement, 'p/a'), [3, 3, 3, 3, 4]);
  });

  test('gives by capacity, and nothing where there is none', () => {
    const all = [member('a'), member('b', { capacity: 3 }), member('c', { capacity: 0 })];
    const placement = settled({ members: all, parts: tasks('p', 's', 16), standbys: 1 });
    assert.deepEqual(countsOf(placement, 'p/s'), [12, 4]);
    for (const { followers } of placement.values()) assert.ok(!followers.includes('c'));
  });

  test('leaves with whoever took it over what was to be of somebody who is counted no more', () => {
    const at = (owner: string | null) => ({ owner, followers: [] });
    const aimed: Placement = new Map([
      ['p/r', at('gone')],
      ['p/s/0', at('w0')],
      ['p/s/1', at('gone')],
    ]);
    const current: Placement = new Map([
      ['p/r', at('w1')],
      ['p/s/0', at('w1')],
    ]);
    const previous = previousOf({ aimed, current, members: members(2) });
    assert.deepEqual(ownersOf(previous), { 'p/r': 'w1', 'p/s/0': 'w0', 'p/s/1': null });
    assert.equal(previousOf({ aimed: null, current, members: members(2) }), current);
  });

  test('relieves one that has far too much, though nobody has too little', () => {
    const world = { members: members(10), parts: tasks('p', 's', 110), standbys: 0 };
    const previous: Placement = new Map(
      world.parts.map((part, i) => [partKey(part), { owner: `w${i < 20 ? 0 : 1 + (i % 9)}`, followers: [] }]),
    );
    const after = settled(world, previous);
    const moved = movedBetween(previous, after);
    assert.ok(moved.length >= 7 && moved.length <= 9, `${moved.length}`);
    for (const key of moved) assert.equal(previous.get(key)!.owner, 'w0');
  });

  test('moves a part that has become heavy away from its neighbours, not the whole cluster', () => {
    const world = { members: members(4), parts: tasks('p', 's', 16), standbys: 0 };
    const before = settled(world);
    const parts = world.parts.map((part, i) => (i === 0 ? { ...part, load: 5 } : part));
    const after = settled({ ...world, parts }, before);
    const moved = movedBetween(before, after);
    assert.ok(moved.length > 0 && moved.length <= 4, moved.join());
    for (const key of moved) assert.equal(before.get(key)!.owner, before.get('p/s/0')!.owner);
  });

  test('leaves everything where it is when all drain, and names nobody who is not there', () => {
    const world = { members: members(2), parts: tasks('p', 's', 4), standbys: 1 };
    const before = settled(world);
    const all = world.members.map(one => ({ ...one, isDraining: true }));
    assert.deepEqual(target({ ...world, members: all, previous: before }), before);
    const none = target({ ...world, members: [], previous: before });
    for (const place of none.values()) assert.deepEqual(place, { owner: null, followers: [] });
  });

  test('a part says how many follow it', () => {
    const parts = tasks('p', 's', 3).map((part, i) => ({ ...part, standbys: i }));
    const placement = settled({ members: members(3), parts, standbys: 1 });
    assert.deepEqual(
      [...placement.values()].map(({ followers }) => followers.length),
      [0, 1, 2],
    );
  });

  test('a thousand parts on twenty members are spread, and stay when nothing has changed', () => {
    const parts = Array.from({ length: 10 }, (_, i) => tasks(`p${i}`, 's', 100)).flat();
    const world = { members: members(20, 3), parts, standbys: 1 };
    const placement = target({ ...world, previous: NOTHING });
    for (const load of loadsOf(world, placement).values()) assert.ok(load >= 44 * 8 && load <= 56 * 8, `${load}`);
    assert.ok(isSame(target({ ...world, previous: placement }), placement));
  });
});
