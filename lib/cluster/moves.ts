/**
 * From where the parts are to where they should be, in steps that are safe to take now: a pure function of the target, the
 * assignment documents and what followers have said. Whoever leads writes what it returns into the documents, and asks
 * again; a leader that dies in between leaves documents that are still right.
 *
 * - who is to own a task follows it first, and has it handed over when it is warm
 * - at most so much is under way for each member: moves, whichever end of them it is, followers that warm up, and claims.
 *   A follower that is *stuck* counts for nobody, so it holds up nobody
 * - what has no owner that is there is owned at once, whatever is under way: by the warmest follower
 * - whoever followed goes on until all who should are warm
 * - nothing is begun at a member that is not *steady* (`standing.ts`): it may be gone again in a moment
 */
import { hasState, NOWHERE, order, type PartKey, type Place, type Placement, placementOf } from './placement.ts';

export type Step =
  | { readonly do: 'follow'; readonly part: PartKey; readonly member: string }
  | { readonly do: 'hand'; readonly part: PartKey; readonly from: string; readonly to: string }
  | { readonly do: 'unfollow'; readonly part: PartKey; readonly member: string }
  /** It has no owner that is there. */
  | { readonly do: 'own'; readonly part: PartKey; readonly to: string };

/** What a follower has said of itself. */
export interface Progress {
  /** It has applied all of the journal but the last moment's. */
  readonly warm: boolean;
  /** It has come no nearer for long. Whoever leads sees that, as it has a clock. */
  readonly stuck?: boolean;
}

export interface MovesInput {
  readonly target: Placement;
  /** What the assignment documents say. Parts that the target does not name are left alone. */
  readonly current: Placement;
  readonly progress: ReadonlyMap<PartKey, ReadonlyMap<string, Progress>>;
  readonly alive: ReadonlySet<string>;
  /** Those of them who may be given more; absent: all. */
  readonly steady?: ReadonlySet<string>;
  /** Parts that have been given to their owner, which is not at work on them yet: each is under way there. */
  readonly claiming?: ReadonlySet<PartKey>;
  readonly budget: { readonly perMember: number };
}

/** In the order in which they are to be applied. */
export function nextSteps(input: MovesInput): Step[] {
  const turn = new Turn(input);
  const parts = [...input.target.keys()].sort(order);
  for (const part of parts) turn.rescue(part);
  for (const part of parts) turn.count(part);
  for (const part of parts) turn.hand(part);
  for (const part of parts) turn.begin(part);
  for (const part of parts) turn.standBy(part);
  for (const part of parts) turn.dismiss(part);
  return turn.steps;
}

/** The documents after the steps. */
export function applied(current: Placement, steps: readonly Step[]): Placement {
  const places = new Map(current);
  for (const step of steps) places.set(step.part, stepped(places.get(step.part) ?? NOWHERE, step));
  return placementOf([...places]);
}

function stepped({ owner, followers }: Place, step: Step): Place {
  const without = (name: string) => followers.filter(follower => follower !== name);
  if (step.do === 'follow') return { owner, followers: [...without(step.member), step.member].sort(order) };
  if (step.do === 'unfollow') return { owner, followers: without(step.member) };
  return { owner: step.to, followers: without(step.to) };
}

/** One call: what has been decided so far, and how much of each member's budget that takes. */
class Turn {
  readonly steps: Step[] = [];
  readonly #input: MovesInput;
  readonly #steady: ReadonlySet<string>;
  /** Where the parts are when the steps so far are done. */
  readonly #places: Map<PartKey, Place>;
  /** How much is under way at each member. */
  readonly #under = new Map<string, number>();
  /** How many parts each owns. */
  readonly #owned = new Map<string, number>();

  constructor(input: MovesInput) {
    this.#input = input;
    this.#steady = input.steady ?? input.alive;
    this.#places = new Map(input.current);
    for (const { owner } of input.current.values()) if (owner !== null) add(this.#owned, owner);
  }

  /** A part without an owner that is there. */
  rescue(part: PartKey): void {
    const { owner, followers } = this.#place(part);
    if (owner !== null && this.#isAlive(owner)) return;
    const wanted = this.#wanted(part).owner;
    const rank = (name: string): number => {
      const progress = this.#progress(part, name);
      const warmth = progress?.warm ? 0 : progress === undefined || progress.stuck ? 4 : 2;
      return warmth + (name === wanted ? 0 : 1);
    };
    const heirs = followers.filter(name => this.#isAlive(name)).sort((a, b) => rank(a) - rank(b) || order(a, b));
    const to = heirs[0] ?? (wanted !== null && this.#mayTake(wanted) ? wanted : this.#leastBurdened());
    if (to === null) return;
    add(this.#owned, to);
    this.#do({ do: 'own', part, to });
  }

  /** What is under way already: claims, and whoever warms up. */
  count(part: PartKey): void {
    const { owner, followers } = this.#place(part);
    if (owner !== null && this.#input.claiming?.has(part)) this.#spend(owner);
    const heir = this.#heir(part);
    for (const name of followers) {
      const { warm = false, stuck = false } = this.#progress(part, name) ?? {};
      if (warm || stuck || !this.#isAlive(name)) continue;
      this.#spend(name);
      if (name === heir) this.#spend(owner!);
    }
  }

  /** The part goes to whom it should, if it can at once. */
  hand(part: PartKey): void {
    const { owner: from, followers } = this.#place(part);
    const to = this.#heir(part);
    if (from === null || to === null) return;
    const isReady = !hasState(part) || (followers.includes(to) && this.#progress(part, to)?.warm === true);
    if (!isReady || !this.#take(from, to)) return;
    this.#do({ do: 'hand', part, from, to });
    if (hasState(part) && this.#wanted(part).followers.includes(from)) this.#do({ do: 'follow', part, member: from });
  }

  /** Whoever should own the part begins to follow it. */
  begin(part: PartKey): void {
    const { owner, followers } = this.#place(part);
    const to = this.#heir(part);
    if (to === null || !hasState(part) || followers.includes(to) || !this.#take(owner!, to)) return;
    this.#do({ do: 'follow', part, member: to });
  }

  /** Whoever should follow the part begins to. */
  standBy(part: PartKey): void {
    const place = this.#place(part);
    if (place.owner === null || !hasState(part)) return;
    for (const name of this.#wanted(part).followers) {
      const isThere = name === place.owner || place.followers.includes(name);
      if (!isThere && this.#mayTake(name) && this.#take(name)) this.#do({ do: 'follow', part, member: name });
    }
  }

  /** Whoever follows and should not any more stops, as soon as it is not needed. */
  dismiss(part: PartKey): void {
    const wanted = this.#wanted(part);
    const heir = this.#heir(part);
    const isWarm = (name: string) => this.#progress(part, name)?.warm === true;
    const { owner, followers } = this.#place(part);
    const isCovered = wanted.followers.every(name => name === owner || (followers.includes(name) && isWarm(name)));
    for (const member of followers) {
      if (member === heir || wanted.followers.includes(member)) continue;
      if (isCovered || !this.#isAlive(member) || !isWarm(member)) this.#do({ do: 'unfollow', part, member });
    }
  }

  /** Who is to own the part instead of its owner; null: nobody, or not now. */
  #heir(part: PartKey): string | null {
    const { owner } = this.#place(part);
    const to = this.#wanted(part).owner;
    return owner === null || to === null || to === owner || !this.#mayTake(to) ? null : to;
  }

  #leastBurdened(): string | null {
    const able = this.#steady.size > 0 ? [...this.#steady].filter(name => this.#isAlive(name)) : [];
    const names = (able.length > 0 ? able : [...this.#input.alive]).sort(order);
    const owned = (name: string) => this.#owned.get(name) ?? 0;
    return names.reduce<string | null>(
      (best, name) => (best === null || owned(name) < owned(best) ? name : best),
      null,
    );
  }

  #place(part: PartKey): Place {
    return this.#places.get(part) ?? NOWHERE;
  }

  #wanted(part: PartKey): Place {
    return this.#input.target.get(part) ?? NOWHERE;
  }

  #progress(part: PartKey, name: string): Progress | undefined {
    return this.#input.progress.get(part)?.get(name);
  }

  #isAlive(name: string): boolean {
    return this.#input.alive.has(name);
  }

  #mayTake(name: string): boolean {
    return this.#isAlive(name) && this.#steady.has(name);
  }

  /** False: one of them has as much under way as it may. */
  #take(...names: readonly string[]): boolean {
    if (names.some(name => (this.#under.get(name) ?? 0) >= this.#input.budget.perMember)) return false;
    this.#spend(...names);
    return true;
  }

  #spend(...names: readonly string[]): void {
    for (const name of names) add(this.#under, name);
  }

  #do(step: Step): void {
    this.steps.push(step);
    this.#places.set(step.part, stepped(this.#place(step.part), step));
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
