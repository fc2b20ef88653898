/** The state of a running pipeline as people see it: every operator's tables, keys decoded, values plain, page by page. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import type { EntryView } from '../../../lib/engine/views.ts';
import { count, hopping, pipeline, session, sum, tumbling } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { silent } from '../../../lib/observe/events.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

interface Row {
  readonly id: string;
  readonly k: number;
  readonly at: number;
}

const definition = pipeline('p', ({ from, table }) => {
  const options = { time: 'at', idleAfter: '1h' } as const;
  const left = from<Row>('left', options)
    .keyBy('k')
    .dedupe({ id: row => row.id, within: '1h', name: 'once' });
  const right = from<Row>('right', options).keyBy('k');
  left.leftJoin(right, { within: '1m', name: 'pair' }, (l, r) => ({ l, r })).to('out.pair.{partition}');
  left
    .window(tumbling('1h'), { name: 'hourly' })
    .aggregate({ rows: count(), sum: sum(row => row.k) })
    .to('out.hourly.{partition}');
  left
    .window(hopping({ size: '1h', advance: '30m' }), { name: 'half' })
    .aggregate({ rows: count() })
    .to('out.half.{partition}');
  left.window(session('10m'), { name: 'visits' }).aggregate({ rows: count() }).to('out.visits.{partition}');
  left
    .process<bigint, Row>({
      name: 'own',
      onRecord(row, context) {
        context.state = (context.state ?? 0n) + 1n;
        context.setTimer('later', row.at + 60_000);
      },
    })
    .to('out.own.{partition}');
  left
    .keyBy(row => String(row.k))
    .join(table<{ name: string }>('names'), row => row, { name: 'named' })
    .to('out.named.{partition}');
});

describe('the state of a pipeline', () => {
  let running: Pipeline;
  let clock: SimClock;
  let at: number;
  before(async () => {
    const random = new Random(3);
    clock = new SimClock({ random: random.fork() });
    const broker = new MemoryBroker({ clock, random: random.fork() });
    const log = broker.client('worker');
    for (const name of ['left', 'right']) broker.create({ name, subjects: [name] });
    broker.create({ name: 'KV_names', subjects: ['$KV.names.>'], maxMessagesPerSubject: 1 });
    const around = {
      ...{ log, clock: log.clock, random, observer: silent },
      ...{ stores: new MemoryStores({ clock }), blobs: new MemoryBlobs({ clock }) },
    };
    running = new Pipeline({ plan: await planOrThrow(definition, log), around });
    await running.start();
    await clock.run(clock.monotonic() + 5_000);
    at = Math.floor(clock.now() / 3_600_000) * 3_600_000;
    const publish = (subject: string, value: object) =>
      log.append({ subject, data: Buffer.from(JSON.stringify(value)) });
    await publish('$KV.names.7', { name: 'seven' });
    for (let k = 0; k < 40; k++) await publish('left', { id: `i${k}`, k, at });
    await publish('right', { id: 'r7', k: 7, at });
    await clock.run(clock.monotonic() + 5_000);
  });
  after(() => running.stop({ deadlineMs: 1_000 }));

  async function ask<T>(asked: Promise<T>): Promise<T> {
    const outcome = asked.then(
      value => ({ value }),
      (error: unknown) => ({ error }),
    );
    await clock.run(clock.monotonic() + 1_000);
    const done = await outcome;
    if ('error' in done) throw done.error;
    return done.value;
  }

  const get = (operator: string, key: string | number | (string | number)[]) =>
    ask(running.state.get({ operator, key }));
  const values = (entries: readonly EntryView[]) => entries.map(({ table, key, value }) => ({ table, key, value }));

  test('has every operator with its tables and how much is in them', async () => {
    const tables = await running.state.tables();
    assert.deepEqual(
      tables.map(({ operator, table, entries }) => [operator, table, entries]),
      [
        ['half', 'closed', 0],
        ['half', 'closing', 0],
        ['half', 'panes', 40],
        ['hourly', 'windows', 40],
        ['named', 'rows', 1],
        ['once', 'marks', 40],
        ['own', 'state', 40],
        ['own', 'timers', 40],
        ['pair', 'left', 40],
        ['pair', 'right', 1],
        ['visits', 'sessions', 40],
        ['visits', 'timers', 40],
      ],
    );
    assert.ok(tables.every(({ bytes, entries, stage }) => (bytes > 0 || entries === 0) && stage !== ''));
  });

  test('shows of a key what each operator remembers, as plain data', async () => {
    const row = { id: 'i7', k: 7, at };
    assert.deepEqual(values(await get('once', [7, 'i7'])), [
      { table: 'marks', key: [7, 'i7'], value: { acceptedMs: at } },
    ]);
    assert.deepEqual(values(await get('pair', 7)), [
      { table: 'left', key: 7, value: [{ timeMs: at, value: row, matched: true }] },
      { table: 'right', key: 7, value: [{ timeMs: at, value: { id: 'r7', k: 7, at } }] },
    ]);
    const [hourly] = values(await get('hourly', 7));
    const { startMs, endMs, aggregates } = hourly!.value as { startMs: number; endMs: number; aggregates: object[] };
    assert.deepEqual([hourly!.table, startMs, endMs], ['windows', at, at + 3_600_000]);
    assert.deepEqual(
      aggregates.map(aggregate => Object.keys(aggregate)[0]),
      ['count', 'sum'],
    );
    const [half] = values(await get('half', 7));
    assert.equal((half!.value as { endMs: number }).endMs, at + 1_800_000);
    const visits = values(await get('visits', 7));
    assert.deepEqual(visits[0], {
      table: 'sessions',
      key: 7,
      value: [{ startMs: at, endMs: at, aggregates: [{ count: 1 }] }],
    });
    assert.equal(visits[1]!.table, 'timers');
    assert.deepEqual(values(await get('own', 7)), [
      { table: 'state', key: 7, value: { state: '1', timers: { later: at + 60_000 } } },
    ]);
    assert.deepEqual(values(await get('named', '7')), [{ table: 'rows', key: '7', value: { name: 'seven' } }]);
    assert.deepEqual(await get('pair', 'nobody'), []);
    for (const entry of [...visits, half, hourly]) assert.deepEqual(JSON.parse(JSON.stringify(entry)), entry);
  });

  test('is paged through without losing or repeating an entry, by table and by partition', async () => {
    const scan = async (options: { table?: string; partition?: number; pageSize: number }) => {
      const entries: EntryView[] = [];
      for (let pageToken: string | null = null; ; ) {
        const { table = null, partition = null, pageSize } = options;
        const asked = running.state.scan({ operator: 'own', table, partition, pageSize, pageToken });
        const page = await ask(asked);
        assert.ok(page.items.length <= pageSize);
        entries.push(...page.items);
        if (page.nextPageToken === null) return entries;
        pageToken = page.nextPageToken;
      }
    };
    const all = await scan({ pageSize: 7 });
    assert.equal(all.length, 80);
    assert.equal(new Set(all.map(({ table, key }) => JSON.stringify([table, key]))).size, 80);
    assert.deepEqual(
      all.map(({ partition }) => partition),
      all.map(({ partition }) => partition).sort((a, b) => a - b),
    );
    const timers = await scan({ table: 'timers', pageSize: 1_000 });
    assert.deepEqual(timers.length, 40);
    assert.deepEqual((timers[0]!.key as unknown[])[1], 'later');
    const { partition } = all[0]!;
    assert.deepEqual(
      await scan({ partition, pageSize: 5 }),
      all.filter(entry => entry.partition === partition),
    );
  });

  test('refuses what is not there: operators without state, tables, page tokens of another scan', async () => {
    const refused = (code: string, text: RegExp) => (error: unknown) =>
      isMillraceError(error) && error.code === code && text.test(error.message);
    const scan = (options: { operator: string; table?: string; pageToken?: string }) =>
      ask(running.state.scan({ partition: null, pageSize: 9, table: null, pageToken: null, ...options }));
    await assert.rejects(get('nobody', 1), refused('NOT_FOUND', /those that do: .*once/));
    await assert.rejects(
      scan({ operator: 'own', table: 'left' }),
      refused('NOT_FOUND', /its tables are: state, timers/),
    );
    await assert.rejects(scan({ operator: 'own', pageToken: 'x' }), refused('INVALID_ARGUMENT', /page token/));
    const { nextPageToken } = await scan({ operator: 'own' });
    await assert.rejects(
      scan({ operator: 'pair', pageToken: nextPageToken! }),
      refused('INVALID_ARGUMENT', /page token/),
    );
  });

  test('cannot be read once the tasks have ended', async () => {
    await ask(running.stop({ deadlineMs: 1_000 }));
    await assert.rejects(get('own', 1), (error: unknown) => isMillraceError(error, 'WORKER_UNAVAILABLE'));
  });
});
