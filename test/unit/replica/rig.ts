/** What the tests of restoring and checkpoints share: a small table of state, a journal, blobs and a disk, all in memory. */
import assert from 'node:assert/strict';
import { Random } from '../../../lib/base/random.ts';
import { EMPTY_OUTBOX, type Outbox } from '../../../lib/journal/outbox.ts';
import { JournalWriter } from '../../../lib/journal/writer.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { NO_COUNTS } from '../../../lib/observe/counts.ts';
import type { Blobs } from '../../../lib/port/blob.ts';
import type { Log } from '../../../lib/port/log.ts';
import type { Stores } from '../../../lib/port/store.ts';
import { Checkpoints } from '../../../lib/replica/checkpoint.ts';
import type { Pointer } from '../../../lib/replica/pointer.ts';
import { Replica, type ReplicaOptions, type Restored } from '../../../lib/replica/replica.ts';
import { Snapshots } from '../../../lib/replica/snapshots.ts';
import type { Turns } from '../../../lib/replica/turns.ts';
import type { TaskState } from '../../../lib/state/state.ts';
import type { ValueTable } from '../../../lib/state/tables.ts';
import { stateOf } from '../state/declared.ts';

export const location = 'p/s/0';
/** What a process that was killed is told. */
export const never = new Promise<never>(() => {});

interface Parts {
  readonly journal: JournalWriter;
  readonly checkpoints: Checkpoints;
  readonly state: TaskState;
  readonly table: ValueTable<number>;
  readonly restored: Restored;
  readonly errors: readonly unknown[];
}

export async function makeWorld() {
  const clock = new SimClock({ random: new Random(1) });
  const broker = new MemoryBroker({ clock, random: new Random(2) });
  const log = broker.client('worker');
  await log.ensureStream({ name: 'J', subjects: ['j.>'] });
  const blobs = new MemoryBlobs({ clock });
  const stores = new MemoryStores({ clock });
  let lives = 0;
  /** One that follows the task, or is to become it. */
  const replica = (around: Around = {}): Replica => {
    const random = new Random(1_000 + lives);
    return new Replica({
      ...{ log: around.log ?? log, clock, random, stream: 'J', subject: 'j.0' },
      ...{ stores: around.stores ?? stores, location, standsAlone: around.standsAlone ?? false },
      snapshots: new Snapshots({ blobs: around.blobs ?? blobs, clock, random, prefix: location }),
      state: stateOf(around.tables ?? { 'op.counts': 'values' }),
      stateBytesMax: around.stateBytesMax ?? 1 << 30,
      ...(around.onOwner === undefined ? {} : { onOwner: around.onOwner }),
    });
  };
  /** One life of the task: it restores what there is, and claims; `from`: what it takes over. */
  const live = async (around: Around = {}, from = replica(around)): Promise<Life> => {
    const random = new Random(100 + ++lives);
    const about = { stream: 'J', subject: 'j.0', revision: 1, assignment: 1 };
    const journal = new JournalWriter({ log: around.log ?? log, clock, random, ...about });
    const errors: unknown[] = [];
    const onFailed = (error: unknown) => void errors.push(error);
    const checkpoints = new Checkpoints({
      blobs: around.blobs ?? blobs,
      clock,
      random,
      prefix: location,
      turns: around.turns,
      onFailed,
    });
    const { state } = from;
    const table = state.tables('op').values<number>('counts');
    let restored: Restored;
    try {
      await from.catchUp();
      await journal.claim(from.begin);
      restored = await from.complete(journal);
    } catch (error) {
      await from.stop();
      throw error;
    }
    journal.adopt(restored.cutSteps);
    checkpoints.resume(restored);
    const { store, held } = restored;
    if (held !== null) checkpoints.takeUp(held, { state, store, epoch: journal.epoch });
    return new Life({ journal, checkpoints, state, table, restored, errors });
  };
  const rest = () => clock.run(clock.monotonic() + 60_000);
  return { clock, broker, log, blobs, stores, live, replica, rest };
}

interface Around {
  readonly log?: Log;
  readonly blobs?: Blobs;
  readonly stores?: Stores;
  readonly turns?: Turns;
  readonly standsAlone?: boolean;
  readonly stateBytesMax?: number;
  readonly tables?: Parameters<typeof stateOf>[0];
  readonly onOwner?: ReplicaOptions['onOwner'];
}

export class Life {
  readonly journal: JournalWriter;
  readonly checkpoints: Checkpoints;
  readonly state: TaskState;
  readonly table: ValueTable<number>;
  readonly restored: Restored;
  readonly errors: readonly unknown[];

  constructor(parts: Parts) {
    this.journal = parts.journal;
    this.checkpoints = parts.checkpoints;
    this.state = parts.state;
    this.table = parts.table;
    this.restored = parts.restored;
    this.errors = parts.errors;
  }

  /** What is known of every key, in order. */
  get content(): [string, number][] {
    return [...this.table.entries(0)].sort();
  }

  /** A commit that counts a key up and, with `checkpoint`, begins one as a task does; names a snapshot that is ready. */
  async commit(
    key: string,
    options: { checkpoint?: boolean; relayed?: boolean; outbox?: Outbox } = {},
  ): Promise<Pointer> {
    const { journal, checkpoints, state, table } = this;
    table.set(0, key, (table.get(0, key) ?? 0) + 1);
    const delta = state.takeDelta();
    const number = journal.commit + 1;
    const relayedThrough = options.relayed === false ? 0 : number - 1;
    const checkpointBytes = options.checkpoint ? 1 : 1 << 30;
    const taken = checkpoints.begin({
      state,
      commitBytes: delta?.length ?? 0,
      limits: { checkpointBytes, checkpointSliceEntries: 1 << 30, stateBytesMax: 1 << 30 },
    });
    if (options.checkpoint) assert.notEqual(taken, null, 'a checkpoint could be taken');
    const snapshot = checkpoints.announce(relayedThrough);
    const entry = {
      epoch: journal.epoch,
      commit: number,
      positions: { in: number },
      watermarkMs: number,
      dueMs: number,
      delta,
      outbox: options.outbox ?? EMPTY_OUTBOX,
      relayedThrough,
      tails: { [key]: number },
      snapshot: snapshot?.manifest.commitSeq ?? 0,
      isCheckpoint: taken !== null,
      counts: NO_COUNTS,
    };
    const { lastSeq, crc } = await journal.append(entry);
    const { store, place } = this.restored;
    place.take(entry);
    if (snapshot !== null) checkpoints.cut(snapshot, journal);
    const pointer = { epoch: journal.epoch, commit: number, seq: lastSeq, crc };
    if (taken !== null) checkpoints.finish(taken, pointer, { state, store, place: place.toParts() });
    return pointer;
  }
}
