/**
 * Who follows each task: never its owner, and nobody in its owner's zone if there is a member in another. Who follows it
 * goes on following as long as that is so and it has no more to follow than its share; of the others who has its state on
 * disk comes first, and then who has least to follow.
 */
import { type Balance, draw, type Piece, type Seat } from './balance.ts';
import { order, type Placement, placementOf } from './placement.ts';

/** So much more than its share a member may follow without anything being taken from it. */
const TOLERANCE = 0.1;

/** @param standbys of each task that does not say a number of its own */
export function standbysOf({ seats, pieces }: Balance, { standbys }: { readonly standbys: number }): Placement {
  const countOf = (piece: Piece) => (piece.isTask ? Math.min(piece.standbys ?? standbys, seats.length - 1) : 0);
  const total = pieces.reduce((sum, piece) => sum + piece.load * countOf(piece), 0);
  const capacity = seats.reduce((sum, seat) => sum + seat.capacity, 0);
  const most = (seat: Seat) => Math.ceil(((1 + TOLERANCE) * total * seat.capacity) / capacity);
  const loads = new Map(seats.map(seat => [seat, 0]));

  const choose = (piece: Piece, chosen: readonly Seat[]): Seat => {
    const rank = (seat: Seat): readonly number[] => {
      const load = loads.get(seat)!;
      return [
        seat.zone === piece.seat!.zone ? 1 : 0,
        chosen.some(({ zone }) => zone === seat.zone) ? 1 : 0,
        load + piece.load > most(seat) ? 1 : 0,
        piece.followers.has(seat) ? 0 : piece.disks.has(seat) || piece.former === seat ? 1 : 2,
        load / seat.capacity,
        draw(piece, seat),
      ];
    };
    let best: { readonly seat: Seat; readonly rank: readonly number[] } | null = null;
    for (const seat of seats) {
      if (seat === piece.seat || chosen.includes(seat)) continue;
      const ranked = { seat, rank: rank(seat) };
      if (best === null || isBefore(ranked.rank, best.rank)) best = ranked;
    }
    return best!.seat;
  };

  return placementOf(
    pieces.map(piece => {
      const chosen: Seat[] = [];
      while (chosen.length < countOf(piece)) {
        const seat = choose(piece, chosen);
        chosen.push(seat);
        loads.set(seat, loads.get(seat)! + piece.load);
      }
      return [piece.key, { owner: piece.seat!.name, followers: chosen.map(({ name }) => name).sort(order) }];
    }),
  );
}

function isBefore(left: readonly number[], right: readonly number[]): boolean {
  const at = left.findIndex((value, i) => value !== right[i]);
  return at >= 0 && left[at]! < right[at]!;
}
