/**
 * What is under way and who waits for it: a ring of places, each for one thing at a time, under tokens that only grow.
 *
 * It is what a `Map` would do, but for memory. A map that is added to and deleted from all the time moves to a new table
 * every few steps, and V8 leaves in each old table its last entries and a link to the next (iterators need it). One table
 * that lives long enough to be moved to the old generation is a root for all that come after: each in turn is kept, with
 * the entries in it and all that hangs on these, until the next full collection. What should die young is copied
 * twice and dies old. A map or set that is emptied for every batch is the same, since `clear` makes a new table, too: what
 * is filled for a batch is best made for it.
 */
import { invariant } from './errors.ts';

const FIRST_PLACES = 64;

export class InFlight<T> {
  #places: ({ readonly token: number; readonly item: T } | null)[] = new Array(FIRST_PLACES).fill(null);
  #lastToken = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Takes it in under the token that is returned: a positive integer, higher than all before. */
  add(item: T): number {
    if (2 * this.#size >= this.#places.length) this.#grow();
    const mask = this.#places.length - 1;
    // What is still there from the last time round keeps its place.
    do this.#lastToken++;
    while (this.#places[this.#lastToken & mask] !== null);
    this.#places[this.#lastToken & mask] = { token: this.#lastToken, item };
    this.#size++;
    return this.#lastToken;
  }

  /** What is under the token; undefined: nothing, or not any more. */
  at(token: number): T | undefined {
    const place = this.#places[token & (this.#places.length - 1)];
    return place?.token === token ? place.item : undefined;
  }

  /** Takes out what is under the token; undefined: nothing, or not any more. */
  take(token: number): T | undefined {
    const at = token & (this.#places.length - 1);
    const place = this.#places[at];
    if (place === null || place === undefined || place.token !== token) return undefined;
    this.#places[at] = null;
    this.#size--;
    return place.item;
  }

  /** Takes out all that `chosen` says yes to, the oldest first. */
  takeAll(chosen: (item: T) => boolean): T[] {
    return this.#places
      .filter(place => place !== null && chosen(place.item))
      .sort((left, right) => left!.token - right!.token)
      .map(place => this.take(place!.token)!);
  }

  #grow(): void {
    const before = this.#places;
    invariant(before.length < 1 << 30, 'more is under way than there is room for');
    this.#places = new Array(before.length * 2).fill(null);
    const mask = this.#places.length - 1;
    for (const place of before) if (place !== null) this.#places[place.token & mask] = place;
  }
}
