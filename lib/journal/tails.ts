/**
 * Tails: what a commit remembers of the destinations' ends, so that the next owner of the task can judge them. Plain values
 * that only the ways out themselves understand; journal and snapshots carry them.
 */

/** What is last at a destination, in its outlet's own form. */
export type Tail = number | string | boolean | null | readonly Tail[] | { readonly [name: string]: Tail };

/** By destination. */
export type Tails = Readonly<Record<string, Tail>>;
