/**
 * Reading the state of a running pipeline, for people: finds the tasks that have it, has each read between two of its
 * batches, and shows entries as `operator/shown.ts` says. A page is at most 1,000 entries and is read in turns, so no task
 * waits long for it. Entries that come or go while somebody pages through a table may be in or not; what stays is in
 * exactly once.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { isStateful } from '../operator/run.ts';
import { keptKeys, showEntry } from '../operator/shown.ts';
import type { StatefulSpec } from '../operator/spec.ts';
import type { Store } from '../port/store.ts';
import type { Key } from '../record/key.ts';
import type { Picked, Place, SeenEntry, StateLook } from '../state/look.ts';
import type { Plan } from '../topology/plan.ts';
import type { EntryView, Page, ScanOptions, StateReader, TableView } from './views.ts';

const PAGE_MAX = 1_000;

/** What is asked of a task. `look` throws WORKER_UNAVAILABLE while the task does not run. */
export interface LookedAt {
  readonly stage: string;
  readonly partition: number;
  readonly processor: { readonly state: { readonly look: StateLook } };
  look<T>(read: (look: StateLook, store: Store) => Promise<T>): Promise<T>;
}

/** Where a scan goes on. `at` null: at the partition's beginning. */
interface ScanPlace {
  readonly partition: number;
  readonly at: Place | null;
}

interface Owner {
  readonly stage: string;
  readonly spec: StatefulSpec;
}

export class PipelineStateReader implements StateReader {
  readonly #plan: Plan;
  readonly #clock: Clock;
  readonly #tasks: () => readonly LookedAt[];

  constructor(options: { plan: Plan; clock: Clock; tasks: () => readonly LookedAt[] }) {
    this.#plan = options.plan;
    this.#clock = options.clock;
    this.#tasks = options.tasks;
  }

  /** By operator and table. */
  async tables(): Promise<readonly TableView[]> {
    const sums = new Map<string, { stage: string; entries: number; bytes: number }>();
    for (const task of this.#tasks()) {
      for (const { name, entries, bytes } of task.processor.state.look.sizes()) {
        const sum = sums.get(name) ?? { stage: task.stage, entries: 0, bytes: 0 };
        sums.set(name, { stage: task.stage, entries: sum.entries + entries, bytes: sum.bytes + bytes });
      }
    }
    return [...sums.keys()].sort().map(name => ({ ...namesOf(name), ...sums.get(name)! }));
  }

  /** All that `operator` remembers of `key`. Throws NOT_FOUND, WORKER_UNAVAILABLE, RECORD_KEY. */
  async get(options: { operator: string; key: Key }): Promise<readonly EntryView[]> {
    const { operator, key } = options;
    const owner = this.#ownerOf(operator);
    const keys = keptKeys(owner.spec, key);
    const entries: EntryView[] = [];
    for (const task of this.#tasksOf(owner)) {
      const found = await task.look(async (look, store) => {
        const seen: EntryView[] = [];
        for (const table of tablesOf(look, operator)) {
          for (const entry of await look.find(store, { table, keys })) seen.push(shown(owner, task.partition, entry));
        }
        return seen;
      });
      entries.push(...found);
    }
    return entries;
  }

  /** Throws NOT_FOUND, INVALID_ARGUMENT (a page token that is not ours), WORKER_UNAVAILABLE. */
  async scan(options: ScanOptions): Promise<Page<EntryView>> {
    const { operator, partition } = options;
    const owner = this.#ownerOf(operator);
    const pageSize = Math.min(PAGE_MAX, Math.max(1, options.pageSize));
    const items: EntryView[] = [];
    let place: ScanPlace | null =
      options.pageToken === null ? { partition: 0, at: null } : readToken(options.pageToken, operator);
    for (const task of this.#tasksOf(owner)) {
      if (task.partition < place.partition || (partition !== null && task.partition !== partition)) continue;
      if (task.partition > place.partition) place = { partition: task.partition, at: null };
      const names = tablesOf(task.processor.state.look, operator);
      const tables = options.table === null ? names : names.filter(name => namesOf(name).table === options.table);
      if (tables.length === 0) throw this.#noTable(operator, options.table, names);
      const next: Place | null = await this.#scanTask(task, { owner, tables, place, pageSize, items });
      if (next === null) continue;
      return { items, nextPageToken: writeToken({ partition: task.partition, at: next }) };
    }
    return { items, nextPageToken: null };
  }

  /** Adds to `items` until the page is full. Returns where to go on in this task; null: nothing is left of it. */
  async #scanTask(
    task: LookedAt,
    options: { owner: Owner; tables: readonly string[]; place: ScanPlace; pageSize: number; items: EntryView[] },
  ): Promise<Place | null> {
    const { owner, tables, place, pageSize, items } = options;
    let from: Place | null = place.at ?? { table: tables[0]!, bucket: Number.NEGATIVE_INFINITY, after: null };
    let picked: Picked | null = null;
    while (from !== null) {
      const limit = pageSize - items.length;
      if (limit === 0) return from;
      const start: Place = from;
      const page = await task.look(async (look, store) => {
        const { entries, ...rest } = await look.page(store, { tables, from: start, limit, picked });
        return { ...rest, entries: entries.map(entry => shown(owner, task.partition, entry)) };
      });
      items.push(...page.entries);
      from = page.next;
      const { look } = task.processor.state;
      // The next turn is not to come before everybody else's.
      if (from !== null) await this.#pause();
      picked = page.mustPick && from !== null ? await look.pickKeys(from, pageSize, () => this.#pause()) : null;
    }
    return null;
  }

  #pause(): Promise<void> {
    return new Promise(resolve => this.#clock.soon(resolve));
  }

  #ownerOf(operator: string): Owner {
    const stateful: string[] = [];
    for (const stage of this.#plan.stages) {
      for (const { name, spec } of stage.program.nodes) {
        if (!isStateful(spec)) continue;
        if (name === operator) return { stage: stage.name, spec };
        stateful.push(name);
      }
    }
    const there = stateful.length === 0 ? 'none of its operators does' : `those that do: ${stateful.join(', ')}`;
    const text = `pipeline ${this.#plan.pipeline} has no operator ${operator} that keeps state; ${there}`;
    throw new MillraceError('NOT_FOUND', text);
  }

  #noTable(operator: string, table: string | null, names: readonly string[]): MillraceError {
    const there = names.map(name => namesOf(name).table).join(', ');
    return new MillraceError('NOT_FOUND', `operator ${operator} has no table ${table}; its tables are: ${there}`);
  }

  #tasksOf({ stage }: Owner): LookedAt[] {
    const tasks = this.#tasks().filter(task => task.stage === stage);
    return tasks.sort((a, b) => a.partition - b.partition);
  }
}

function shown({ spec }: Owner, partition: number, entry: SeenEntry): EntryView {
  const { bucket, key, content } = entry;
  const { operator, table } = namesOf(entry.table);
  return { operator, table, partition, bucket, ...showEntry(spec, { table, bucket, key, content }) };
}

/** An operator's name is one token. */
function namesOf(name: string): { operator: string; table: string } {
  const dot = name.indexOf('.');
  return { operator: name.slice(0, dot), table: name.slice(dot + 1) };
}

function tablesOf(look: StateLook, operator: string): string[] {
  const names = look.sizes().map(({ name }) => name);
  return names.filter(name => namesOf(name).operator === operator).sort();
}

function writeToken({ partition, at }: ScanPlace): string {
  const bucket = at === null || at.bucket === Number.NEGATIVE_INFINITY ? null : at.bucket;
  return Buffer.from(JSON.stringify([partition, at?.table ?? null, bucket, at?.after ?? null])).toString('base64url');
}

function readToken(token: string, operator: string): ScanPlace {
  try {
    const [partition, table, bucket, after] = JSON.parse(Buffer.from(token, 'base64url').toString()) as unknown[];
    const isKey = after === null || typeof after === 'string';
    const isBucket = bucket === null || Number.isSafeInteger(bucket);
    if (Number.isSafeInteger(partition) && typeof table === 'string' && isBucket && isKey) {
      if (namesOf(table).operator === operator) {
        const at = { table, bucket: (bucket as number | null) ?? Number.NEGATIVE_INFINITY, after };
        return { partition: partition as number, at };
      }
    }
  } catch {
    // Told below, as all that is not ours.
  }
  throw new MillraceError('INVALID_ARGUMENT', `the page token is not from a scan of ${operator}; begin without one`);
}
