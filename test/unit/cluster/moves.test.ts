import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { applied, type MovesInput, nextSteps, type Progress, type Step } from '../../../lib/cluster/moves.ts';
import { hasState, type PartKey, type Place, type Placement } from '../../../lib/cluster/placement.ts';

const RUNS = { numRuns: 300 };
const BUDGET = { perMember: 2 };
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const KEYS = [...Array.from({ length: 12 }, (_, i) => `p/s/${i}`), 'p/r0', 'p/r1', 'q/s/0', 'q/r'];
const ALL = new Set(NAMES);

const owner = fc.option(fc.constantFrom(...NAMES), { freq: 8 });

/** Any placement, sensible or not, in which a part has an owner and followers that differ. */
function placements(owners: fc.Arbitrary<string | null>): fc.Arbitrary<Placement> {
  const place = fc.record({ owner: owners, followers: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 }) });
  return fc.array(place, { minLength: KEYS.length, maxLength: KEYS.length }).map(all => {
    const places = KEYS.map((key, i): [PartKey, Place] => {
      const { owner, followers } = all[i]!;
      return [key, { owner, followers: hasState(key) ? followers.filter(name => name !== owner).sort() : [] }];
    });
    return new Map(places.sort(([left], [right]) => (left < right ? -1 : 1)));
  });
}

const targets = placements(fc.constantFrom(...NAMES));
const currents = placements(owner);

type Told = (part: PartKey, member: string) => Progress;

function progressOf(current: Placement, told: Told): MovesInput['progress'] {
  return new Map(
    [...current].map(([key, { followers }]) => [key, new Map(followers.map(name => [name, told(key, name)]))]),
  );
}

/** Whoever follows has said what is told of it by the next call; until there is nothing to do. */
function play(
  input: Pick<MovesInput, 'target' | 'current'> & Partial<MovesInput>,
  told: Told,
  look?: (steps: readonly Step[], current: Placement) => void,
): Placement {
  let { current } = input;
  for (let rounds = 0; rounds < 200; rounds++) {
    const progress = progressOf(current, told);
    const steps = nextSteps({ alive: ALL, budget: BUDGET, ...input, current, progress });
    if (steps.length === 0) return current;
    look?.(steps, current);
    current = applied(current, steps);
  }
  assert.fail('it never ends');
}

const warm: Told = () => ({ warm: true });

function plain(placement: Placement): Record<string, string> {
  return Object.fromEntries([...placement].map(([key, place]) => [key, [place.owner, ...place.followers].join()]));
}

describe('steps', () => {
  test('come to the target from anywhere, and then there are none', () => {
    fc.assert(
      fc.property(targets, currents, (target, current) => {
        assert.deepEqual(plain(play({ target, current }, warm)), plain(target));
      }),
      RUNS,
    );
  });

  test('leave at most one owner in every document, who does not follow itself, and nobody twice', () => {
    fc.assert(
      fc.property(targets, currents, (target, before) => {
        play({ target, current: before }, warm, (steps, current) => {
          for (const step of steps) {
            if (step.do === 'hand') assert.equal(current.get(step.part)!.owner, step.from);
            current = applied(current, [step]);
            const { owner, followers } = current.get(step.part)!;
            assert.equal(new Set([owner, ...followers]).size, followers.length + 1);
          }
        });
      }),
      RUNS,
    );
  });

  test('hand a task only to a follower that is warm', () => {
    fc.assert(
      fc.property(targets, currents, fc.infiniteStream(fc.boolean()), (target, before, chance) => {
        let current = before;
        for (let round = 0; round < 10; round++) {
          const progress = progressOf(current, () => ({ warm: chance.next().value }));
          const steps = nextSteps({ target, current, progress, alive: ALL, budget: BUDGET });
          for (const step of steps) {
            if (step.do !== 'hand' || !hasState(step.part)) continue;
            assert.ok(current.get(step.part)!.followers.includes(step.to), step.part);
            assert.equal(progress.get(step.part)!.get(step.to)!.warm, true);
          }
          current = applied(current, steps);
        }
      }),
      RUNS,
    );
  });

  test('have no more under way at any member than its budget, but for what has lost its owner', () => {
    fc.assert(
      fc.property(targets, placements(fc.constantFrom(...NAMES)), (target, before) => {
        // Nothing follows yet, so all that is under way was begun here.
        const current: Placement = new Map([...before].map(([key, { owner }]) => [key, { owner, followers: [] }]));
        for (const isWarm of [false, true]) {
          play(
            { target, current },
            () => ({ warm: isWarm }),
            (steps, at) => {
              const under = new Map(NAMES.map(name => [name, 0]));
              const spend = (name: string) => under.set(name, under.get(name)! + 1);
              const after = applied(at, steps);
              for (const step of steps) {
                if (step.do !== 'hand') continue;
                spend(step.from);
                spend(step.to);
              }
              for (const [key, { owner, followers }] of after) {
                for (const name of followers) {
                  if (isWarm && at.get(key)!.followers.includes(name)) continue;
                  // Whoever has just handed it over is up to date.
                  if (at.get(key)!.owner === name) continue;
                  spend(name);
                  if (target.get(key)!.owner === name && owner !== name) spend(owner!);
                }
              }
              for (const [name, count] of under) assert.ok(count <= BUDGET.perMember, `${name}: ${count}`);
            },
          );
        }
      }),
      RUNS,
    );
  });

  test('give what has lost its owner to an heir at once, all of it, and to a follower that is warm if there is one', () => {
    fc.assert(
      fc.property(targets, currents, fc.infiniteStream(fc.boolean()), (target, current, chance) => {
        const alive = new Set(['b', 'c', 'e']);
        const progress = progressOf(current, () => ({ warm: chance.next().value }));
        const after = applied(current, nextSteps({ target, current, progress, alive, budget: { perMember: 0 } }));
        for (const [key, { owner, followers }] of current) {
          const heir = after.get(key)!.owner!;
          if (owner !== null && alive.has(owner)) assert.equal(heir, owner);
          const followed = followers.filter(name => alive.has(name));
          const isWarm = (name: string) => progress.get(key)!.get(name)!.warm;
          assert.ok(alive.has(heir));
          if (owner !== null && alive.has(owner)) continue;
          if (followed.some(isWarm)) assert.ok(followed.includes(heir) && isWarm(heir));
          else if (followed.length > 0) assert.ok(followed.includes(heir));
          else if (alive.has(target.get(key)!.owner!)) assert.equal(heir, target.get(key)!.owner);
        }
      }),
      RUNS,
    );
  });

  test('are not held up by one follower that never is warm, nor by any number that are known to be stuck', () => {
    fc.assert(
      fc.property(
        targets,
        currents,
        fc.constantFrom(...KEYS),
        fc.constantFrom(...NAMES),
        (target, current, part, at) => {
          const one = play({ target, current }, (key, name) => ({ warm: key !== part || name !== at }));
          const many = play({ target, current }, (_, name) => ({ warm: name !== at, stuck: name === at }));
          for (const [key, place] of target) {
            if (key !== part) assert.deepEqual(one.get(key), place);
            if (place.owner !== at && !place.followers.includes(at)) assert.deepEqual(many.get(key), place);
          }
        },
      ),
      RUNS,
    );
  });

  test('follow a target that changes midway, and clear away what was begun for the former', () => {
    fc.assert(
      fc.property(targets, targets, currents, fc.integer({ min: 0, max: 4 }), (first, second, current, rounds) => {
        for (let round = 0; round < rounds; round++) {
          const progress = progressOf(current, () => ({ warm: round > 2 }));
          current = applied(current, nextSteps({ target: first, current, progress, alive: ALL, budget: BUDGET }));
        }
        assert.deepEqual(plain(play({ target: second, current }, warm)), plain(second));
      }),
      RUNS,
    );
  });
});

describe('steps, by example', () => {
  const at = (owner: string | null, ...followers: string[]): Place => ({ owner, followers });
  const next = (
    target: Record<string, Place>,
    current: Record<string, Place>,
    more: Partial<MovesInput> & { told?: Told } = {},
  ) => {
    const documents = new Map(Object.entries(current));
    const progress = progressOf(documents, more.told ?? (() => ({ warm: false })));
    const wanted = new Map(Object.entries(target));
    return nextSteps({ target: wanted, current: documents, progress, alive: ALL, budget: BUDGET, ...more });
  };

  test('of a move: follow, hand over when warm, and the former owner stays as standby where it should', () => {
    const target = { 'p/s/0': at('b', 'a') };
    assert.deepEqual(next(target, { 'p/s/0': at('a') }), [{ do: 'follow', part: 'p/s/0', member: 'b' }]);
    assert.deepEqual(next(target, { 'p/s/0': at('a', 'b') }), []);
    assert.deepEqual(next(target, { 'p/s/0': at('a', 'b') }, { told: warm }), [
      { do: 'hand', part: 'p/s/0', from: 'a', to: 'b' },
      { do: 'follow', part: 'p/s/0', member: 'a' },
    ]);
  });

  test('move a reader at once, since it has no state', () => {
    assert.deepEqual(next({ 'p/r': at('b') }, { 'p/r': at('a') }), [{ do: 'hand', part: 'p/r', from: 'a', to: 'b' }]);
  });

  test('keep a warm standby until the one that takes its place is warm', () => {
    const target = { 'p/s/0': at('a', 'c') };
    const told: Told = (_, name) => ({ warm: name === 'b' });
    assert.deepEqual(next(target, { 'p/s/0': at('a', 'b') }, { told }), [{ do: 'follow', part: 'p/s/0', member: 'c' }]);
    assert.deepEqual(next(target, { 'p/s/0': at('a', 'b', 'c') }, { told }), []);
    assert.deepEqual(next(target, { 'p/s/0': at('a', 'b', 'c') }, { told: warm }), [
      { do: 'unfollow', part: 'p/s/0', member: 'b' },
    ]);
  });

  test('wait while a member is claiming as much as its budget allows', () => {
    const target = { 'p/r': at('b'), 'p/s/0': at('b'), 'p/s/1': at('b') };
    const current = { 'p/r': at('a'), 'p/s/0': at('b'), 'p/s/1': at('b') };
    assert.deepEqual(next(target, current, { claiming: new Set(['p/s/0', 'p/s/1']) }), []);
    assert.equal(next(target, current, { claiming: new Set(['p/s/0']) }).length, 1);
  });

  test('begin nothing at a member that is not steady, and leave it what it has', () => {
    const steady = new Set(['a']);
    const target = { 'p/s/0': at('b'), 'p/s/1': at('b'), 'p/s/2': at('a', 'b') };
    const current = { 'p/s/0': at('a'), 'p/s/1': at('b'), 'p/s/2': at('a') };
    assert.deepEqual(next(target, current, { steady }), []);
  });

  test('spread what nobody was foreseen for over those who have least', () => {
    const gone = { 'p/s/0': at('e'), 'p/s/1': at('e'), 'p/s/2': at('e'), 'p/s/3': at('a') };
    const steps = next(gone, gone, { alive: new Set(['a', 'b', 'c']) });
    assert.deepEqual(steps, [
      { do: 'own', part: 'p/s/0', to: 'b' },
      { do: 'own', part: 'p/s/1', to: 'c' },
      { do: 'own', part: 'p/s/2', to: 'a' },
    ]);
  });

  test('do nothing where nobody is alive', () => {
    assert.deepEqual(next({ 'p/s/0': at('b') }, { 'p/s/0': at('a', 'b') }, { alive: new Set() }), [
      { do: 'unfollow', part: 'p/s/0', member: 'b' },
    ]);
  });
});
