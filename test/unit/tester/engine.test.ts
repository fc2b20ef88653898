/**
 * The driver and the engine, told the same: a pipeline with one of everything runs on the memory broker and on the
 * simulated clock, each message a while after the one before, and in the driver. Rows, late records and dead letters are
 * the same, as sets: in which order two tasks send, nobody promises.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { count, pipeline, session, sum, tumbling } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { noMeter } from '../../../lib/observe/meter.ts';
import { type PipelineDriver, testPipeline } from '../../../lib/testing.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { lettersOf } from '../../rig/letters.ts';

interface Order {
  readonly id: string;
  readonly customer: string;
  readonly item: string;
  readonly amount: number;
  readonly at: number;
}

interface Payment {
  readonly customer: string;
  readonly no: number;
  readonly at: number;
}

const everything = pipeline(
  'everything',
  ({ from, table }) => {
    const options = { time: 'at', maxOutOfOrder: '20s', idleAfter: '10m', maxFuture: '1d' } as const;
    const orders = from<Order>('in.orders', options);
    const payments = from<Payment>('in.payments', options);
    const items = table<{ price: number }>('items');
    const accepted = orders.dedupe({ id: order => order.id, within: '5m' }).keyBy('customer');
    const paid = accepted.leftJoin(
      payments.keyBy('customer'),
      { within: { before: '30s', after: '1m' }, grace: '10s' },
      (order, payment) => ({ ...order, no: payment?.no ?? null }),
    );
    paid.to('out.paid.{partition}');
    paid
      .keyBy('item', { name: 'paid-by-item' })
      .window(tumbling('1m'), { grace: '5s' })
      .aggregate({ orders: count(), amount: sum(row => row.amount) })
      .to('out.items.{item}');
    accepted.window(session('40s')).aggregate({ orders: count() }).to('out.sessions.{customer}');
    orders
      .map(order => {
        if (order.amount === 13) throw new Error('thirteen');
        return order;
      })
      .keyBy('item')
      .join(items, (order, item) => ({ id: order.id, item: order.item, price: item.price * order.amount }))
      .to('out.priced.{item}');
    payments
      .keyBy('customer', { name: 'payments-by-customer' })
      .process<number, { customer: unknown; payments: number }>({
        onRecord(payment, context, timeMs) {
          if (payment.no === 13) throw new Error('thirteen');
          context.state = (context.state ?? 0) + 1;
          context.setTimer('quiet', timeMs + 90_000);
        },
        onTimer(name, context, timeMs) {
          context.emit({ customer: context.key, payments: name === 'quiet' ? (context.state ?? 0) : -1 });
          context.state = undefined;
          if (name === 'quiet') context.setTimer('later', timeMs + 45_000);
        },
      })
      .to('out.quiet.{partition}');
    payments.filter(({ no }) => no % 2 === 0).to('out.even');
  },
  { partitions: 3 },
);

type Act =
  | { readonly kind: 'push'; readonly subject: string; readonly text: string }
  | { readonly kind: 'put'; readonly item: string; readonly text: string | null };

const START_MS = Date.UTC(2026, 0, 1);
/** Between two messages; long enough for the engine to come to rest. */
const STEP_MS = 2_000;
const WARM_UP_MS = 5_000;

/** What happens, a step apart. Event times are in whole seconds, with a fraction that no window and no join ends at. */
function history(random: Random): Act[] {
  const acts: Act[] = [];
  const [customers, things] = [
    ['ann', 'bob', 'cid'],
    ['pen', 'ink'],
  ];
  for (let i = 0; i < 60; i++) {
    const at = START_MS + i * STEP_MS + 123 - 1_000 * random.int(random.chance(0.15) ? 120 : 15);
    const customer = random.pick(customers);
    if (random.chance(0.1)) {
      const text = random.chance(0.3) ? null : JSON.stringify({ price: random.int(9) });
      acts.push({ kind: 'put', item: random.pick(things), text });
    } else if (random.chance(0.05)) {
      acts.push({ kind: 'push', subject: 'in.orders', text: '{"id":' });
    } else if (random.chance(0.5)) {
      const order = { id: `o${random.int(40)}`, customer, item: random.pick(things), amount: random.int(15), at };
      acts.push({ kind: 'push', subject: 'in.orders', text: JSON.stringify(order) });
    } else {
      acts.push({ kind: 'push', subject: 'in.payments', text: JSON.stringify({ customer, no: random.int(20), at }) });
    }
  }
  return acts;
}

interface Outcome {
  readonly rows: string[];
  readonly late: string[];
  readonly dead: string[];
}

function outcomeOf(driver: PipelineDriver): Outcome {
  const texts = (all: readonly object[]) => all.map(one => JSON.stringify(one)).sort();
  return {
    rows: texts(driver.read().map(({ subject, value }) => ({ subject, value }))),
    late: texts(driver.late().map(({ operator, key, lateByMs, value }) => ({ operator, key, lateByMs, value }))),
    dead: texts(driver.dead().map(({ operator, code, message, value }) => ({ operator, code, message, value }))),
  };
}

function drive(acts: readonly Act[]): Outcome {
  const driver = testPipeline(everything, { now: START_MS });
  for (const act of acts) {
    driver.advance(STEP_MS);
    if (act.kind === 'push') driver.push(act.subject, act.text, { publishedAt: driver.nowMs });
    else if (act.text === null) driver.delete('items', act.item);
    else driver.put('items', act.item, act.text);
  }
  driver.finish();
  return outcomeOf(driver);
}

async function runEngine(acts: readonly Act[]): Promise<Outcome> {
  const clock = new SimClock({ startMs: START_MS - WARM_UP_MS });
  const broker = new MemoryBroker({ clock });
  broker.create({ name: 'IN_ORDERS', subjects: ['in.orders'] });
  broker.create({ name: 'IN_PAYMENTS', subjects: ['in.payments'] });
  broker.create({ name: 'KV_items', subjects: ['$KV.items.>'] });
  const log = broker.client('engine');
  const plan = await planOrThrow(everything, log);
  const engine = new Pipeline({
    plan,
    around: {
      log,
      clock: log.clock,
      random: new Random(1),
      observer: { emit: () => {} },
      meter: noMeter,
      stores: new MemoryStores({ clock }),
      blobs: new MemoryBlobs({ clock }),
    },
  });
  let failure: Error | null = null;
  engine.failed.then(error => (failure = error));
  await engine.start();
  acts.forEach((act, i) => {
    clock.after(WARM_UP_MS + (i + 1) * STEP_MS, () => {
      const subject = act.kind === 'push' ? act.subject : `$KV.items.${act.item}`;
      const headers = act.text === null ? { headers: { 'KV-Operation': 'DEL' } } : {};
      broker.land([{ subject, data: Buffer.from(act.text ?? ''), ...headers }], false);
    });
  });
  // To the end of the history, then until sources are idle, then until nothing waits any more.
  await clock.run(WARM_UP_MS + acts.length * STEP_MS + 10 * 60_000 + 6 * 60_000);
  assert.equal(failure, null);
  const rows: object[] = [];
  const late: object[] = [];
  const dead: object[] = [];
  for (const stream of broker.streams()) {
    for (let seq = 1; seq <= stream.info().lastSeq; seq++) {
      const message = stream.at(seq);
      if (message === null || message === undefined) continue;
      const { subject } = message;
      if (subject.startsWith('out.')) {
        for (const line of Buffer.from(message.data).toString().trimEnd().split('\n')) {
          rows.push({ subject, value: JSON.parse(line) as unknown });
        }
      }
      for (const { headers, data } of lettersOf([message])) {
        const text = Buffer.from(data).toString();
        if (subject.startsWith('millrace.everything.late.')) {
          late.push({
            operator: headers['Millrace-Operator'],
            key: headers['Millrace-Key'],
            lateByMs: Number(headers['Millrace-Late-By']),
            value: JSON.parse(text) as unknown,
          });
        } else {
          dead.push({
            operator: headers['Millrace-Operator'],
            code: headers['Millrace-Error'],
            message: headers['Millrace-Message'],
            value: text === '{"id":' ? text : (JSON.parse(text) as unknown),
          });
        }
      }
    }
  }
  const texts = (all: readonly object[]) => all.map(one => JSON.stringify(one)).sort();
  return { rows: texts(rows), late: texts(late), dead: texts(dead) };
}

describe('the driver and the engine', () => {
  const seen = { rows: 0, late: 0, dead: 0 };
  for (let seed = 1; seed <= 3; seed++) {
    test(`give the same rows and letters for the same messages, history ${seed}`, async () => {
      const acts = history(new Random(seed));
      const driven = drive(acts);
      assert.deepEqual(driven, await runEngine(acts));
      for (const kind of ['rows', 'late', 'dead'] as const) seen[kind] += driven[kind].length;
    });
  }

  test('have seen something of everything', () => {
    assert.ok(seen.rows > 150 && seen.late > 3 && seen.dead > 5, JSON.stringify(seen));
  });
});
