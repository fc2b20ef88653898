/**
 * Restoring a task that was just claimed: state as of the last commit, what is not sent yet, and where to read on.
 *
 * The base is the local store if it can be trusted, else the snapshot, else nothing; then the journal's commits after
 * it. The store is trusted only if the commit it points to is the very one that the journal or the snapshot has at that
 * place, and the latest snapshot is not older (invariant H): a folder of another cluster, or of a history that the broker has
 * lost, is discarded. So is a snapshot believed only if the journal has the very commit that it reflects, or begins with the
 * message after it: as a base, and as what the next snapshot adds to.
 *
 * The journal is read as far back as nothing is missing, and that must be far enough: to the base, and to the oldest commit
 * that is not relayed. What lies before, and whether the broker has lost some of it, is nobody's concern.
 *
 * The journal is held in memory while this runs. It is bounded: checkpoints cut it.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { Journal, JournalRun, StoredCommit } from '../journal/journal.ts';
import type { Outbox } from '../journal/outbox.ts';
import type { Tail, Tails } from '../journal/tails.ts';
import type { Store, Stores } from '../port/store.ts';
import type { TaskState } from '../state/state.ts';
import type { Checkpoints } from './checkpoint.ts';
import { type Pointer, readPointer } from './pointer.ts';
import { commitOf, type Snapshot } from './snapshots.ts';

export interface Restored {
  readonly store: Store;
  readonly from: 'nothing' | 'store' | 'snapshot';
  /** Commits done again after the base. */
  readonly replayed: number;
  readonly positions: Readonly<Record<string, number>>;
  readonly watermarkMs: number;
  /** See `Commit.dueMs`. */
  readonly dueMs: number;
  readonly tails: Tails;
  readonly relayedThrough: number;
  /** Commits after `relayedThrough`, oldest first. */
  readonly unsent: readonly { commit: number; outbox: Outbox; watermarkMs: number; timeMs: number }[];
}

export interface RestoreOptions {
  readonly journal: Journal;
  /** Empty, with all tables open. */
  readonly state: TaskState;
  readonly stores: Stores;
  readonly location: string;
  readonly checkpoints: Checkpoints;
  readonly stateBytesMax: number;
  /** The task was told to stop: whatever is still to be restored, its next owner restores. Asked again and again. */
  isOver(): boolean;
}

export async function restore(options: RestoreOptions): Promise<Restored> {
  const { journal, stores, location, checkpoints, isOver } = options;
  try {
    // After the claim: every snapshot that a landed commit names can be seen, so the journal is not cut beyond ours.
    const early = await checkpoints.snapshots.latest();
    const run = await journal.read();
    const named = run.commits.reduce((most, { snapshot }) => Math.max(most, snapshot), 0);
    const snapshot = commitOf(early) >= named ? early : await checkpoints.snapshots.latest({ atLeast: named });
    const { store, pointer } = await openStore({ stores, location, journal, commits: run.commits, snapshot });
    try {
      return await rebuild(options, { snapshot, named, run, store, pointer });
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    // What does not fit together may be the work of an owner after us, and then it is no alarm.
    if (!isOver()) await journal.confirm();
    throw error;
  }
}

function checkOver({ isOver, location }: RestoreOptions): void {
  if (isOver()) throw new Error(`${location} was stopped before it was restored`);
}

async function* segmentsOf(options: RestoreOptions, snapshot: Snapshot): AsyncGenerator<Uint8Array> {
  for await (const segment of options.checkpoints.snapshots.segments(snapshot)) {
    checkOver(options);
    yield segment;
  }
}

/**
 * A snapshot that no commit names yet and that cannot be read, as when its writer was frozen until a sweep took what it had
 * written for left behind, is in nobody's way: it goes, and the one before it still has its journal.
 */
async function loadSnapshot(
  options: RestoreOptions,
  { snapshot, named, store }: { snapshot: Snapshot; named: number; store: Store },
): Promise<void> {
  const { state, checkpoints, stateBytesMax } = options;
  try {
    await state.loadSegments(segmentsOf(options, snapshot), { store, bytesMax: stateBytesMax });
  } catch (cause) {
    if (!isMillraceError(cause, 'JOURNAL_CORRUPT') || commitOf(snapshot) <= named) throw cause;
    await checkpoints.snapshots.discard(snapshot);
    const why = `snapshot ${snapshot.name} cannot be read, and no commit names it: it is dropped, and the one before it is taken`;
    throw new MillraceError('CONFLICT', why, { cause });
  }
}

/** The base, then the commits after it. */
async function rebuild(
  options: RestoreOptions,
  found: { snapshot: Snapshot | null; named: number; run: JournalRun; store: Store; pointer: Pointer | null },
): Promise<Restored> {
  const { journal, state, checkpoints, stateBytesMax } = options;
  const { snapshot, run, store, pointer } = found;
  const { commits } = run;
  let from: Restored['from'] = 'nothing';
  let base = 0;
  if (pointer !== null) {
    from = 'store';
    base = pointer.commit;
    await state.loadAll(store, { bytesMax: stateBytesMax });
  } else if (snapshot !== null) {
    from = 'snapshot';
    base = snapshot.manifest.commitSeq;
    await loadSnapshot(options, { snapshot, named: found.named, store });
  }
  if (journal.commit < base) {
    throw new MillraceError(
      'CHAIN_BROKEN',
      `journal ${journal.subject} ends at commit ${journal.commit}, and ${from === 'store' ? 'the local store' : 'a snapshot'} reflects commit ${base}: the broker lost or deleted messages. Restore the stream from a backup, or delete the pipeline with its state.`,
    );
  }
  const first = commits[0]?.commit ?? journal.commit + 1;
  if (first > base + 1) {
    throw corrupt(journal, `begins at commit ${first}, and state is known up to ${base}: the commits between are lost`);
  }
  // Also where the base is a store: the next snapshot goes on from this one.
  if (snapshot !== null && !isOf(snapshot, run)) {
    const { commitSeq } = snapshot.manifest;
    throw corrupt(
      journal,
      `does not have the commit ${commitSeq} that the snapshot reflects: one of the two is an older copy`,
    );
  }
  const relayedThrough = commits.reduce((most, commit) => Math.max(most, commit.relayedThrough), 0);
  if (relayedThrough < first - 1) {
    throw corrupt(journal, `begins at commit ${first}, and what is known to be sent ends at ${relayedThrough}`);
  }
  let replayed = 0;
  const tails: Record<string, Tail> = { ...snapshot?.tails };
  for (const commit of commits) {
    checkOver(options);
    Object.assign(tails, commit.tails);
    if (commit.commit <= base || commit.delta === null) continue;
    if (state.resident) state.applyDelta(commit.delta);
    else await state.replay(commit.delta, store);
    replayed++;
  }
  const last = commits.at(-1);
  const journalBytes = commits.reduce((sum, commit) => sum + commit.bytes, 0);
  checkpoints.resume({ snapshot, tails, journal: { bytes: journalBytes, commits: commits.length } });
  return {
    store,
    from,
    replayed,
    positions: last?.positions ?? {},
    watermarkMs: last?.watermarkMs ?? Number.NEGATIVE_INFINITY,
    dueMs: last?.dueMs ?? Number.NEGATIVE_INFINITY,
    tails,
    relayedThrough,
    unsent: commits.filter(({ commit }) => commit > relayedThrough),
  };
}

/** The local store with the commit it reflects, or a fresh one where it cannot be trusted. */
async function openStore(options: {
  stores: Stores;
  location: string;
  journal: Journal;
  commits: readonly StoredCommit[];
  snapshot: Snapshot | null;
}): Promise<{ store: Store; pointer: Pointer | null }> {
  const { stores, location, journal, commits, snapshot } = options;
  const store = await stores.open(location, { fresh: false });
  if (store !== null) {
    const pointer = await readPointer(store);
    if (pointer !== null && isKnown(pointer, { commits, snapshot })) return { store, pointer };
    await store.close();
    if (pointer !== null && pointer.commit > journal.commit) {
      throw new MillraceError(
        'CHAIN_BROKEN',
        `the local store of ${location} reflects commit ${pointer.commit}, but journal ${journal.subject} ends at ${journal.commit}: the broker lost acknowledged data. Restore the stream from a backup; or, to go on with what is left, delete the local store first.`,
      );
    }
  }
  const fresh = await stores.open(location, { fresh: true });
  if (fresh === null) throw new MillraceError('STORE_CORRUPT', `a fresh store at ${location} could not be opened`);
  return { store: fresh, pointer: null };
}

/**
 * The store is never written before a snapshot of the same commit exists. Where the latest is older, the blobs have lost it,
 * and what the store has of it would be missing from every snapshot to come.
 */
function isKnown(pointer: Pointer, history: { commits: readonly StoredCommit[]; snapshot: Snapshot | null }): boolean {
  if (commitOf(history.snapshot) < pointer.commit) return false;
  const commit = history.commits.find(candidate => candidate.commit === pointer.commit);
  if (commit !== undefined) return commit.lastSeq === pointer.seq && commit.crc === pointer.crc;
  const { snapshot } = history;
  return snapshot !== null && snapshot.manifest.commitSeq === pointer.commit && snapshot.crc === pointer.crc;
}

function isOf(snapshot: Snapshot, { commits, crcBefore }: JournalRun): boolean {
  const { commitSeq, journalSeq } = snapshot.manifest;
  const commit = commits.find(candidate => candidate.commit === commitSeq);
  if (commit === undefined) return snapshot.crc === crcBefore;
  return commit.lastSeq === journalSeq && commit.crc === snapshot.crc;
}

function corrupt(journal: Journal, what: string): MillraceError {
  return new MillraceError(
    'JOURNAL_CORRUPT',
    `journal ${journal.subject} ${what}. Restore the stream or the snapshots from a backup, or delete the pipeline with its state.`,
  );
}
