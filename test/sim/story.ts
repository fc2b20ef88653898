/**
 * What the simulated cluster is given to do: a pipeline that has one of everything that matters for delivery, events
 * for it, and the batch answer. The answer is computed over the events as over a table, and shares no code with lib/.
 *
 *   in.orders ─ dedupe ┐
 *                      ├─ left join by order ─┬─► pairs.{partition}              owned, framed
 *   in.payments ───────┘                      └─ by city, tumbling count ─► counts.{city}     shared, atomic batches
 *   in.orders ─────────────────────────────────► audit.{partition}              keyless, reads its source itself
 */
import type { Random } from '../../lib/base/random.ts';
import { count, pipeline, sum, tumbling } from '../../lib/index.ts';

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

export const START_MS = Date.UTC(2026, 0, 1);
const DISORDER_MS = 800;
const BEFORE_MS = 400;
const AFTER_MS = 1_200;
const WINDOW_MS = 1_500;
const LENGTH_MS = 5_000;

export const story = pipeline(
  'story',
  ({ from }) => {
    const options = { time: 'at', maxOutOfOrder: DISORDER_MS, idleAfter: '1h', maxFuture: '365d' } as const;
    const orders = from<Order>('in.orders', { name: 'orders', ...options }).filter(order => order.beat !== true);
    const payments = from<Payment>('in.payments', { name: 'payments', ...options }).filter(
      payment => payment.beat !== true,
    );
    const paid = orders
      .dedupe({ id: order => order.id, within: '30s' })
      .keyBy('order')
      .leftJoin(payments.keyBy('order'), { within: { before: BEFORE_MS, after: AFTER_MS } }, (order, payment) => ({
        id: order.id,
        city: order.city,
        amount: order.amount,
        no: payment?.no ?? null,
      }));
    paid.to('pairs.{partition}');
    paid
      .keyBy('city')
      .window(tumbling(WINDOW_MS))
      .aggregate({ rows: count(), amount: sum(row => row.amount) })
      .to('counts.{city}');
    orders.to('audit.{partition}');
  },
  { partitions: 3 },
);

export interface Sent {
  readonly subject: 'in.orders' | 'in.payments';
  readonly value: Order | Payment;
  /** Virtual ms after the start at which it is published. */
  readonly atMs: number;
}

const CITIES = ['Aarhus', 'Bergen', 'Cork'];

/** Events of two services over a few seconds of event time, some twice, all out of order; then heartbeats that close everything. */
export function events(random: Random, orders: number): Sent[] {
  const sent: (Sent & { order: number })[] = [];
  const put = (subject: Sent['subject'], value: Order | Payment) => {
    const delayMs = random.int(DISORDER_MS - 1);
    sent.push({ subject, value, atMs: value.at - START_MS + delayMs, order: random.next() });
  };
  for (let i = 0; i < orders; i++) {
    const at = START_MS + random.int(LENGTH_MS);
    const order = `o${random.int(orders)}`;
    const value = { id: `e${i}`, order, city: random.pick(CITIES), amount: random.int(100), at };
    put('in.orders', value);
    if (random.chance(0.3)) put('in.orders', value);
    for (let n = random.int(3); n > 0; n--) {
      put('in.payments', { order, no: random.int(1_000_000), at: Math.max(START_MS, at - 800 + random.int(2_800)) });
    }
  }
  sent.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
  // No two at one moment, so that the stream has them in the order of this list.
  sent.forEach((event, i) => {
    sent[i] = { ...event, atMs: Math.max(event.atMs, (sent[i - 1]?.atMs ?? 0) + 0.01) };
  });
  const endMs = (sent.at(-1)?.atMs ?? 0) + 10_000;
  const beat = { beat: true, at: START_MS + endMs };
  sent.push({
    subject: 'in.orders',
    value: { id: '', order: '', city: '', amount: 0, ...beat },
    atMs: endMs,
    order: 0,
  });
  sent.push({ subject: 'in.payments', value: { order: '', no: 0, ...beat }, atMs: endMs, order: 0 });
  return sent;
}

export interface Answer {
  readonly pairs: string[];
  readonly counts: string[];
  /** In order. */
  readonly audit: string[];
}

/** The batch answer. Rows as JSON texts; `pairs` and `counts` sorted. */
export function answer(sent: readonly Sent[]): Answer {
  const real = sent.filter(({ value }) => value.beat !== true);
  const orders = real.filter(({ subject }) => subject === 'in.orders').map(({ value }) => value as Order);
  const payments = real.filter(({ subject }) => subject === 'in.payments').map(({ value }) => value as Payment);
  const once = [...new Map(orders.map(order => [order.id, order])).values()];
  const joined = once.flatMap(order => {
    const matches = payments.filter(
      payment =>
        payment.order === order.order && payment.at >= order.at - BEFORE_MS && payment.at <= order.at + AFTER_MS,
    );
    const row = { id: order.id, city: order.city, amount: order.amount };
    if (matches.length === 0) return [{ row: { ...row, no: null as number | null }, at: order.at }];
    return matches.map(payment => ({
      row: { ...row, no: payment.no as number | null },
      at: Math.max(order.at, payment.at),
    }));
  });
  const windows = new Map<string, { city: string; start: number; end: number; rows: number; amount: number }>();
  for (const { row, at } of joined) {
    const start = Math.floor(at / WINDOW_MS) * WINDOW_MS;
    const key = `${row.city}@${start}`;
    const before = windows.get(key) ?? { city: row.city, start, end: start + WINDOW_MS, rows: 0, amount: 0 };
    windows.set(key, { ...before, rows: before.rows + 1, amount: before.amount + row.amount });
  }
  return {
    pairs: joined.map(({ row }) => JSON.stringify(row)).sort(),
    counts: Array.from(windows.values(), window => JSON.stringify(window)).sort(),
    audit: orders.map(order => JSON.stringify(order)),
  };
}
