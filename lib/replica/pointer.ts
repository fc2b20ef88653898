/** Which commit a task's local store reflects: a store without a pointer counts for nothing. */
import type { Store, StoreWrite } from '../port/store.ts';
import { pack, unpack } from '../record/rows.ts';
import { batchesOf, type Checkpoint } from '../state/checkpoint.ts';
import { metaKey } from '../state/layout.ts';

export interface Pointer {
  readonly epoch: number;
  readonly commit: number;
  readonly seq: number;
  readonly crc: number;
}

const POINTER_KEY = metaKey('commit');

export function encodePointer(pointer: Pointer): Uint8Array {
  return pack([pointer.epoch, pointer.commit, pointer.seq, pointer.crc]);
}

export async function readPointer(store: Store): Promise<Pointer | null> {
  const [bytes] = await store.getMany([POINTER_KEY]);
  if (bytes === undefined) return null;
  const [epoch, commit, seq, crc] = unpack(bytes) as [number, number, number, number];
  return { epoch, commit, seq, crc };
}

/**
 * A small checkpoint and its pointer are one write. A large one is several, each of which the store holds in memory: the
 * first takes the old pointer away, the last brings the new one. `isOver` is asked between two: a store that was left then
 * has no pointer. With `commit` null it gets none: it counts for nothing until a later checkpoint brings one.
 */
export async function writeStore(
  store: Store,
  checkpoint: Checkpoint,
  { commit, isOver }: { commit: Pointer | null; isOver: () => boolean },
): Promise<void> {
  let held: StoreWrite[] = [];
  let pointed = true;
  if (commit === null) {
    await store.write([{ type: 'del', key: POINTER_KEY }]);
    pointed = false;
  }
  for (const batch of batchesOf(checkpoint.writes())) {
    if (held.length > 0) {
      await store.write(pointed ? [{ type: 'del', key: POINTER_KEY }, ...held] : held);
      pointed = false;
    }
    if (isOver()) return;
    held = batch;
  }
  if (commit === null) await store.write(held);
  else await store.write([...held, { type: 'put', key: POINTER_KEY, value: encodePointer(commit) }]);
}
