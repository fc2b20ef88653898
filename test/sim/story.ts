/**
 * What the simulated cluster is given to do: a pipeline that has one of everything that matters for delivery, events
 * for it, and the batch answer. The answer is computed over the events as over a table, and shares no code with lib/.
 *
 *   in.orders ─ dedupe ┐
 *                      ├─ left join by order ─┬─► pairs.{partition}              owned, framed
 *   in.payments ───────┘                      └─ by city, tumbling count ─► counts.{city}     shared, atomic batches
 *   in.orders ─────────────────────────────────► audit.{partition}              keyless, reads its source itself
 *   in.orders, as changes ─ by order ──────────► changed.{partition}            owned, framed, each row with its change
 *
 * Settings of time are what every pipeline has that sets none. Services fall silent for longer than `idleAfter`, one or
 * both, one for ever, and what they say after that may be older by nearly as much; still nothing may be late:
 *
 *   orders    ─●●●──●─●●────────────────●─●●●──●─────────────
 *   payments  ──●─●─●●●●──●─●●●─●●─●─●──────────────(late)●●●●─
 */
import type { Random } from '../../lib/base/random.ts';
import { count, pipeline, sum, tumbling } from '../../lib/index.ts';
import type { Headers } from '../../lib/port/log.ts';

export interface Order {
  readonly id: string;
  readonly order: string;
  readonly city: string;
  readonly amount: number;
  readonly at: number;
}

export interface Payment {
  readonly order: string;
  readonly no: number;
  readonly at: number;
}

export const START_MS = Date.UTC(2026, 0, 1);
const DISORDER_MS = 800;
const BEFORE_MS = 400;
const AFTER_MS = 1_200;
const WINDOW_MS = 1_500;
/** Length of a stretch in which a service speaks. */
const STRETCH_MS = 5_000;
/** What has never spoken is not waited for, so both speak soon. */
const FIRST_MAX_MS = 1_000;
const SILENCE_MIN_MS = 10_500;
const SILENCE_MAX_MS = 30_000;
/** Less than `idleAfter`. */
const BACKLOG_MAX_MS = 8_000;
/** Times as fast as it came about. */
const BACKLOG_SPEED = 20;

const CHANGES = ['insert', 'before', 'after', 'delete', 'insert', 'insert'] as const;

function changeOf({ amount }: Order) {
  return CHANGES[amount % CHANGES.length]!;
}

/** Another revision of it: with a filter that lets all pass, with one more output, which has what comes from then on. */
export interface Revision {
  readonly filters?: boolean;
  readonly copies?: boolean;
}

function written({ from }: Flow, { filters = false, copies = false }: Revision): void {
  const options = { time: 'at', maxOutOfOrder: DISORDER_MS } as const;
  const orders = from<Order>('in.orders', { name: 'orders', ...options });
  const payments = from<Payment>('in.payments', { name: 'payments', ...options });
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
  const audited = filters ? orders.filter(order => order.amount >= 0) : orders;
  audited.to('audit.{partition}');
  if (copies) audited.to('copies.{partition}');
  from<Order>('in.orders', { name: 'changes', change: changeOf, ...options })
    .keyBy('order', { name: 'changed-order' })
    .map(({ id }) => ({ id }))
    .to('changed.{partition}');
}

export const storyOf = (revision: Revision) => pipeline('story', flow => written(flow, revision), { partitions: 3 });

export const story = storyOf({});

type Flow = Parameters<Parameters<typeof pipeline>[1]>[0];

type Subject = 'in.orders' | 'in.payments';

export interface Sent {
  readonly subject: Subject;
  /** Null: a heartbeat, which is in the headers. */
  readonly value: Order | Payment | null;
  readonly headers?: Headers;
  /** Virtual ms after the start at which it is published. */
  readonly atMs: number;
}

export interface Events {
  readonly sent: readonly Sent[];
  /** Times that a service was silent for longer than `idleAfter` and spoke again. */
  readonly silences: number;
  /** Payments never say anything. */
  readonly isOneSided: boolean;
  /** The services say when they are done, rather than fall silent. */
  readonly isEnded: boolean;
}

const CITIES = ['Aarhus', 'Bergen', 'Cork'];

/** A service's working day: when it speaks, and how late it is with what it says at first after a silence. */
class Service {
  readonly silences: readonly { readonly fromMs: number; readonly toMs: number; readonly backlogMs: number }[];

  constructor(silences: Service['silences']) {
    this.silences = silences;
  }

  speaksAt(ms: number): boolean {
    return !this.silences.some(({ fromMs, toMs }) => ms >= fromMs && ms < toMs);
  }

  /** When it publishes what it would have published then; what has waited goes out fast, in the same order. */
  publishesAt(ms: number): number {
    let atMs = ms;
    for (const { toMs, backlogMs } of this.silences) {
      if (ms >= toMs) atMs = Math.max(atMs, toMs + backlogMs + (ms - toMs) / BACKLOG_SPEED);
    }
    return atMs;
  }
}

/** Two services and how long they have something to say: a few seconds, or with silences between. */
function services(random: Random): { orders: Service; payments: Service; lengthMs: number } {
  const orders: Service['silences'][number][] = [];
  const payments: Service['silences'][number][] = [];
  let lengthMs = STRETCH_MS;
  for (let n = random.chance(0.6) ? 1 + random.int(2) : 0; n > 0; n--) {
    const whose = random.pick([[orders], [payments], [orders, payments]]);
    const fromMs = lengthMs - random.int(STRETCH_MS - FIRST_MAX_MS);
    const toMs = fromMs + random.between(SILENCE_MIN_MS, SILENCE_MAX_MS);
    for (const silences of whose) {
      silences.push({ fromMs, toMs, backlogMs: random.chance(0.5) ? random.int(BACKLOG_MAX_MS) : 0 });
    }
    lengthMs = toMs + STRETCH_MS;
  }
  return { orders: new Service(orders), payments: new Service(payments), lengthMs };
}

/** Events of two services, some twice, all out of order. */
export function events(random: Random, orders: number): Events {
  const sent: (Sent & { order: number })[] = [];
  const day = services(random);
  const isOneSided = random.chance(0.1);
  const isEnded = random.chance(0.3);
  const put = (subject: Subject, value: Order | Payment) => {
    const service = subject === 'in.orders' ? day.orders : day.payments;
    const ms = value.at - START_MS;
    if (!service.speaksAt(ms) || (isOneSided && service === day.payments)) return;
    const atMs = service.publishesAt(ms + random.int(DISORDER_MS - 1));
    sent.push({ subject, value, atMs, order: random.next() });
  };
  put('in.payments', { order: 'o0', no: 0, at: START_MS + random.int(FIRST_MAX_MS) });
  for (let i = 0; i < orders; i++) {
    const at = START_MS + random.int(i === 0 ? FIRST_MAX_MS : day.lengthMs);
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
  if (isEnded) {
    const end = { value: null, headers: { 'Millrace-Complete': 'end' }, atMs: (sent.at(-1)?.atMs ?? 0) + 1, order: 0 };
    sent.push({ subject: 'in.orders', ...end }, { subject: 'in.payments', ...end });
  }
  const silences = day.orders.silences.length + day.payments.silences.length;
  return { sent, silences, isOneSided, isEnded };
}

export interface Answer {
  readonly pairs: string[];
  readonly counts: string[];
  /** In order. */
  readonly audit: string[];
  /** Sorted, each with the first letter of its change. */
  readonly changed: string[];
}

/** The batch answer. Rows as JSON texts; `pairs`, `counts` and `changed` sorted. */
export function answer(sent: readonly Sent[]): Answer {
  const orders = sent.filter(({ subject }) => subject === 'in.orders').flatMap(({ value }) => (value as Order) ?? []);
  const payments = sent
    .filter(({ subject }) => subject === 'in.payments')
    .flatMap(({ value }) => (value as Payment) ?? []);
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
    changed: orders.map(order => JSON.stringify({ id: order.id }) + changeOf(order)[0]).sort(),
  };
}
