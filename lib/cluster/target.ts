/**
 * Who should own each part, and who should follow it: a pure function of who is there, how much each part is to do, and
 * what was aimed at before. Greedy, and as lazy as it can be: what is well where it is stays there. What it costs to be
 * wrong here is time, never a row. What a placement costs is `balance.ts`'s, who follows `standbys.ts`'s; how a target is
 * come by, one step after the other, `moves.ts`'s.
 *
 * One call does one of four things, the first that there is to do, so that a change moves what it must and no more:
 *
 * 1. parts without an owner get one: where their state is followed or on disk, if that overloads nobody. Nothing else
 *    moves, so who leaves moves only his own parts
 * 2. who owns nothing, and has on its disk what it used to own, gets it back, if the load is better spread then
 * 3. who has less than half of its share is given more. Nothing moves between others, so who joins takes from all
 * 4. whatever lowers the cost moves
 *
 * The next call goes on from there; a few calls settle it. The same input, in whatever order, has the same outcome.
 */
import { Balance } from './balance.ts';
import { type MemberView, type PartLoad, type Placement, partKey, placementOf } from './placement.ts';
import { standbysOf } from './standbys.ts';

export interface TargetInput {
  readonly members: readonly MemberView[];
  readonly parts: readonly PartLoad[];
  /** What was aimed at last (`previousOf`). */
  readonly previous: Placement;
  /** How many follow each task. */
  readonly standbys: number;
}

export type Target = Placement;

export function target(input: TargetInput): Target {
  const takers = input.members.filter(({ capacity, isDraining }) => capacity > 0 && !isDraining);
  if (takers.length === 0) return asItIs(input);
  const balance = new Balance({ ...input, members: takers });
  const homeless = balance.pieces.filter(({ seat }) => seat === null);
  if (homeless.length > 0) {
    for (const piece of homeless) balance.settle(piece);
    balance.improve({ movable: homeless });
  } else if (!giveBack(balance) && !fillUp(balance)) {
    balance.improve({});
  }
  return standbysOf(balance, input);
}

/**
 * What was aimed at, for the next call; for a leader that has just begun, what the documents say. A part that should be
 * owned by somebody who is counted no more stays with whoever took it over, instead of moving once again.
 */
export function previousOf(options: {
  /** Null: nothing yet. */
  readonly aimed: Placement | null;
  readonly current: Placement;
  readonly members: readonly MemberView[];
}): Placement {
  const { aimed, current, members } = options;
  if (aimed === null) return current;
  const names = new Set(members.map(({ name }) => name));
  return new Map(
    [...aimed].map(([key, place]) => {
      const isCounted = place.owner !== null && names.has(place.owner);
      return [key, isCounted ? place : { ...place, owner: current.get(key)?.owner ?? null }];
    }),
  );
}

/** Nobody can be given anything: what has an owner that is there keeps it. */
function asItIs({ members, parts, previous }: TargetInput): Target {
  const names = new Set(members.map(({ name }) => name));
  return placementOf(
    parts.map(part => {
      const key = partKey(part);
      const { owner = null, followers = [] } = previous.get(key) ?? {};
      const kept = owner !== null && names.has(owner) ? owner : null;
      return [key, { owner: kept, followers: followers.filter(name => names.has(name) && name !== kept) }];
    }),
  );
}

/** To those who are back with their disk; false: there was nothing to give. */
function giveBack(balance: Balance): boolean {
  const returned = balance.seats.filter(({ load }) => load === 0);
  let isGiven = false;
  for (const seat of returned) {
    const onDisk = balance.pieces.filter(piece => piece.disks.has(seat) && !returned.includes(piece.seat!));
    const largest = Math.max(0, ...onDisk.map(({ load }) => load));
    const all = onDisk.reduce((sum, { load }) => sum + load, 0);
    // More than it can have owned: it has followed others, too, and nobody knows which of these were its own.
    if (all - largest >= balance.mostOf(seat)) continue;
    if (balance.moveAll(onDisk, seat)) isGiven = true;
  }
  return isGiven;
}

function fillUp(balance: Balance): boolean {
  const needy = balance.seats.filter(seat => seat.load < seat.share / 2);
  return needy.length > 0 && balance.improve({ receivers: needy });
}
