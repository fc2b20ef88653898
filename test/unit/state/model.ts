/**
 * The naive model of a state, and the operations of the property tests: plain maps that are compared as a whole. It
 * shares no code with the state.
 */
import assert from 'node:assert/strict';
import type { TaskState } from '../../../lib/state/state.ts';
import type { ListTable, ValueTable, Wants } from '../../../lib/state/tables.ts';
import { stateOf } from './declared.ts';

export interface Row {
  n: number;
  text: string | null;
}

export type Op =
  | { kind: 'set'; table: ValueNumber; bucket: number; key: string; row: Row }
  | { kind: 'touch'; table: ValueNumber; bucket: number; key: string }
  | { kind: 'append'; bucket: number; key: string; row: Row }
  | { kind: 'replace'; bucket: number; key: string; index: number; row: Row }
  | { kind: 'delete'; table: TableNumber; bucket: number; key: string }
  | { kind: 'drop'; table: TableNumber; bucket: number }
  | { kind: 'sweep'; table: TableNumber; bucket: number };

/** 0 and 1 hold rows, 2 lists of them, 3 their numbers alone. */
type ValueNumber = 0 | 1 | 3;
type TableNumber = ValueNumber | 2;
type Content = Row | Row[] | number;
export type Model = Map<number, Map<string, Content>>[];

export interface Opened {
  readonly tables: readonly [ValueTable<Row>, ValueTable<Row>, ListTable<Row>, ValueTable<number>];
}

export function newState(): TaskState {
  return stateOf({
    ...{ 'first.rows': 'values', 'second.rows': 'values', 'first.items': 'lists', 'second.numbers': 'numbers' },
  });
}

export function open(state: TaskState): Opened {
  const first = state.tables('first');
  const second = state.tables('second');
  return { tables: [first.values('rows'), second.values('rows'), first.lists('items'), second.numbers('numbers')] };
}

export function newModel(): Model {
  return [new Map(), new Map(), new Map(), new Map()];
}

export function copyOf(model: Model): Model {
  return structuredClone(model);
}

/** What an operator's `want` would say of the operation. */
export function want({ tables }: Opened, wants: Wants, op: Op): void {
  if (op.kind === 'drop') return;
  const table = tables[op.kind === 'append' || op.kind === 'replace' ? 2 : op.table];
  if (op.kind === 'sweep') wants.bucket(table, op.bucket);
  else wants.key(table, op.bucket, op.key);
}

/** Does the operation to the state and to the model; what they read must be the same. */
export function execute({ tables }: Opened, model: Model, op: Op): void {
  const number = op.kind === 'append' || op.kind === 'replace' ? 2 : op.table;
  const table = tables[number];
  const bucket = model[number]!.get(op.bucket) ?? new Map<string, Content>();
  model[number]!.set(op.bucket, bucket);
  if (op.kind === 'drop') {
    table.drop(op.bucket);
    bucket.clear();
  } else if (op.kind === 'sweep') {
    const seen = new Map<string, Content>();
    for (const [key, content] of table.entries(op.bucket)) {
      seen.set(key, structuredClone(content) as Content);
      if (key < 'c') table.delete(op.bucket, key);
    }
    assert.deepEqual(sorted(seen), sorted(bucket));
    for (const key of bucket.keys()) if (key < 'c') bucket.delete(key);
  } else {
    assert.deepEqual(table.get(op.bucket, op.key), bucket.get(op.key), `${op.kind} ${op.bucket} ${op.key}`);
    executeOne(tables, bucket, op);
  }
  if (bucket.size === 0) model[number]!.delete(op.bucket);
}

function executeOne(
  [first, second, lists, numbers]: Opened['tables'],
  bucket: Map<string, Content>,
  op: Exclude<Op, { kind: 'drop' | 'sweep' }>,
): void {
  const { bucket: id, key } = op;
  if (op.kind === 'set' && op.table === 3) {
    numbers.set(id, key, op.row.n / 7);
    bucket.set(key, op.row.n / 7);
  } else if (op.kind === 'set') {
    (op.table === 0 ? first : second).set(id, key, { ...op.row });
    bucket.set(key, op.row);
  } else if (op.kind === 'touch' && op.table === 3) {
    const number = numbers.get(id, key);
    if (number === undefined) return;
    numbers.set(id, key, number + 1);
    bucket.set(key, (bucket.get(key) as number) + 1);
  } else if (op.kind === 'touch') {
    // Changed in place, then set: what an aggregate does.
    const table = op.table === 0 ? first : second;
    const row = table.get(id, key);
    if (row === undefined) return;
    row.n++;
    table.set(id, key, row);
    const before = bucket.get(key) as Row;
    bucket.set(key, { ...before, n: before.n + 1 });
  } else if (op.kind === 'append') {
    lists.append(id, key, { ...op.row });
    bucket.set(key, [...((bucket.get(key) as Row[]) ?? []), op.row]);
  } else if (op.kind === 'replace') {
    const before = bucket.get(key) as Row[] | undefined;
    if (before === undefined) return;
    const index = op.index % before.length;
    lists.replace(id, key, index, { ...op.row });
    bucket.set(key, before.with(index, op.row));
  } else {
    [first, second, lists, numbers][op.table]!.delete(id, key);
    bucket.delete(key);
  }
}

/** The state, all of it in memory, holds what the model holds. */
export function assertEqual({ tables }: Opened, model: Model): void {
  for (const [number, buckets] of model.entries()) {
    const table = tables[number as TableNumber];
    const ids = [...buckets.keys()].sort((left, right) => left - right);
    assert.deepEqual(table.bucketsBelow(Number.POSITIVE_INFINITY), ids, `buckets of table ${number}`);
    for (const id of ids) assert.deepEqual(sorted(table.entries(id)), sorted(buckets.get(id)!), `bucket ${id}`);
  }
}

export function entriesOf(model: Model): number {
  let entries = 0;
  for (const buckets of model) for (const bucket of buckets.values()) entries += bucket.size;
  return entries;
}

function sorted(entries: Iterable<[string, unknown]>): [string, unknown][] {
  return [...entries].sort(([left], [right]) => (left < right ? -1 : 1));
}
