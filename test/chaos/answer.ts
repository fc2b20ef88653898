/**
 * The batch answer to `story.ts`, computed as over tables from what the input streams hold in the end, so that it does not
 * matter what a service sent twice because it did not hear that it was stored. Shares no code with lib/.
 */

/** In the order in which the stream has them. */
export interface Order {
  readonly id: string;
  readonly order: string;
  readonly city: string;
  readonly amount: number;
  readonly at: number;
  readonly beat?: boolean;
}

export interface Payment {
  readonly order: string;
  readonly no: number;
  readonly at: number;
  readonly beat?: boolean;
}

export const COUNTRIES: Readonly<Record<string, string>> = { Aarhus: 'Denmark', Bergen: 'Norway', Cork: 'Ireland' };
/** Every output, each a stream of this name. */
export const OUTPUTS = ['unique', 'paid', 'unpaid', 'sums', 'audit'] as const;
export type OutputName = (typeof OUTPUTS)[number];

const BEFORE_MS = 400;
const AFTER_MS = 1_200;
const WINDOW_MS = 2_000;
const DISORDER_MS = 1_000;

/** Rows as JSON texts. `audit` is in order, and so are the rows of `unique` that have one `order`. */
export function answerOf(sent: {
  orders: readonly Order[];
  payments: readonly Payment[];
}): Record<OutputName, string[]> {
  const orders = sent.orders.filter(({ beat }) => beat !== true);
  const payments = new Map<string, Payment[]>();
  for (const payment of sent.payments) {
    if (payment.beat === true) continue;
    const known = payments.get(payment.order);
    if (known === undefined) payments.set(payment.order, [payment]);
    else known.push(payment);
  }
  const firsts = new Map<string, Order>();
  for (const order of orders) if (!firsts.has(order.id)) firsts.set(order.id, order);
  const unique = [...firsts.values()];
  const joined = unique.flatMap(order => {
    const { id, city, amount, at } = order;
    const row = (no: number | null) => ({ id, city, amount, no, country: COUNTRIES[city]! });
    const matches = (payments.get(order.order) ?? []).filter(
      payment => payment.at >= at - BEFORE_MS && payment.at <= at + AFTER_MS,
    );
    if (matches.length === 0) return [{ row: row(null), at }];
    return matches.map(payment => ({ row: row(payment.no), at: Math.max(at, payment.at) }));
  });
  const windows = new Map<string, { city: string; start: number; end: number; rows: number; amount: number }>();
  for (const { row, at } of joined) {
    const start = Math.floor(at / WINDOW_MS) * WINDOW_MS;
    const key = `${row.city} ${start}`;
    const { city } = row;
    const window = windows.get(key) ?? { city, start, end: start + WINDOW_MS, rows: 0, amount: 0 };
    windows.set(key, { ...window, rows: window.rows + 1, amount: window.amount + row.amount });
  }
  const paid = joined.map(({ row }) => row);
  return {
    unique: unique.map(order => JSON.stringify(order)),
    paid: paid.map(row => JSON.stringify(row)),
    unpaid: paid.filter(({ no }) => no === null).map(row => JSON.stringify(row)),
    sums: Array.from(windows.values(), window => JSON.stringify(window)),
    audit: orders.map(order => JSON.stringify(order)),
  };
}

/**
 * By how much an input breaks what `story.ts` declares of it, ms; 0: it does not. Then wrong rows are the load's fault. Event
 * time goes no further than the broker's clock, so what comes from a clock that is ahead makes nobody late.
 */
export function excessDisorderMs(events: readonly { readonly at: number; readonly storedMs: number }[]): number {
  let latestMs = Number.NEGATIVE_INFINITY;
  let excessMs = 0;
  for (const { at, storedMs } of events) {
    excessMs = Math.max(excessMs, latestMs - DISORDER_MS - at);
    latestMs = Math.max(latestMs, Math.min(at, storedMs));
  }
  return excessMs;
}
