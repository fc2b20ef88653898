/**
 * The sessions of a key. A key may have very many, as when one source is far behind the others and nothing closes; so they
 * are a list table's items, of which only those that change are journaled, and are found by binary search.
 *
 * An entry: first the time of the timer that is armed for the key, then its sessions in the order in which they began to be;
 * null stands for one that is gone, until half of a list is. Their order in time is derived, and made again when a list is
 * read back.
 */
import type { ListTable, Tables } from '../state/tables.ts';
import type { Row } from './fold.ts';

/** First and last event time, and the accumulators; null: it has closed. */
export interface Session {
  s: number;
  e: number;
  a: Row | null;
}

export type SessionItem = number | Session | null;

const NONE: readonly number[] = [];
/** The order of one session, by far the most common. */
const ONE: readonly number[] = [1];
/** So many that are gone are left in any list. */
const GONE_FEW = 8;
/** All sessions are in one bucket. */
const ALL = 0;

/** The sessions of the key that was opened last, more than the gap apart. */
export class SessionList {
  readonly table: ListTable<SessionItem>;
  /** The places in a list of those that are not gone, in the order of time. */
  readonly #orders = new WeakMap<readonly SessionItem[], number[]>();
  #key = '';
  #list: readonly SessionItem[] | undefined;
  #order: readonly number[] = NONE;

  constructor(tables: Tables) {
    this.table = tables.lists<SessionItem>('sessions');
  }

  /** @param key null: it has none */
  open(key: string | null): this {
    this.#key = key ?? '';
    const list = key === null ? undefined : this.table.get(ALL, key);
    this.#list = list;
    if (list === undefined) this.#order = NONE;
    else if (list.length === 2 && list[1] !== null) this.#order = ONE;
    else this.#order = this.#orders.get(list) ?? this.#ordered(list);
    return this;
  }

  get count(): number {
    return this.#order.length;
  }

  /** When the key's timer is due; Infinity: none is armed. */
  get dueMs(): number {
    return this.#list === undefined ? Number.POSITIVE_INFINITY : (this.#list[0] as number);
  }

  at(index: number): Session {
    return this.#list![this.#order[index]!] as Session;
  }

  /** The first that ends at the moment or later. */
  firstEndingFrom(timeMs: number): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle).e < timeMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** It was changed in place. */
  changed(index: number): void {
    this.table.replace(ALL, this.#key, this.#order[index]!, this.at(index));
  }

  /** Puts one in the place of those from `from` on, before `to`. */
  put({ from, to }: { from: number; to: number }, session: Session): void {
    const { table } = this;
    if (this.#list === undefined) table.append(ALL, this.#key, Number.POSITIVE_INFINITY);
    const order = this.#ownOrder();
    if (from === to) {
      order.splice(from, 0, this.#list?.length ?? 1);
      table.append(ALL, this.#key, session);
    } else {
      table.replace(ALL, this.#key, order[from]!, session);
      for (const gone of order.splice(from + 1, to - from - 1)) table.replace(ALL, this.#key, gone, null);
    }
    this.#keep(order);
  }

  arm(dueMs: number): void {
    this.table.replace(ALL, this.#key, 0, dueMs);
  }

  /** The first so many are gone. */
  forget(count: number): void {
    if (count === 0) return;
    if (count === this.count) {
      this.table.delete(ALL, this.#key);
      this.open(null);
      return;
    }
    for (let i = 0; i < count; i++) this.table.replace(ALL, this.#key, this.#order[i]!, null);
    const order = this.#ownOrder();
    order.splice(0, count);
    this.#keep(order);
  }

  /** One that may be changed. */
  #ownOrder(): number[] {
    const order = this.#order;
    return order === NONE || order === ONE ? [...order] : (order as number[]);
  }

  #keep(order: number[]): void {
    const { table } = this;
    const key = this.#key;
    let list = table.get(ALL, key)!;
    let kept = order;
    if (list.length - 1 - order.length > order.length + GONE_FEW) {
      const items = [list[0]!, ...order.map(place => list[place]!)];
      table.delete(ALL, key);
      for (const item of items) table.append(ALL, key, item);
      list = table.get(ALL, key)!;
      kept = order.map((_place, i) => i + 1);
    }
    this.#list = list;
    this.#order = kept;
    this.#orders.set(list, kept);
  }

  #ordered(list: readonly SessionItem[]): number[] {
    const order: number[] = [];
    for (let place = 1; place < list.length; place++) if (list[place] !== null) order.push(place);
    order.sort((left, right) => (list[left] as Session).s - (list[right] as Session).s);
    this.#orders.set(list, order);
    return order;
  }
}
