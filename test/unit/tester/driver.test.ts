/** The test driver: what it takes, what it gives back, and that it says no where a worker would. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { count, msgpack, ndjson, pipeline, session, sum, tumbling } from '../../../lib/index.ts';
import { replayHeaders } from '../../../lib/record/letter.ts';
import { OPEN_SEAL } from '../../../lib/record/seal.ts';
import { type PipelineDriver, testPipeline } from '../../../lib/testing.ts';

const DAY = '2026-03-01';
const at = (time: string) => `${DAY}T${time}Z`;
const ms = (time: string) => Date.parse(at(time));

type Order = { id: string; shop: string; amount: number; at: string };
const order = (id: string, time: string, more: Partial<Order> = {}): Order => {
  return { id, shop: 's1', amount: 1, at: at(time), ...more };
};

const orders = pipeline('orders', ({ from }) => {
  const accepted = from<Order>('shop.order', { time: 'at', maxOutOfOrder: '1m' })
    .dedupe({ id: event => event.id, within: '1h' })
    .keyBy('shop');
  accepted.to('out.orders.{shop}');
  accepted
    .window(tumbling('1h'))
    .aggregate({ orders: count(), amount: sum(event => event.amount) })
    .to('out.hours.{partition}');
});

describe('a driven pipeline', () => {
  test('gives rows as subscribers decode them, with key, event time and headers, and each once', () => {
    const driver = testPipeline(orders);
    driver.push('shop.order', order('1', '08:10:00'));
    driver.push('shop.order', order('1', '08:10:00'));
    const [row, ...more] = driver.read('out.orders.*');
    assert.deepEqual(more, []);
    assert.equal(row?.subject, 'out.orders.s1');
    assert.deepEqual(row?.value, order('1', '08:10:00'));
    assert.equal(row?.key, 's1');
    assert.equal(row?.timeMs, ms('08:10:00'));
    assert.match(row?.headers['Millrace-Task'] ?? '', /^orders\/by-shop\/\d+$/);
    assert.equal(row?.headers['Millrace-Origin'], 'SHOP_ORDER:1');
    assert.deepEqual(driver.read(), [], 'what was read is taken');
    assert.deepEqual(driver.dropped, { duplicate: 1 });
  });

  test('takes and gives bigints with all their digits, as records, keys and contents of letters', () => {
    const made = pipeline('large', ({ from }) => {
      from<{ id: bigint; bad?: boolean }>('in.large')
        .map(row => ({ sum: row.bad ? Number(row.id) + (row.id as unknown as number) : 0, ...row }), { name: 'judge' })
        .keyBy(row => row.id, { name: 'by-id' })
        .process({ onRecord: (row, context) => context.emit({ ...row, key: context.key }) })
        .to('out.large.{key}');
    });
    const driver = testPipeline(made);
    driver.push('in.large', { id: 9007199254740993n });
    driver.push('in.large', { id: 9007199254740992n });
    driver.push('in.large', { id: 9007199254740993n, bad: true });
    assert.deepEqual(
      driver.read('out.large.*').map(({ subject, key, value }) => [subject, key, value]),
      [9007199254740993n, 9007199254740992n].map(id => [`out.large.${id}`, id, { sum: 0, id, key: id }]),
    );
    assert.deepEqual(
      driver.dead().map(letter => letter.value),
      [{ id: 9007199254740993n, bad: true }],
    );
  });

  test('shows what each row does to its table, where it is no insert, and takes it past stages', () => {
    type Row = { op: 'insert' | 'before' | 'after' | 'delete' | 'none'; id: string; site: string; n: number };
    const made = pipeline('changes', ({ from }) => {
      const rows = from<Row>('crm.row', { change: row => row.op as 'insert' }).filter(row => row.n < 10);
      rows.to('out.direct');
      rows
        .map(({ id, site, n }) => ({ id, site, n }))
        .keyBy('site')
        .flatMap(row => [row])
        .keyBy('id')
        .map(row => (row.n === 3 ? { self: () => row } : row))
        .to('out.keyed.{partition}');
    });
    const driver = testPipeline(made);
    const row = (op: Row['op'], id: string, n: number) => driver.push('crm.row', { op, id, site: 's', n });
    row('insert', 'a', 1);
    row('before', 'a', 1);
    row('after', 'a', 12);
    row('delete', 'b', 2);
    const shown = (subject: string) =>
      driver.read<Row>(subject).map(({ value, change, headers }) => [value.id, change, headers['Millrace-Change']]);
    const expected = [
      ['a', undefined, undefined],
      ['a', 'before', 'before'],
      ['b', 'delete', 'delete'],
    ];
    assert.deepEqual(shown('out.direct'), expected);
    assert.deepEqual(shown('out.keyed.*'), expected);
    row('none', 'c', 1);
    const [letter] = driver.dead();
    assert.deepEqual([letter?.code, letter?.headers['Millrace-Change']], ['RECORD_INVALID', undefined]);
    assert.deepEqual(driver.read(), []);
  });

  test('names the change in dead letters, wherever the record died', () => {
    const fail = (row: { site: string }, site: string) => {
      if (row.site === site) throw new Error('no');
      return row;
    };
    const made = pipeline('changes', ({ from }) => {
      from<{ site: string }>('crm.row', { change: ({ site }) => (site === 'plain' ? 'insert' : 'delete') })
        .map(row => fail(row, 'reader'), { name: 'reader' })
        .map(row => (row.site === 'frame' ? { site: row.site, fn: () => 1 } : row))
        .keyBy('site')
        .map(row => fail(row, 'stage'), { name: 'stage' })
        .to('out.{site}');
      from<{ site: string }>('crm.direct', { change: () => 'before' })
        .map(row => fail(row, 'direct'), { name: 'direct' })
        .to('direct');
    });
    const driver = testPipeline(made);
    const changeOf = () => driver.dead().map(({ headers }) => headers['Millrace-Change']);
    for (const site of ['reader', 'frame', 'stage', 'a.b']) {
      driver.push('crm.row', { site });
      assert.deepEqual(changeOf(), ['delete'], site);
    }
    driver.push('crm.direct', { site: 'direct' });
    assert.deepEqual(changeOf(), ['before']);
    assert.deepEqual(driver.read(), []);
  });

  test('has a message in one of the streams that a source lists, and reads them all', () => {
    const listed = pipeline('listed', ({ from }) => {
      from<Order>('orders.*', { name: 'orders', streams: ['EU', 'US'], time: 'at' })
        .keyBy('id')
        .to('rows.{partition}');
    });
    const driver = testPipeline(listed);
    driver.push('orders.eu', order('1', '08:00:00'));
    driver.push('orders.us', order('2', '08:00:00'), { stream: 'US' });
    assert.deepEqual(
      driver
        .read('rows.*')
        .map(row => (row.value as Order).id)
        .sort(),
      ['1', '2'],
    );
    assert.equal(driver.watermarkMs, ms('08:00:00'));
    const asia = () => driver.push('orders.asia', order('3', '08:00:00'), { stream: 'ASIA' });
    assert.throws(asia, /no source reads 'orders\.asia' of stream ASIA/);
  });

  test('closes windows when the events say so, and not before', () => {
    const driver = testPipeline(orders);
    driver.push('shop.order', order('1', '08:10:00', { amount: 3 }));
    driver.push('shop.order', order('2', '09:00:59'));
    assert.deepEqual(driver.read('out.hours.*'), []);
    driver.push('shop.order', order('3', '09:01:00'));
    const rows = driver.read('out.hours.*');
    assert.deepEqual(
      rows.map(({ value }) => value),
      [{ shop: 's1', start: ms('08:00:00'), end: ms('09:00:00'), orders: 1, amount: 3 }],
    );
    assert.equal(driver.watermarkMs, ms('09:00:00'));
  });

  test('lets the clock close windows once sources are idle, exactly as much later', () => {
    const driver = testPipeline(orders);
    driver.push('shop.order', order('1', '08:10:00'));
    assert.equal(driver.nowMs, ms('08:10:00'), 'the clock begins with the first message');
    driver.advance('10s');
    assert.equal(driver.watermarkMs, ms('08:09:00'));
    driver.advance('50m59s999ms');
    assert.deepEqual(driver.read('out.hours.*'), []);
    driver.advance(1);
    assert.equal(driver.read('out.hours.*').length, 1);
    assert.equal(driver.watermarkMs, ms('09:00:00'));
    driver.advanceTo(at('12:00:00'));
    assert.equal(driver.nowMs, ms('12:00:00'));
  });

  test('tells late records and dead letters with their reasons', () => {
    const driver = testPipeline(orders);
    driver.push('shop.order', order('1', '12:00:00'));
    driver.push('shop.order', order('2', '08:00:00'));
    driver.push('shop.order', '{"id":');
    driver.push('shop.order', { ...order('4', '12:00:00'), at: 'noon' });
    driver.push('shop.order', { ...order('5', '12:00:00'), id: {} });
    const [late] = driver.late();
    assert.deepEqual([late?.operator, late?.key, late?.lateByMs], ['dedupe-shop-order', 's1', 4 * 3_600_000 - 60_000]);
    assert.deepEqual(late?.value, order('2', '08:00:00'));
    const dead = driver.dead();
    assert.deepEqual(
      dead.map(({ operator, code }) => [operator, code]),
      [
        ['shop-order', 'RECORD_UNREADABLE'],
        ['shop-order', 'RECORD_TIME'],
        ['dedupe-shop-order', 'RECORD_KEY'],
      ],
    );
    assert.equal(dead[0]?.value, '{"id":');
    assert.equal(dead[0]?.subject, 'shop.order');
    assert.deepEqual([driver.late(), driver.dead()], [[], []], 'letters are taken when they are read');
  });

  test('counts a late record once when its letter is published again, past the dedupe that has its id', () => {
    const made = pipeline('again', ({ from }) => {
      from<Order>('shop.order', { time: 'at' })
        .merge(from<Order>('shop.again'))
        .dedupe({ id: event => event.id, within: '1d', grace: '12h' })
        .keyBy('shop')
        .window(tumbling('10m'), { grace: '1m' })
        .aggregate({ orders: count() })
        .to('out.{partition}');
    });
    const driver = testPipeline(made, { now: at('08:00:00') });
    driver.push('shop.order', order('1', '09:00:00'));
    driver.push('shop.again', order('0', '09:00:00'), { publishedAt: at('09:00:00') });
    driver.push('shop.order', order('2', '08:10:00'));
    const [letter] = driver.late();
    assert.equal(letter?.headers['Millrace-Passed'], 'dedupe-shop-again-shop-order');
    const data = Buffer.from(JSON.stringify(letter!.value));
    const headers = replayHeaders(
      { number: 1, headers: letter!.headers, data, content: 'value' },
      { pipeline: 'again', subject: 'shop.again', seal: OPEN_SEAL },
    );
    driver.push('shop.again', letter!.value, { publishedAt: at('11:00:00') });
    driver.push('shop.again', letter!.value, { publishedAt: at('11:00:00'), headers });
    driver.finish();
    assert.deepEqual(
      driver.read<{ orders: number }>().map(row => row.value.orders),
      [2, 1],
    );
    assert.deepEqual(driver.dropped, { duplicate: 1 }, 'without its headers it is a copy');
  });

  test('names the field by which a record has no key, where it is one field for all of them', () => {
    type Row = { k?: string; j?: string };
    const made = pipeline('keyless', ({ from }) => {
      const counted = { n: count() };
      const read = from<Row>('in.rows');
      const rows = read.keyBy('k');
      rows.window(tumbling('1m'), { name: 'window' }).aggregate(counted).to('out.a.{partition}');
      rows
        .filter(() => true)
        .window(session('1m'), { name: 'session' })
        .aggregate(counted)
        .to('out.b.{partition}');
      rows.process<null, Row>({ name: 'process', onRecord: () => {} }).to('out.c.{partition}');
      const others = read.keyBy('j');
      rows.merge(others).window(tumbling('1m'), { name: 'merged' }).aggregate(counted).to('out.d.{partition}');
      const coded = read.keyBy(row => row.k ?? null, { name: 'by-code' });
      coded.window(tumbling('1m'), { name: 'coded' }).aggregate(counted).to('out.e.{partition}');
    });
    const driver = testPipeline(made);
    driver.push('in.rows', { j: '1' });
    const said = new Map(driver.dead().map(({ operator, message }) => [operator, message]));
    assert.deepEqual(Object.fromEntries(said), {
      window: 'a record without a key cannot be put in a window: its field k is missing or null',
      session: 'a record without a key cannot be put in a session: its field k is missing or null',
      process: 'a record without a key has no state to be processed with: its field k is missing or null',
      merged: 'a record without a key cannot be put in a window: keyBy gave null or undefined',
      coded: 'a record without a key cannot be put in a window: keyBy gave null or undefined',
    });
  });

  test('shows what operators keep, by operator and key', () => {
    const driver = testPipeline(orders);
    driver.push('shop.order', order('1', '08:10:00'));
    driver.push('shop.order', order('2', '08:20:00', { shop: 's2' }));
    const [mark, ...others] = driver.state('dedupe-shop-order', 's2');
    assert.deepEqual(others, []);
    assert.deepEqual([mark?.table, mark?.key, mark?.value], ['marks', ['s2', '2'], { acceptedMs: ms('08:20:00') }]);
    assert.equal(driver.state('window-1h-by-shop').length, 2);
    assert.throws(
      () => driver.state('window-7'),
      (error: unknown) =>
        isMillraceError(error, 'NOT_FOUND') && /dedupe-shop-order, window-1h-by-shop/.test(error.message),
    );
  });

  test('does the same whenever it is told the same', () => {
    const drive = () => {
      const driver = testPipeline(orders);
      for (let i = 0; i < 50; i++) {
        driver.push('shop.order', order(String(i % 40), `08:${10 + (i % 45)}:00`, { shop: `s${i % 7}` }));
      }
      driver.finish();
      return [driver.read(), driver.late(), driver.dead(), driver.dropped, driver.nowMs];
    };
    assert.deepEqual(drive(), drive());
  });
});

describe('time in a driven pipeline', () => {
  const plain = pipeline('plain', ({ from }) => {
    from<{ n: number }>('in.n').to('out.n.{partition}');
  });

  test('is the time of publication where a source has no other', () => {
    const driver = testPipeline(plain, { now: at('08:00:00') });
    driver.push('in.n', { n: 1 });
    driver.advance('1h');
    driver.push('in.n', { n: 2 });
    driver.push('in.n', { n: 3 }, { publishedAt: at('08:30:00') });
    assert.deepEqual(
      driver.read().map(({ timeMs }) => timeMs),
      [ms('08:00:00'), ms('09:00:00'), ms('08:30:00')],
    );
  });

  test('may not be ahead of the publication by more than maxFuture, where that is given', () => {
    const driver = testPipeline(orders);
    driver.push('shop.order', order('1', '09:00:00'), { publishedAt: at('08:00:00') });
    driver.push('shop.order', order('2', '09:00:01'), { publishedAt: at('08:00:00') });
    driver.push('shop.order', order('3', '23:00:00'));
    assert.equal(driver.read('out.orders.*').length, 2);
    assert.deepEqual(
      driver.dead().map(({ code }) => code),
      ['RECORD_TIME'],
    );
  });

  test('does not go back', () => {
    const driver = testPipeline(plain, { now: at('08:00:00') });
    assert.throws(() => driver.advanceTo(at('07:59:59')), /cannot go back/);
    assert.throws(() => driver.advanceTo('soon'), /neither ms since 1970/);
    assert.throws(() => testPipeline(plain, { now: Number.NaN }), /neither ms since 1970/);
  });

  const shops = pipeline('shops', ({ from }) => {
    const left = from<Order>('a.left', { time: 'at' }).keyBy('shop');
    const right = from<Order>('a.right', { time: 'at' }).keyBy('shop');
    left
      .leftJoin(right, { within: '5m' }, (l, r) => ({ left: l.id, right: r?.id ?? null }))
      .to('out.joined.{partition}');
  });
  const TIMES = ['08:00:00', '10:00:00', '14:00:00'];
  const pairs = (driver: PipelineDriver) =>
    driver.read<{ left: string; right: string | null }>().map(({ value }) => value);

  test('is the same whether two sources are pushed one after the other, or by turns', () => {
    const joined = (drive: (driver: PipelineDriver) => void) => {
      const driver = testPipeline(shops);
      drive(driver);
      driver.finish();
      assert.deepEqual(driver.late(), []);
      return pairs(driver);
    };
    const left = (driver: PipelineDriver, i: number) => driver.push('a.left', order(`l${i}`, TIMES[i]!));
    const right = (driver: PipelineDriver, i: number) => driver.push('a.right', order(`r${i}`, TIMES[i]!));
    const wanted = [0, 1, 2].map(i => ({ left: `l${i}`, right: `r${i}` }));
    const whole = joined(driver => {
      for (const i of [0, 1, 2]) left(driver, i);
      for (const i of [0, 1, 2]) right(driver, i);
    });
    const turns = joined(driver => {
      for (const i of [0, 1, 2]) {
        left(driver, i);
        right(driver, i);
      }
    });
    assert.deepEqual([whole, turns], [wanted, wanted]);
  });

  test('of a source that falls quiet goes on with the clock, and what it then says is in time', () => {
    const driver = testPipeline(shops);
    for (const subject of ['a.left', 'a.right']) driver.push(subject, order('1', '08:00:00'));
    driver.advance('1h');
    assert.equal(driver.watermarkMs, ms('08:59:50'));
    driver.push('a.right', order('2', '08:59:55'));
    driver.push('a.left', order('2', '08:59:50'));
    assert.deepEqual(driver.late(), []);
    assert.deepEqual(pairs(driver), [
      { left: '1', right: '1' },
      { left: '2', right: '2' },
    ]);
  });

  test('goes where a heartbeat says, and to the end of all sources', () => {
    const driver = testPipeline(shops);
    const beat = (subject: string, to: string) => driver.push(subject, '', { headers: { 'Millrace-Complete': to } });
    driver.push('a.left', order('1', '08:00:00'));
    beat('a.right', at('08:30:00'));
    assert.equal(driver.watermarkMs, ms('08:00:00'));
    beat('a.left', at('08:10:00'));
    assert.deepEqual(pairs(driver), [{ left: '1', right: null }]);
    for (const subject of ['a.left', 'a.right']) beat(subject, 'end');
    assert.equal(driver.watermarkMs, 8.64e15);
    driver.push('a.left', order('2', '09:00:00'));
    assert.equal(driver.late().length, 1);
    assert.deepEqual([driver.dropped, driver.dead()], [{ heartbeat: 4 }, []]);
  });

  test('of a source that is to be skipped holds nobody back once it is quiet', () => {
    const skipping = pipeline('skipping', ({ from }) => {
      const steady = from<Order>('a.steady', { time: 'at' }).keyBy('shop');
      const rare = from<Order>('a.rare', { time: 'at', idle: 'skip' }).keyBy('shop');
      steady.merge(rare).window(tumbling('1h')).aggregate({ orders: count() }).to('out.hours.{shop}');
    });
    const driver = testPipeline(skipping);
    driver.push('a.rare', order('1', '08:00:00'), { publishedAt: at('12:00:00') });
    driver.push('a.steady', order('2', '11:59:00'), { publishedAt: at('12:00:00') });
    driver.advance('9s');
    assert.equal(driver.watermarkMs, ms('08:00:00'));
    driver.advance('1s');
    assert.equal(driver.watermarkMs, ms('11:59:00'));
    assert.equal(driver.read().length, 1);
  });

  test('fires a timer at the end, and not for ever those that timers set', () => {
    const chain = pipeline('chain', ({ from }) => {
      from<Order>('shop.order', { time: 'at' })
        .keyBy('shop')
        .process<number, { at: number }>({
          onRecord: (event, context) => context.setTimer('next', Date.parse(event.at) + 60_000),
          onTimer(_, context, timeMs) {
            context.emit({ at: timeMs });
            context.setTimer('next', timeMs + 60_000);
          },
        })
        .to('out.chain.{partition}');
    });
    const driver = testPipeline(chain);
    driver.push('shop.order', order('1', '08:00:00'));
    driver.push('shop.order', '', { headers: { 'Millrace-Complete': 'end' } });
    assert.deepEqual(
      driver.read<{ at: number }>().map(row => row.value.at),
      [ms('08:01:00')],
    );
  });

  test('waits for a source that has said nothing until that is idle', () => {
    const joined = pipeline('joined', ({ from }) => {
      const left = from<Order>('a.left', { time: 'at' }).keyBy('shop');
      const right = from<Order>('a.right', { time: 'at', idleAfter: '1m' }).keyBy('shop');
      left
        .leftJoin(right, { within: '5m' }, (l, r) => ({ shop: l.shop, left: l.id, right: r?.id ?? null }))
        .to('out.joined.{shop}');
    });
    const driver = testPipeline(joined);
    const publishedAt = at('09:00:00');
    driver.push('a.left', order('1', '08:00:00'), { publishedAt });
    driver.push('a.left', order('2', '09:00:00'), { publishedAt });
    assert.equal(driver.watermarkMs, null);
    driver.advance('59s');
    assert.deepEqual(driver.read(), []);
    driver.advance('1s');
    assert.deepEqual(
      driver.read().map(({ value }) => value),
      [{ shop: 's1', left: '1', right: null }],
    );
    driver.push('a.right', order('3', '09:05:00'));
    assert.deepEqual(
      driver.read().map(({ value }) => value),
      [{ shop: 's1', left: '2', right: '3' }],
    );
  });

  test('lets timers fire that timers have set, also for the past, in a step of a day as in many', () => {
    const timers = pipeline('timers', ({ from }) => {
      from<Order>('shop.order', { time: 'at' })
        .keyBy('shop')
        .process<number, { timer: number; at: number }>({
          onRecord(event, context) {
            context.setTimer('next', Date.parse(event.at) + 30_000);
          },
          onTimer(_, context, timeMs) {
            const timer = (context.state ?? 0) + 1;
            context.state = timer;
            context.emit({ timer, at: timeMs });
            if (timer < 5) context.setTimer('next', timer === 2 ? timeMs : timeMs + 60_000);
          },
        })
        .to('out.timers.{partition}');
    });
    const drive = (steps: number) => {
      const driver = testPipeline(timers);
      driver.push('shop.order', order('1', '08:00:30'));
      for (let i = 0; i < steps; i++) driver.advance(86_400_000 / steps);
      return driver.read().map(({ value }) => value);
    };
    const times = ['08:01:00', '08:02:00', '08:02:00', '08:03:00', '08:04:00'];
    assert.deepEqual(
      drive(1),
      times.map((time, i) => ({ timer: i + 1, at: ms(time) })),
    );
    assert.deepEqual(drive(2000), drive(1));
  });

  test('goes on at the end until all that waits is out, through every stage', () => {
    const deep = pipeline('deep', ({ from }) => {
      from<Order>('shop.order', { time: 'at' })
        .keyBy('id')
        .window(session('10m'))
        .aggregate({ events: count() })
        .keyBy(() => 'all')
        .window(tumbling('1d'), { grace: '1h' })
        .aggregate({ sessions: count() })
        .keyBy(() => 'all', { name: 'total' })
        .process<number, { total: number }>({
          onRecord(row, context) {
            context.state = (context.state ?? 0) + row.sessions;
            context.setTimer('tell', row.end + 7 * 86_400_000);
          },
          onTimer(_, context) {
            context.emit({ total: context.state ?? 0 });
            context.setTimer('tell', context.watermarkMs + 3_600_000);
          },
        })
        .to('out.total.{partition}');
    });
    const driver = testPipeline(deep);
    for (const time of ['08:00:00', '08:05:00', '09:00:00']) driver.push('shop.order', order('1', time));
    driver.finish();
    const [total, ...again] = driver.read().map(({ value }) => value);
    assert.deepEqual(total, { total: 2 });
    assert.ok(again.length > 20, 'a timer that sets itself again fires as often as in a worker, and is not waited for');
    assert.deepEqual(
      driver.state('process-total', 'all').map(({ table, key }) => [table, key]),
      [
        ['state', 'all'],
        ['timers', ['all', 'tell']],
      ],
    );
  });
});

describe('formats, tables and limits of a driven pipeline', () => {
  test('read bytes, texts and headers as a source does', () => {
    const formats = pipeline('formats', ({ from }) => {
      from<{ n: number }>('in.lines', { format: ndjson() }).to('out.lines');
      from<{ n: number }>('in.packed', {
        format: msgpack(),
        with: (value, meta) => ({ ...(value as object), tenant: meta.headers?.tenant, token: meta.subject }),
      }).to('out.packed', { format: 'msgpack' });
      from('in.checked', { schema: z.object({ n: z.coerce.number() }) }).to('out.checked');
    });
    const driver = testPipeline(formats);
    driver.push('in.lines', '{"n":1}\n{"n":2}\n');
    driver.push('in.packed', Uint8Array.of(0x81, 0xa1, 0x6e, 0x07), { headers: { tenant: 'blue' } });
    driver.push('in.checked', { n: '12' });
    driver.push('in.checked', { n: 'twelve' });
    const values = (subject: string) => driver.read(subject).map(({ value }) => value);
    assert.deepEqual(values('out.lines'), [{ n: 1 }, { n: 2 }]);
    assert.deepEqual(values('out.packed'), [{ n: 7, tenant: 'blue', token: 'in.packed' }]);
    assert.deepEqual(values('out.checked'), [{ n: 12 }]);
    assert.deepEqual(
      driver.dead().map(({ code, value }) => [code, value]),
      [['RECORD_INVALID', { n: 'twelve' }]],
    );
  });

  test('put and delete the rows of tables', () => {
    const enriched = pipeline('enriched', ({ from, table }) => {
      const shops = table<{ city: string }>('shops');
      from<Order>('shop.order', { time: 'at' })
        .keyBy('shop')
        .leftJoin(shops, (event, shop) => ({ id: event.id, city: shop?.city ?? null }))
        .to('out.enriched.{partition}');
    });
    const driver = testPipeline(enriched);
    const city = (id: string) => {
      driver.push('shop.order', order(id, '08:00:00'));
      return driver.read<{ city: string | null }>()[0]?.value.city;
    };
    assert.equal(city('1'), null);
    driver.put('shops', 's1', { city: 'Bergen' });
    assert.equal(city('2'), 'Bergen');
    driver.delete('shops', 's1');
    assert.equal(city('3'), null);
    assert.throws(() => driver.put('shop', 's1', {}), /those of pipeline 'enriched': 'shops'/);
  });

  test('make dead letters of what cannot go from stage to stage, or out', () => {
    const wrong = pipeline('wrong', ({ from }) => {
      const read = from<{ n: number }>('in.n');
      read
        .map(({ n }) => ({ n, way: n === 1 ? () => n : null }))
        .keyBy('n')
        .window(tumbling('1h'))
        .aggregate({ rows: count() })
        .to('out.windows');
      read
        .map(({ n }) => {
          if (n === 2) throw new Error('no twos');
          return n === 3 ? undefined : { n };
        })
        .to('out.n');
    });
    const driver = testPipeline(wrong, { now: at('08:00:00') });
    for (const n of [1, 2, 3]) driver.push('in.n', { n });
    driver.finish();
    assert.deepEqual(
      driver.read('out.n').map(({ value }) => value),
      [{ n: 1 }],
    );
    assert.equal(driver.read('out.windows').length, 2);
    const dead = driver.dead().map(({ operator, code, value }) => [operator, code, value]);
    assert.deepEqual(dead, [
      ['r-in-n', 'RECORD_UNWRITABLE', { n: 1 }],
      ['map-2', 'USER_CODE', { n: 2 }],
      ['to-out-n', 'RECORD_UNWRITABLE', { n: 3 }],
    ]);
  });

  test('refuse what a worker would not deploy, with all mistakes, and what nobody reads', () => {
    const mistaken = pipeline('Mistaken', ({ from }) => {
      from('in..n').to('out.n');
      from('in.m').to('millrace.m');
    });
    assert.throws(
      () => testPipeline(mistaken),
      (error: unknown) =>
        isMillraceError(error, 'PLAN_INVALID') &&
        /3 mistakes/.test(error.message) &&
        /driver\.test\.ts:\d+/.test(error.message),
    );
    assert.throws(
      () => testPipeline(orders).push('shop.orders', {}),
      /no source reads 'shop\.orders'; those of pipeline 'orders' read 'shop\.order'/,
    );
    assert.throws(() => testPipeline(orders).push('shop.order', undefined), /no content of a message/);
    assert.throws(() => testPipeline(orders).push('shop.order', 'x'.repeat(2 ** 20 + 1)), /more than a broker takes/);
  });

  test('stop where the policy of a source is to stop', () => {
    const strict = pipeline('strict', ({ from }) => {
      from('in.n', { onPoison: 'stop' }).to('out.n');
    });
    assert.throws(() => testPipeline(strict).push('in.n', '{'), /stops at its first bad record/);
  });
});
