/**
 * A stage's state, cut anew: from the snapshots of all its tasks, those of another number of tasks. Key groups stay what
 * they are and go where their new ranges are (`base/hash.ts`), and with each its entries, wherever a table's keys have the
 * record's key (`state/entry-key.ts`). Pure: segments in, segments out; who reads and writes blobs calls this. Positions and
 * what is still to be sent are no part of it: they are of subjects, and those are named by partitions.
 *
 * Exactly once rests on three things:
 * - *by groups*: an entry is in the one task whose range has its key's group, which is where the key's next record goes.
 * - *merged whole*: an old task's snapshot is merged before it is handed on, so that deletions and clears have done their work
 *   on the entries of their own task, and no segment of a new one says anything of another's: puts alone, each key once.
 * - *one moment*: what has fired is known by the watermark alone, nearly everywhere (a join's records, windows from
 *   panes, marks that were dropped). So tasks that become one must be at one watermark, and at one that is under way. What
 *   of the latter is out already is in the entries, key by key; what a task says of all its keys goes on saying it of the
 *   same groups.
 *
 * Local stores are not cut, and have no order by groups: they are caches, and the disk's order by table and bucket is what
 * eviction and the dropping of windows live on. An order by groups would save nothing either: a cut reads every segment of
 * an old task once for each new one that has some of its groups, and most new tasks share groups with one or two.
 */
import { MillraceError } from '../base/errors.ts';
import { KEY_GROUPS, keyGroupsOf } from '../base/hash.ts';
import { isEmpty } from '../journal/outbox.ts';
import { Place, type PlaceParts } from '../replica/place.ts';
import { type GroupRange, keyGroupOfEntry, narrowTaskEntry } from '../state/entry-key.ts';
import { entryKey, keyOf, parsePrefix } from '../state/layout.ts';
import type { SegmentOrPause } from '../state/segment.ts';
import { type KeyFor, mergeSegments } from '../state/snapshot.ts';
import type { TableSpec } from '../state/tables.ts';

/** The snapshot of one task: see `replica/snapshots.ts`. */
export interface TaskSnapshot {
  readonly place: PlaceParts;
  /** Newest first. Asked for once by each new task that has some of its groups. */
  segments(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** A task as it begins after the cut. */
export interface CutTask {
  readonly partition: number;
  /** See `Commit`. */
  readonly watermarkMs: number;
  readonly dueMs: number;
  /**
   * Its state, one run, in any order: each key is in it once, and nothing but puts. Reads a segment at a time, and holds the
   * keys that it has seen. Null: nothing yet, and whoever has others to serve lets them have their turn. Throws
   * JOURNAL_CORRUPT, and PLAN_INCOMPATIBLE for a table that is not declared.
   */
  segments(): AsyncGenerator<SegmentOrPause>;
}

/** A task as it was. */
interface OldTask {
  readonly snapshot: TaskSnapshot;
  readonly place: Place;
}

interface Part {
  readonly task: OldTask;
  /** The groups of both. */
  readonly groups: GroupRange;
}

/**
 * The stage's tasks for another number of partitions.
 * @param tables of the stage's program (`tablesOf`)
 * @param tasks the snapshots of all tasks, by partition
 * @throws MillraceError INVALID_ARGUMENT for snapshots that cannot be cut as they are
 */
export function cutStage(options: {
  readonly tables: readonly TableSpec[];
  readonly tasks: readonly TaskSnapshot[];
  readonly partitions: number;
}): readonly CutTask[] {
  const { partitions } = options;
  const tasks = options.tasks.map(snapshot => ({ snapshot, place: Place.fromParts(snapshot.place) }));
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > KEY_GROUPS || tasks.length === 0) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `a stage of ${tasks.length} tasks cannot be cut into ${partitions}: give a whole number from 1 to ${KEY_GROUPS}, and the snapshots of all tasks`,
    );
  }
  tasks.forEach(checkSent);
  const tables = new Map(options.tables.map(table => [table.name, table]));
  return Array.from({ length: partitions }, (_, partition) => {
    const groups = keyGroupsOf(partition, partitions);
    const parts = partsOf(tasks, groups);
    const { watermarkMs, dueMs } = momentOf(partition, parts);
    return { partition, watermarkMs, dueMs, segments: () => segmentsOf(parts, tables) };
  });
}

function partsOf(tasks: readonly OldTask[], groups: GroupRange): Part[] {
  return tasks.flatMap((task, partition) => {
    const old = keyGroupsOf(partition, tasks.length);
    const both = { from: Math.max(old.from, groups.from), to: Math.min(old.to, groups.to) };
    return both.from < both.to ? [{ task, groups: both }] : [];
  });
}

async function* segmentsOf(
  parts: readonly Part[],
  tables: ReadonlyMap<string, TableSpec>,
): AsyncGenerator<SegmentOrPause> {
  for (const { task, groups } of parts) {
    yield* mergeSegments(task.snapshot.segments(), { isWhole: true, keyFor: keyIn(groups, tables) });
  }
}

/** What an entry of an old task is called in a new one that has these of its groups. */
function keyIn(groups: GroupRange, tables: ReadonlyMap<string, TableSpec>): KeyFor {
  let known = '';
  let spec: TableSpec | null = null;
  return (key, prefixLength) => {
    const prefix = key.toString('latin1', 0, prefixLength);
    // Entries of a bucket mostly come together.
    if (spec === null || prefix !== known) {
      spec = tableOf(tables, parsePrefix(key.subarray(0, prefixLength)).table);
      known = prefix;
    }
    const name = keyOf(key.subarray(prefixLength));
    const group = keyGroupOfEntry(spec, name);
    if (group !== null) return group >= groups.from && group < groups.to ? key : null;
    const narrowed = narrowTaskEntry(name, groups);
    return narrowed === null ? null : entryKey(key.subarray(0, prefixLength), narrowed);
  };
}

function tableOf(tables: ReadonlyMap<string, TableSpec>, name: string): TableSpec {
  const table = tables.get(name);
  if (table !== undefined) return table;
  throw new MillraceError(
    'PLAN_INCOMPATIBLE',
    `the state to cut has a table '${name}' that no operator of this pipeline has: cut it with the revision that has run`,
  );
}

/** What is still to be sent would be lost or doubled: a chain's rows are of the task that made them. */
function checkSent({ place }: OldTask, partition: number): void {
  const waiting = place.unsent.find(({ outbox }) => !isEmpty(outbox));
  if (waiting === undefined) return;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `the snapshot of task ${partition} has results that are not sent yet (commit ${waiting.commit}): pause the pipeline, wait until all is sent, and take another`,
  );
}

/** The one moment that the tasks which become this one are at. */
function momentOf(partition: number, parts: readonly Part[]): Pick<CutTask, 'watermarkMs' | 'dueMs'> {
  const [{ watermarkMs, dueMs }, ...others] = parts.map(({ task }) => task.place) as [Place, ...Place[]];
  const other = others.find(place => place.watermarkMs !== watermarkMs || place.dueMs !== dueMs);
  if (other === undefined) return { watermarkMs, dueMs };
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `the tasks that become task ${partition} are not at one watermark: ${watermarkMs} (under way: ${dueMs}) and ${other.watermarkMs} (under way: ${other.dueMs}). Pause the pipeline's sources, wait until all tasks have read what was routed to them, and take other snapshots`,
  );
}
