import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { applied, nextSteps } from '../../../lib/cluster/moves.ts';
import { hasState, type MemberView, type PartKey, type Placement } from '../../../lib/cluster/placement.ts';
import {
  GONE_MS,
  type History,
  historyAfter,
  judgeMember,
  MISSED_MS,
  type Standing,
  SUSPECT_MS,
  standingOf,
} from '../../../lib/cluster/standing.ts';
import { previousOf, target } from '../../../lib/cluster/target.ts';
import { members, ownersOf, reader, settled, tasks, type World, withDisks } from './placements.ts';

const PATIENCE = { returnPatienceMs: 60_000, steadyMs: 10_000 };

describe('a member', () => {
  test('is asked when a beat is missing, suspect after a second of silence and gone after three', () => {
    const at = (silentMs: number) => judgeMember({ heardAtMs: 1_000, deafMs: 0, nobodies: 0 }, 1_000 + silentMs);
    assert.deepEqual(at(0), { verdict: 'alive', ask: false });
    assert.deepEqual(at(MISSED_MS - 1), { verdict: 'alive', ask: false });
    assert.deepEqual(at(MISSED_MS), { verdict: 'alive', ask: true });
    assert.deepEqual(at(SUSPECT_MS - 1), { verdict: 'alive', ask: true });
    assert.deepEqual(at(SUSPECT_MS), { verdict: 'suspect', ask: true });
    assert.deepEqual(at(GONE_MS - 1), { verdict: 'suspect', ask: true });
    assert.deepEqual(at(GONE_MS), { verdict: 'gone', ask: false });
  });

  test('is asked no later by whoever could not hear, and waited for longer', () => {
    const at = (silentMs: number) => judgeMember({ heardAtMs: 0, deafMs: 2_000, nobodies: 0 }, silentMs);
    assert.deepEqual(at(MISSED_MS), { verdict: 'alive', ask: true });
    assert.deepEqual(at(GONE_MS - 1), { verdict: 'alive', ask: true });
    assert.equal(at(GONE_MS).verdict, 'suspect');
    assert.equal(at(GONE_MS + 2_000).verdict, 'gone');
  });

  test('is gone at once when nobody answers for it twice in a row, and not when once', () => {
    assert.equal(judgeMember({ heardAtMs: 0, deafMs: 0, nobodies: 1 }, 300).verdict, 'alive');
    assert.deepEqual(judgeMember({ heardAtMs: 0, deafMs: 0, nobodies: 2 }, 300), { verdict: 'gone', ask: false });
  });

  test('is steady from its first moment, keeps its place while it is away, and is steady again when it has stayed', () => {
    const told: [atMs: number, isThere: boolean, standing: Standing][] = [
      [0, true, 'steady'],
      [5_000, true, 'steady'],
      [6_000, false, 'kept'],
      [20_000, true, 'kept'],
      [29_999, true, 'kept'],
      [30_000, true, 'steady'],
      [31_000, false, 'kept'],
      [90_999, false, 'kept'],
      [91_000, false, 'out'],
      [95_000, true, 'out'],
      [104_999, true, 'out'],
      [105_000, true, 'steady'],
    ];
    let history: History | null = null;
    for (const [atMs, isThere, standing] of told) {
      history = historyAfter(history, isThere, atMs, PATIENCE);
      assert.equal(standingOf(history, atMs, PATIENCE), standing, `${atMs}`);
    }
  });

  test('has been steady though nobody looked in between', () => {
    let history = historyAfter(null, true, 0, PATIENCE);
    history = historyAfter(history, false, 1_000, PATIENCE);
    history = historyAfter(history, true, 2_000, PATIENCE);
    history = historyAfter(history, false, 50_000, PATIENCE);
    assert.equal(history.awaySinceMs, 50_000);
  });

  test('that comes and goes is out in the end, however short each absence is', () => {
    let history = historyAfter(null, true, 0, PATIENCE);
    for (let atMs = 1_000; atMs <= 120_000; atMs += 3_000) {
      history = historyAfter(history, false, atMs, PATIENCE);
      history = historyAfter(history, true, atMs + 1_000, PATIENCE);
      assert.equal(standingOf(history, atMs + 1_000, PATIENCE), atMs + 1_000 < 61_000 ? 'kept' : 'out');
    }
  });
});

/** Whoever leads a cluster, twice a second, and what becomes of its parts. */
class Lead {
  nowMs = 0;
  current: Placement;
  /** How often each part has got another owner. */
  readonly changes = new Map<PartKey, number>();
  readonly #world: World;
  readonly #histories = new Map<string, History>();
  #aimed: Placement;
  #disks: Placement[];

  constructor(world: World) {
    this.#world = world;
    this.current = settled(world);
    this.#aimed = this.current;
    this.#disks = [this.current];
    this.pass(1_000, () => true);
  }

  pass(ms: number, isThere: (member: MemberView, nowMs: number) => boolean): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += 500) {
      const alive = this.#world.members.filter(member => isThere(member, this.nowMs));
      const standings = new Map<string, Standing>();
      for (const member of this.#world.members) {
        const before = this.#histories.get(member.name) ?? null;
        const history = historyAfter(before, alive.includes(member), this.nowMs, PATIENCE);
        this.#histories.set(member.name, history);
        standings.set(member.name, standingOf(history, this.nowMs, PATIENCE));
      }
      this.#lead(new Set(alive.map(({ name }) => name)), standings);
    }
  }

  #lead(alive: ReadonlySet<string>, standings: ReadonlyMap<string, Standing>): void {
    const { current } = this;
    const counted = this.#world.members.filter(({ name }) => standings.get(name) !== 'out');
    const previous = previousOf({ aimed: this.#aimed, current, members: counted });
    const parts = withDisks(this.#world.parts, ...this.#disks);
    this.#aimed = target({ ...this.#world, parts, members: counted, previous });
    const progress = new Map(
      [...current].map(([key, { followers }]) => [key, new Map(followers.map(name => [name, { warm: true }]))]),
    );
    const steady = new Set([...alive].filter(name => standings.get(name) === 'steady'));
    const steps = nextSteps({ target: this.#aimed, current, progress, alive, steady, budget: { perMember: 2 } });
    this.current = applied(current, steps);
    for (const [key, { owner }] of this.current) {
      if (current.get(key)!.owner !== owner) this.changes.set(key, (this.changes.get(key) ?? 0) + 1);
    }
    this.#disks = [this.#disks[0]!, this.current];
  }
}

describe('a member that comes and goes', () => {
  const world: World = {
    members: members(4, 2),
    parts: [
      ...tasks('p', 'a', 16),
      ...tasks('p', 'b', 16),
      ...['r0', 'r1', 'r2', 'r3', 'r4'].map(name => reader('q', name)),
    ],
    standbys: 1,
  };
  const flaps = ({ name }: MemberView, nowMs: number) => name !== 'w0' || Math.floor(nowMs / 3_000) % 2 === 0;
  const ownedBy = (placement: Placement, name: string) =>
    [...placement].filter(([, { owner }]) => owner === name).map(([key]) => key);

  for (const standbys of [0, 1]) {
    test(`every few seconds moves nothing twice, and nothing of others (*nothing twice*; standbys: ${standbys})`, () => {
      const lead = new Lead({ ...world, standbys });
      const own = ownedBy(lead.current, 'w0');
      lead.pass(50_000, flaps);
      assert.deepEqual([...lead.changes.keys()].sort(), own);
      assert.deepEqual([...new Set(lead.changes.values())], [1]);
      assert.deepEqual(ownedBy(lead.current, 'w0'), []);
      // Its place is lost now, and what was taken over for a while is so for good.
      lead.pass(50_000, flaps);
      for (const key of own) if (!hasState(key)) assert.equal(lead.changes.get(key), 1, key);
    });

    test(`finds its parts when it is back within its patience and stays (standbys: ${standbys})`, () => {
      const lead = new Lead({ ...world, standbys });
      const before = ownersOf(lead.current);
      lead.pass(30_000, flaps);
      assert.notDeepEqual(ownersOf(lead.current), before);
      lead.pass(25_000, () => true);
      assert.deepEqual(ownersOf(lead.current), before);
    });
  }
});
