/** A state with one table of each kind, and what its owner does with it, for tests. */
import { isMillraceError } from '../../../lib/base/errors.ts';
import type { TaskState } from '../../../lib/state/state.ts';
import type { ListTable, ValueTable } from '../../../lib/state/tables.ts';
import { stateOf } from './declared.ts';
import type { GatedStore } from './gated-store.ts';
import { made } from './made.ts';

export interface Held {
  readonly state: TaskState;
  readonly values: ValueTable<unknown>;
  readonly lists: ListTable<unknown>;
}

export function held(): Held {
  const state = stateOf({ 'op.values': 'values', 'op.lists': 'lists', 'dedupe.seen': 'numbers' });
  const tables = state.tables('op');
  return { state, values: tables.values('values'), lists: tables.lists('lists') };
}

/** Ends a batch: gives its delta. */
export function commit({ state }: Held): Uint8Array | null {
  const delta = state.takeDelta();
  state.endBatch();
  return delta;
}

export async function checkpoint({ state }: Held, store: GatedStore): Promise<readonly Uint8Array[]> {
  const { writes, segments } = state.checkpoint();
  const encoded = made(segments());
  await store.write([...writes()]);
  state.checkpointLanded();
  return encoded;
}

/** Everything is in the store and nothing in memory. */
export async function pageOut(task: Held, store: GatedStore): Promise<void> {
  commit(task);
  await checkpoint(task, store);
  task.state.evict(0);
}

export const isInvariant = (error: unknown) => isMillraceError(error, 'INVARIANT');
