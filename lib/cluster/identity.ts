/**
 * Who a worker is to the others. A name belongs to a data folder and outlives its processes; an instance is one process.
 * A folder belongs to one process at a time and knows its former ones, so whatever one of those has left in the registry
 * may be taken up at once. The same name with any other instance is of a *copy* of the folder, and may well be alive.
 * The lease is merely careful with such an entry; that two processes never go on under one name is `presence.ts`'s.
 */
export interface Identity {
  /** Unique in the cluster and the same after a restart. */
  readonly name: string;
  /** This process, and no other that ever was. */
  readonly instance: string;
  /** Instances that have had this data folder: each has ended. */
  readonly formers: readonly string[];
}

/** Whether an entry under our name is ours, or a dead predecessor's. */
export function isOurs({ instance, formers }: Identity, written: string): boolean {
  return written === instance || formers.includes(written);
}
