/** What the tests of restoring and checkpoints share: a small table of state, a journal, blobs and a disk, all in memory. */
import assert from 'node:assert/strict';
import { Random } from '../../../lib/base/random.ts';
import { Journal } from '../../../lib/journal/journal.ts';
import { EMPTY_OUTBOX } from '../../../lib/journal/outbox.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Blobs } from '../../../lib/port/blob.ts';
import type { Log } from '../../../lib/port/log.ts';
import type { Stores } from '../../../lib/port/store.ts';
import { Checkpoints } from '../../../lib/replica/checkpoint.ts';
import type { Pointer } from '../../../lib/replica/pointer.ts';
import { type Restored, restore } from '../../../lib/replica/restore.ts';
import type { Turns } from '../../../lib/replica/turns.ts';
import { TaskState } from '../../../lib/state/state.ts';
import type { ValueTable } from '../../../lib/state/tables.ts';

export const location = 'p/s/0';
/** What a process that was killed is told. */
export const never = new Promise<never>(() => {});

interface Parts {
  readonly journal: Journal;
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
  /** One life of the task: it claims, and restores what there is. */
  const live = async (around: { log?: Log; blobs?: Blobs; stores?: Stores; turns?: Turns } = {}): Promise<Life> => {
    const random = new Random(100 + ++lives);
    const about = { stream: 'J', subject: 'j.0', revision: 1 };
    const journal = new Journal({ log: around.log ?? log, clock, random, ...about });
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
    const state = new TaskState();
    const table = state.tables('op').values<number>('counts');
    await journal.claim();
    const restored = await restore({
      journal,
      state,
      stores: around.stores ?? stores,
      location,
      checkpoints,
      stateBytesMax: 1 << 30,
      isOver: () => false,
    });
    return new Life({ journal, checkpoints, state, table, restored, errors });
  };
  const rest = () => clock.run(clock.monotonic() + 60_000);
  return { clock, broker, log, blobs, stores, live, rest };
}

export class Life {
  readonly journal: Journal;
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
  async commit(key: string, options: { checkpoint?: boolean; relayed?: boolean } = {}): Promise<Pointer> {
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
    const { lastSeq, crc } = await journal.append({
      epoch: journal.epoch,
      commit: number,
      positions: { in: number },
      watermarkMs: number,
      dueMs: number,
      delta,
      outbox: EMPTY_OUTBOX,
      relayedThrough,
      tails: checkpoints.noteTails({ [key]: number }),
      snapshot: snapshot?.manifest.commitSeq ?? 0,
    });
    if (snapshot !== null) checkpoints.cut(snapshot, journal);
    const pointer = { epoch: journal.epoch, commit: number, seq: lastSeq, crc };
    const store = this.restored.store;
    if (taken !== null) checkpoints.finish(taken, pointer, { state, store });
    return pointer;
  }
}
