/**
 * What a pipeline has done is counted once, whoever does it: owners that end at any moment, and are followed by others, come
 * to exactly the totals of one that was never disturbed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

interface Row {
  readonly n: number;
}

/** Among ten records two are filtered, one is a copy, and one is no JSON. */
const bodies = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => {
    const n = from + i;
    if (n % 10 === 3) return '{';
    return `{"n":${n % 10 === 9 ? n - 1 : n}}`;
  });

const keyed = (partitions: number) =>
  pipeline(
    'p',
    ({ from }) => {
      from<Row>('in', { name: 'in' })
        .filter(row => row.n % 10 > 1)
        .keyBy('n', { name: 'keyed' })
        .dedupe({ id: row => String(row.n), within: '10h' })
        .to('out.{partition}');
    },
    { partitions },
  );
/** Two stages, of which the one may have had more than the other. */
const forked = pipeline(
  'p',
  ({ from }) => {
    const rows = from<Row>('in', { name: 'in' }).filter(row => row.n % 10 > 1);
    rows
      .keyBy('n', { name: 'keyed' })
      .dedupe({ id: row => String(row.n), within: '10h' })
      .to('out.{partition}');
    rows
      .keyBy(() => 1, { name: 'other' })
      .dedupe({ id: row => String(row.n), within: '10h', name: 'other-dedupe' })
      .to('more.{partition}');
  },
  { partitions: 2 },
);
const direct = pipeline('p', ({ from }) => {
  from<Row>('in', { name: 'in' })
    .filter(row => row.n % 10 > 1)
    .to('out.{partition}');
});

async function totals(definitions: readonly (typeof direct)[], options: { seed: number; owners: number }) {
  const random = new Random(options.seed);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork() });
  broker.create({ name: 'in', subjects: ['in'] });
  broker.faults = { delayMs: [0.1, 3] };
  const blobs = new MemoryBlobs({ clock });
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  let sent = 0;
  let last: Pipeline | null = null;
  for (let number = 1; number <= options.owners; number++) {
    const log = broker.client(`worker ${number}`);
    const definition = definitions[Math.min(number, definitions.length) - 1]!;
    const plan = await clock.runThrough(planOrThrow(definition, log));
    const around = {
      log,
      clock: log.clock,
      random: random.fork(),
      observer: { emit() {} },
      stores: new MemoryStores({ clock }),
      blobs,
    };
    // The one before goes on until it is fenced: it ends wherever it is.
    last = new Pipeline({ plan, around, life: 'l', revision: number, assignment: { number, parts: 'all' } });
    await clock.runThrough(last.start());
    for (let burst = 0; burst < 4; burst++) {
      for (const body of bodies(sent, 50)) broker.land([{ subject: 'in', data: Buffer.from(body) }], false);
      sent += 50;
      await pass(1 + random.next() * 150);
    }
  }
  await pass(10_000);
  const { counts, sources, tasks } = last!.status();
  const [source] = sources;
  return { sent, counts, read: source!.recordsIn, bytes: source!.bytesIn, written: tasks.map(task => task.recordsOut) };
}

describe('totals', () => {
  for (const [name, definition, perTen] of [
    ['of a reader and one task', keyed(1), { out: 6, dead: 1, dropped: { filtered: 2, duplicate: 1 } }],
    ['of a reader and several tasks', keyed(4), { out: 6, dead: 1, dropped: { filtered: 2, duplicate: 1 } }],
    ['of a reader and two stages', forked, { out: 12, dead: 1, dropped: { filtered: 2, duplicate: 2 } }],
    ['of a task that reads by itself', direct, { out: 7, dead: 1, dropped: { filtered: 2 } }],
  ] as const) {
    for (const seed of [1, 2]) {
      test(`${name} are exact after many owners (${seed})`, async () => {
        const { sent, counts, read, bytes, written } = await totals([definition], { seed, owners: 6 });
        const tens = sent / 10;
        assert.deepEqual(counts, {
          in: tens * 9,
          out: tens * perTen.out,
          late: 0,
          dead: tens * perTen.dead,
          dropped: Object.fromEntries(Object.entries(perTen.dropped).map(([reason, count]) => [reason, count * tens])),
          partial: false,
        });
        assert.equal(read, tens * 9);
        assert.equal(bytes, bodies(0, sent).join('').length);
        assert.equal(
          written.reduce((sum, rows) => sum + rows, 0),
          tens * perTen.out,
        );
      });
    }
  }

  test('count nothing again that a new stage is given from the beginning', async () => {
    const { sent, counts } = await totals([keyed(2), keyed(2), forked], { seed: 5, owners: 4 });
    assert.deepEqual([counts.in, counts.dropped.filtered], [(sent / 10) * 9, (sent / 10) * 2]);
    assert.equal(counts.out, (sent / 10) * 12, 'the new stage has all of them');
  });
});
