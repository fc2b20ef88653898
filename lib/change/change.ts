/**
 * Changes: what a record does to the table that its stream is a changelog of. Pure.
 *
 *   insert   a row is there now                                   adds         +1
 *   before   first half of an update: the row as it was            takes back   −1
 *   after    second half of an update: the row as it is now        adds         +1
 *   delete   a row is there no more; the value is what it was      takes back   −1
 *
 * Debezium's envelopes and Flink's RowKind mean the same. The halves of an update are two records, so that each goes its own
 * way: where a filter lets only one of them pass, or they have different keys, what is left is a delete or an insert by its
 * effect, and the table behind is right. Therefore `before` takes its row away wherever nothing follows.
 *
 * Most streams have inserts alone. On the data path a change is a small number and `INSERT` is 0; where all records of a
 * frame or block are inserts, nothing is written for it.
 */

/** `INSERT`, `BEFORE`, `AFTER` or `DELETE`. */
export type Change = 0 | 1 | 2 | 3;

export const INSERT = 0 as const;
export const BEFORE = 1 as const;
export const AFTER = 2 as const;
export const DELETE = 3 as const;

/** A change as people write it, and as headers say it. */
export type ChangeWord = 'insert' | 'before' | 'after' | 'delete';

/** By number. */
export const CHANGE_WORDS: readonly ChangeWord[] = ['insert', 'before', 'after', 'delete'];

/** Null: it is no word for one. */
export function changeOf(word: unknown): Change | null {
  const change = CHANGE_WORDS.indexOf(word as ChangeWord);
  return change < 0 ? null : (change as Change);
}

export function wordOf(change: Change): ChangeWord {
  return CHANGE_WORDS[change]!;
}

/** Whether a byte that was read is one. */
export function isChange(byte: number): byte is Change {
  return byte <= DELETE;
}

/** `insert` and `after` add, the others take back. */
export function adds(change: Change): boolean {
  return change === INSERT || change === AFTER;
}

/** +1 or −1: by it whatever can be added up counts the record. */
export function signOf(change: Change): 1 | -1 {
  return adds(change) ? 1 : -1;
}

/** What undoes it: of the two halves of an update each undoes the other. */
export function oppositeOf(change: Change): Change {
  return (DELETE - change) as Change;
}

/** One record of a changelog. */
export interface Changed<V> {
  readonly change: Change;
  readonly value: V;
}

/**
 * Brings a table of rows by key to where it is after the record. A row that comes again is replaced, so a stream of
 * `after`s alone, or of inserts, is an upsert; one that is taken back and not there leaves all as it is.
 */
export function fold<K, V>(table: Map<K, V>, key: K, { change, value }: Changed<V>): void {
  if (adds(change)) table.set(key, value);
  else table.delete(key);
}

/**
 * What successive changes of one key come to: nothing, a delete, an insert, or both halves of an update. Folded into a
 * table they do what all of them do, if the first of them says what was there: it takes the row back that there was, or it
 * adds one where there was none. Of what was added and taken back meanwhile nothing is left.
 */
export function settled<V>(changes: readonly Changed<V>[]): Changed<V>[] {
  const first = changes[0];
  const last = changes.at(-1);
  if (first === undefined || last === undefined) return [];
  const was = !adds(first.change);
  const is = adds(last.change);
  const rows: Changed<V>[] = [];
  if (was) rows.push({ change: is ? BEFORE : DELETE, value: first.value });
  if (is) rows.push({ change: was ? AFTER : INSERT, value: last.value });
  return rows;
}
