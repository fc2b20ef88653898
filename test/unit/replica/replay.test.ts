/**
 * A record that died behind a dedupe, replayed when the pipeline was mended: the dedupe knows its id, and lets it pass all
 * the same; what copies of it come, before or after, are copies still.
 *
 *   source ─► (keyBy) ─► dedupe ─► map, which throws at first ─► count in a window
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { count, pipeline, tumbling } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { silent } from '../../../lib/observe/events.ts';
import { numberOf } from '../../../lib/record/letter-group.ts';
import { OPEN_SEAL } from '../../../lib/record/seal.ts';
import { LetterBox } from '../../../lib/service/letters.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { deployed } from '../service/deployed.ts';

interface Order {
  readonly id: string;
  readonly shop: string;
  readonly at: number;
  readonly price: number | null;
}

const PLACES = ['before keyBy', 'behind keyBy', 'across keys'] as const;
type Place = (typeof PLACES)[number];

/** `strict`: a missing price throws. */
function orders(strict: boolean, place: Place) {
  return pipeline('p', ({ from }) => {
    const ids = { id: (order: Order) => order.id, within: '1d' } as const;
    const all = from<Order>('orders', { time: 'at' });
    const priced = (order: Order) => {
      if (strict && order.price === null) throw new Error('no price');
      return order;
    };
    const unique =
      place === 'behind keyBy'
        ? all.keyBy('shop').dedupe(ids).map(priced)
        : all.dedupe(place === 'across keys' ? { ...ids, across: 'keys' } : ids).map(priced);
    unique.keyBy('shop', { name: 'again' }).window(tumbling('1h')).aggregate({ orders: count() }).to('counts.{shop}');
  });
}

for (const place of PLACES) {
  for (const many of [false, true]) {
    const title = `${place}, ${many ? 'several records a message' : 'one record a message'}`;
    test(`a dead letter of what a dedupe had let pass ${title}, is replayed once the code is mended and counted once`, async () => {
      const random = new Random(3);
      const clock = new SimClock({ random: random.fork() });
      const broker = new MemoryBroker({ clock, random: random.fork() });
      const log = broker.client('worker');
      broker.create({ name: 'orders', subjects: ['orders'] });
      const around = {
        ...{ log, clock: log.clock, random, observer: silent },
        ...{ stores: new MemoryStores({ clock }), blobs: new MemoryBlobs({ clock }) },
      };
      const start = async (strict: boolean) => {
        const one = new Pipeline({ plan: await planOrThrow(orders(strict, place), log), around });
        await one.start();
        await clock.run(clock.monotonic() + 5_000);
        return one;
      };
      const publish = (...records: Order[]) => {
        const data = Buffer.from(records.map(record => JSON.stringify(record)).join('\n'));
        const headers = { 'Content-Type': many ? 'application/x-ndjson' : 'application/json' };
        return log.append({ subject: 'orders', data, headers });
      };
      const all = async (...records: Order[]) => {
        if (many) await publish(...records);
        else for (const record of records) await publish(record);
      };
      // Before `keyBy` the dedupe itself runs behind it, in the stage, and the map in the reader: each copy has died there.
      const deadCount = place === 'before keyBy' ? 2 : 1;
      const at = clock.now();
      const good = { id: '1', shop: 'a', at, price: 1 };
      const bad = { id: '2', shop: 'a', at, price: null };
      let running = await start(true);
      await all(good, bad);
      await all(bad, good);
      await clock.run(clock.monotonic() + 5_000);
      assert.equal(running.status().counts.dead, deadCount);
      await running.stop({ deadlineMs: 1_000 });
      running = await start(false);
      const box = new LetterBox({
        log,
        clock: log.clock,
        registry: await deployed([{ subject: 'orders', stream: 'orders' }]),
        seal: OPEN_SEAL,
        observer: { emit() {} },
      });
      const meant = { pipeline: 'p', kind: null, operator: null, code: null, numbers: [], sinceMs: null };
      const options = { toSubject: null, dryRun: false, keep: true };
      const replay = async () => {
        const steps: unknown[] = [];
        const done = (async () => {
          for await (const step of box.replay(meant, options)) steps.push(step);
        })();
        await clock.run(clock.monotonic() + 1_000);
        await done;
        return steps.at(-1);
      };
      assert.deepEqual(await replay(), {
        seen: deadCount,
        replayed: deadCount,
        skipped: 0,
        total: deadCount,
        reasons: [],
      });
      assert.deepEqual(await replay(), {
        seen: deadCount,
        replayed: deadCount,
        skipped: 0,
        total: deadCount,
        reasons: [],
      });
      const kept = broker.stream('MR_p_letters')!;
      let number = kept.firstSeq;
      while (!kept.at(number)?.subject.startsWith('millrace.')) number++;
      const { headers } = await box.get('p', numberOf(number, 0));
      assert.match(headers!['Millrace-Origin']!, /^orders:\d+$/);
      await all(bad, good);
      await clock.run(clock.monotonic() + 5_000);
      await log.append({ subject: 'orders', data: new Uint8Array(), headers: { 'Millrace-Complete': 'end' } });
      await clock.run(clock.monotonic() + 20_000);
      const rows = [];
      for (let seq = 1; seq <= broker.stream('counts')!.lastSeq; seq++) {
        const message = broker.stream('counts')!.at(seq)!;
        if (message.subject === 'counts.a') rows.push(JSON.parse(Buffer.from(message.data).toString()));
      }
      assert.equal(rows.length >= 1, true, 'the window has closed');
      assert.equal(rows[0].orders, 2);
      await running.stop({ deadlineMs: 1_000 });
    });
  }
}
