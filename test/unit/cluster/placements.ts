/** Clusters and their parts for the tests of targets and moves: drawn at random, and by hand. */
import fc from 'fast-check';
import { type MemberView, type PartLoad, type Placement, partKey } from '../../../lib/cluster/placement.ts';
import { target } from '../../../lib/cluster/target.ts';

export interface World {
  readonly members: readonly MemberView[];
  readonly parts: readonly PartLoad[];
  readonly standbys: number;
}

export function member(name: string, change: Partial<MemberView> = {}): MemberView {
  return { name, zone: 'z', capacity: 1, isDraining: false, ...change };
}

export function members(count: number, zones = 1): MemberView[] {
  return Array.from({ length: count }, (_, i) => member(`w${i}`, { zone: `z${i % zones}` }));
}

export function tasks(pipeline: string, stage: string, partitions: number): PartLoad[] {
  return Array.from({ length: partitions }, (_, i) => ({ pipeline, part: `${stage}/${i}`, load: 1, disks: [] }));
}

export function reader(pipeline: string, name: string): PartLoad {
  return { pipeline, part: name, load: 1, disks: [] };
}

/** Members in up to three zones, and stages and readers of a few pipelines. */
export function worlds(limits: { readonly membersMin?: number; readonly loads?: fc.Arbitrary<number> } = {}) {
  const { membersMin = 1, loads = fc.constantFrom(0, 0.25, 0.5, 1, 1.5, 2.7) } = limits;
  const makeMembers = fc
    .array(fc.record({ zone: fc.constantFrom('x', 'y', 'z'), capacity: fc.constantFrom(1, 1, 1, 2, 0.5) }), {
      minLength: membersMin,
      maxLength: 7,
    })
    .map(all => all.map(({ zone, capacity }, i) => member(`w${i}`, { zone, capacity })));
  const makeParts = fc
    .array(fc.record({ partitions: fc.integer({ min: 0, max: 12 }), pipeline: fc.constantFrom('p', 'q') }), {
      minLength: 1,
      maxLength: 5,
    })
    .chain(stages => {
      const bare = stages.flatMap(({ partitions, pipeline }, i) => [
        ...tasks(pipeline, `s${i}`, partitions),
        reader(pipeline, `r${i}`),
      ]);
      return fc
        .array(loads, { minLength: bare.length, maxLength: bare.length })
        .map(all => bare.map((part, i) => ({ ...part, load: all[i]! })));
    });
  return fc.record({ members: makeMembers, parts: makeParts, standbys: fc.constantFrom(0, 1, 2) });
}

/** Every member has on disk what it owns or follows, beside what it has kept. */
export function withDisks(parts: readonly PartLoad[], ...placements: readonly Placement[]): PartLoad[] {
  return parts.map(part => {
    const places = placements.flatMap(placement => placement.get(partKey(part)) ?? []);
    const disks = places.flatMap(({ owner, followers }) => (owner === null ? followers : [owner, ...followers]));
    return { ...part, disks: [...new Set(disks)].sort() };
  });
}

/** The target of the target, until it is that. */
export function settled(world: World, previous: Placement = new Map()): Placement {
  for (let calls = 0; calls < CALLS_MAX; calls++) {
    const next = target({ ...world, previous });
    if (isSame(next, previous)) return next;
    previous = next;
  }
  throw new Error('it does not settle');
}

const CALLS_MAX = 10;

export function isSame(left: Placement, right: Placement): boolean {
  return JSON.stringify([...left]) === JSON.stringify([...right]);
}

export function ownersOf(placement: Placement): Record<string, string | null> {
  return Object.fromEntries([...placement].map(([key, { owner }]) => [key, owner]));
}

/** The keys of those that are not owned by the same member. */
export function movedBetween(before: Placement, after: Placement): string[] {
  return [...after].filter(([key, { owner }]) => before.get(key)?.owner !== owner).map(([key]) => key);
}

/** In eighths, as targets count it. */
export function loadOf(part: PartLoad): number {
  return Math.max(1, Math.round(part.load * 8));
}

export function loadsOf({ members, parts }: World, placement: Placement): Map<string, number> {
  const loads = new Map(members.map(({ name }) => [name, 0]));
  for (const part of parts) {
    const owner = placement.get(partKey(part))!.owner!;
    loads.set(owner, loads.get(owner)! + loadOf(part));
  }
  return loads;
}

/** The fair share of each, by capacity. */
export function sharesOf({ members, parts }: World): Map<string, number> {
  const total = parts.reduce((sum, part) => sum + loadOf(part), 0);
  const capacity = members.reduce((sum, { capacity }) => sum + capacity, 0);
  return new Map(members.map(member => [member.name, (total * member.capacity) / capacity]));
}
