/**
 * Loads, and what they cost. Owns which member has which part while a target is made (`target.ts`), and finds the moves
 * that lower the cost most.
 *
 *     cost = load beyond 1.1 of a member's share × 16 + load short of 0.9 of it × 4 + load that moves × 0.25
 *
 * A share is by capacity. To go to where the state is followed or on disk costs a fifth of a move. Of moves that cost the
 * same the one is taken that spreads its stage best, and then the first by weighted rendezvous (Thaler and Ravishankar, A
 * Name-Based Mapping Scheme for Rendezvous, 1996): whoever begins with nothing comes to the same placement.
 *
 * The bound: when nothing lowers the cost any more, every member's load is at least 0.9 of its share less the largest
 * part, and at most 1.1 of it plus the largest part, as long as no part is worth more than one and a half shares.
 */
import { hash32 } from '../base/hash.ts';
import { taskOf } from '../topology/parts.ts';
import { type MemberView, order, type PartKey, type PartLoad, type Placement, partKey } from './placement.ts';

const OVER = 16;
const UNDER = 4;
const COLD_MOVE = 0.25;
const WARM_MOVE = 0.05;
const TOLERANCE = 0.1;
/** Loads are whole numbers of these. */
const LOAD_STEPS = 8;
/** Sums of costs that differ by less are equal. */
const EPSILON = 1e-6;

/** A member, and what it has. */
export interface Seat {
  readonly name: string;
  readonly zone: string;
  readonly capacity: number;
  readonly hash: number;
  /** What it should have. */
  readonly share: number;
  load: number;
  /** How many parts of each stage it has. */
  readonly stages: Map<string, number>;
}

/** A part, and where it is. */
export interface Piece {
  readonly key: PartKey;
  readonly load: number;
  /** What it is spread with: its stage, or the readers of its pipeline. */
  readonly stage: string;
  readonly isTask: boolean;
  readonly standbys: number | undefined;
  readonly hash: number;
  /** Its owner so far; null: it has none that may keep it. */
  readonly former: Seat | null;
  readonly followers: ReadonlySet<Seat>;
  readonly disks: ReadonlySet<Seat>;
  seat: Seat | null;
}

/** The best move that was found so far. */
interface Best {
  piece: Piece;
  to: Seat;
  /** What it adds to the cost. */
  delta: number;
  crowding: number;
}

export class Balance {
  /** In the order of their names. */
  readonly seats: readonly Seat[];
  /** In the order of their keys. */
  readonly pieces: readonly Piece[];
  /** How many parts each stage has. */
  readonly #stages = new Map<string, number>();
  readonly #capacity: number;

  constructor(input: {
    readonly members: readonly MemberView[];
    readonly parts: readonly PartLoad[];
    readonly previous: Placement;
  }) {
    const { members, parts, previous } = input;
    this.#capacity = members.reduce((sum, { capacity }) => sum + capacity, 0);
    const total = parts.reduce((sum, part) => sum + stepsOf(part), 0);
    this.seats = members
      .map(({ name, zone, capacity }) => {
        const share = (total * capacity) / this.#capacity;
        return { name, zone, capacity, hash: hash32(name), share, load: 0, stages: new Map() };
      })
      .sort((left, right) => order(left.name, right.name));
    const seats = new Map(this.seats.map(seat => [seat.name, seat]));
    // In an order of their own: the first of equals is taken.
    const seatsOf = (names: readonly string[]) =>
      new Set([...names].sort(order).flatMap(name => seats.get(name) ?? []));
    this.pieces = parts
      .map(part => {
        const key = partKey(part);
        const task = taskOf(part.part);
        const before = previous.get(key);
        return {
          key,
          load: stepsOf(part),
          stage: `${part.pipeline}/${task?.stage ?? ''}`,
          isTask: task !== null,
          standbys: part.standbys,
          hash: hash32(key),
          former: seats.get(before?.owner ?? '') ?? null,
          followers: seatsOf(before?.followers ?? []),
          disks: seatsOf(part.disks),
          seat: null,
        };
      })
      .sort((left, right) => order(left.key, right.key));
    for (const piece of this.pieces) {
      this.#stages.set(piece.stage, (this.#stages.get(piece.stage) ?? 0) + 1);
      if (piece.former !== null) this.#put(piece, piece.former);
    }
  }

  /** The most that costs nothing. */
  mostOf(seat: Seat): number {
    return (1 + TOLERANCE) * seat.share;
  }

  /** Finds the first place for what has none: where it is followed, else on disk, else where it costs least. */
  settle(piece: Piece): void {
    const warm = [...(piece.followers.size > 0 ? piece.followers : piece.disks)];
    if (warm.length > 0) {
      this.#put(
        piece,
        warm.reduce((best, seat) => (fullness(seat) < fullness(best) ? seat : best)),
      );
      return;
    }
    let best: Best | null = null;
    for (const to of this.seats) best = this.#better(best, piece, to);
    this.#put(piece, best!.to);
  }

  /** All of them there at once, if the load is better spread then; false: they stay where they are. */
  moveAll(pieces: readonly Piece[], to: Seat): boolean {
    const from = pieces.map(({ seat }) => seat);
    const [cost, unevenness] = this.#spread();
    for (const piece of pieces) this.#put(piece, to);
    const [costThen, unevennessThen] = this.#spread();
    if (costThen < cost - EPSILON || (costThen < cost + EPSILON && unevennessThen < unevenness - EPSILON)) return true;
    pieces.forEach((piece, i) => {
      this.#put(piece, from[i]!);
    });
    return false;
  }

  /** Moves what lowers the cost until nothing does; false: nothing did. */
  improve(options: { readonly movable?: readonly Piece[]; readonly receivers?: readonly Seat[] }): boolean {
    const { movable = this.pieces, receivers = this.seats } = options;
    let isImproved = false;
    // Each move lowers the cost by more than nothing, and there are so many placements only.
    for (let goesOn = true; goesOn; ) {
      goesOn = false;
      for (const to of [...receivers].sort((left, right) => fullness(left) - fullness(right))) {
        for (let best = this.#bestMove(movable, to); best !== null; best = this.#bestMove(movable, to)) {
          this.#put(best.piece, to);
          goesOn = isImproved = true;
        }
      }
    }
    return isImproved;
  }

  /** Null: none lowers the cost. */
  #bestMove(movable: readonly Piece[], to: Seat): Best | null {
    let best: Best | null = null;
    for (const piece of movable) {
      if (piece.seat !== to) best = this.#better(best, piece, to);
    }
    return best !== null && best.delta < -EPSILON ? best : null;
  }

  /** The better one of two moves. */
  #better(best: Best | null, piece: Piece, to: Seat): Best {
    const delta = this.#delta(piece, to);
    if (best !== null && delta > best.delta + EPSILON) return best;
    const crowding = this.#crowding(piece, to);
    if (best === null || delta < best.delta - EPSILON) return { piece, to, delta, crowding };
    if (crowding !== best.crowding) return crowding < best.crowding ? { piece, to, delta, crowding } : best;
    return draw(piece, to) < draw(best.piece, best.to) ? { piece, to, delta, crowding } : best;
  }

  #delta(piece: Piece, to: Seat): number {
    const { load, seat: from } = piece;
    const there = loadCost(to, to.load + load) - loadCost(to, to.load) + moveCost(piece, to);
    return from === null
      ? there
      : there + loadCost(from, from.load - load) - loadCost(from, from.load) - moveCost(piece, from);
  }

  #crowding({ stage, seat: from }: Piece, to: Seat): number {
    const fair = ({ capacity }: Seat) => Math.ceil((this.#stages.get(stage)! * capacity) / this.#capacity);
    const there = countOf(to, stage) >= fair(to) ? 2 : 0;
    return there + (from !== null && countOf(from, stage) > fair(from) ? 0 : 1);
  }

  #put(piece: Piece, to: Seat): void {
    const { seat: from, load, stage } = piece;
    if (from !== null) {
      from.load -= load;
      from.stages.set(stage, countOf(from, stage) - 1);
    }
    to.load += load;
    to.stages.set(stage, countOf(to, stage) + 1);
    piece.seat = to;
  }

  /** What it costs that loads are as they are; and of those that cost the same, how uneven they are. */
  #spread(): readonly [cost: number, unevenness: number] {
    const cost = this.seats.reduce((sum, seat) => sum + loadCost(seat, seat.load), 0);
    return [cost, this.seats.reduce((sum, { load, capacity }) => sum + load ** 2 / capacity, 0)];
  }
}

function stepsOf({ load }: PartLoad): number {
  return Math.max(1, Math.round(load * LOAD_STEPS));
}

function fullness({ load, capacity }: Seat): number {
  return load / capacity;
}

function countOf({ stages }: Seat, stage: string): number {
  return stages.get(stage) ?? 0;
}

function loadCost({ share }: Seat, load: number): number {
  const over = Math.max(0, load - (1 + TOLERANCE) * share);
  const under = Math.max(0, (1 - TOLERANCE) * share - load);
  return OVER * over + UNDER * under;
}

function moveCost({ load, former, followers, disks }: Piece, to: Seat): number {
  if (to === former) return 0;
  return load * (followers.has(to) || disks.has(to) ? WARM_MOVE : COLD_MOVE);
}

/** Weighted rendezvous: the lowest of a part's draws has it, the more often the larger the member's capacity. */
export function draw(piece: Piece, { hash, capacity }: Seat): number {
  let mixed = Math.imul(piece.hash ^ Math.imul(hash, 0x9e3779b1), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35);
  mixed ^= mixed >>> 16;
  return -Math.log(((mixed >>> 0) + 0.5) / 2 ** 32) / capacity;
}
