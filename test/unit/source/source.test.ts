/** A source: what becomes of every message that is not as it should be, and that no one of them moves event time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { AFTER, BEFORE, type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { noMeter } from '../../../lib/observe/meter.ts';
import { newCursor } from '../../../lib/operator/run.ts';
import type { Decoder } from '../../../lib/record/format.ts';
import { ndjson } from '../../../lib/record/json.ts';
import type { Letter } from '../../../lib/record/letter.ts';
import { NO_MARK } from '../../../lib/source/poll.ts';
import { Source } from '../../../lib/source/source.ts';
import type { SourceSpec } from '../../../lib/source/spec.ts';
import { Graph } from '../../../lib/topology/graph.ts';
import { type FromOptions, streamDraft } from '../../../lib/topology/sources.ts';
import { NO_TIME } from '../../../lib/window/source-time.ts';

interface Got {
  readonly value: unknown;
  readonly timeMs: number;
  readonly change: Change;
}

type Message = string | Uint8Array | { data: string | Uint8Array; headers: Record<string, string> };

class Rig {
  readonly clock = new SimClock();
  readonly broker = new MemoryBroker({ clock: this.clock });
  readonly got: Got[] = [];
  readonly letters: Letter[] = [];
  readonly dropped: string[] = [];
  readonly source: Source;

  constructor(options: FromOptions<unknown> = {}, subject = 'in.>') {
    const graph = new Graph();
    const draft = streamDraft(graph, subject, options);
    assert.deepEqual(graph.mistakes, []);
    const spec = { ...draft, name: 'entries', stream: 'IN' } as SourceSpec;
    this.broker.create({ name: 'IN', subjects: ['in.>'] });
    this.source = new Source({
      spec,
      index: 0,
      log: this.broker.client('test'),
      clock: this.clock,
      meter: noMeter,
      target: {
        entry: { receive: (_key, value, timeMs, change) => void this.got.push({ value, timeMs, change }) },
        cursor: newCursor(),
        letter: letter => void this.letters.push(letter),
        drop: reason => void this.dropped.push(reason),
      },
    });
  }

  publish(...messages: Message[]): void {
    for (const message of messages) {
      const { data, headers } =
        typeof message === 'string' || message instanceof Uint8Array ? { data: message, headers: undefined } : message;
      const bytes = typeof data === 'string' ? Buffer.from(data) : data;
      this.broker.land([{ subject: 'in.a', data: bytes, ...(headers === undefined ? {} : { headers }) }], false);
    }
  }

  /** Publishes messages and passes them on. */
  async say(...messages: Message[]): Promise<void> {
    this.publish(...messages);
    if (this.source.position === 0 && this.source.mark.bornMs === 0) {
      const place = { position: 0, mark: NO_MARK, ...NO_TIME };
      await this.clock.runThrough(this.source.open(place, () => {}));
    }
    do await this.clock.run(this.clock.monotonic() + 50);
    while (this.source.poll({ messagesMax: 100, bytesMax: 1 << 26 }) > 0);
  }

  get codes(): string[] {
    return this.letters.map(letter => letter.code);
  }
}

describe('a source that reads through a message', () => {
  test('passes on nothing after it, and comes to that position also where that message is another’s', async () => {
    const rig = new Rig({}, 'in.a');
    const data = Buffer.from('9');
    rig.publish('1');
    for (let i = 0; i < 2; i++) rig.broker.land([{ subject: 'in.b', data }], false);
    rig.publish('2', '3');
    await rig.clock.runThrough(rig.source.open({ position: 0, mark: NO_MARK, ...NO_TIME }, () => {}));
    await rig.clock.run(rig.clock.monotonic() + 50);
    const poll = (through: number) => rig.source.poll({ messagesMax: 100, bytesMax: 1 << 20, through });
    const seen = () => [rig.got.map(({ value }) => value), rig.source.position];
    poll(2);
    assert.deepEqual(seen(), [[1], 2]);
    poll(4);
    assert.deepEqual(seen(), [[1, 2], 4]);
    poll(4);
    assert.deepEqual(seen(), [[1, 2], 4]);
    poll(5);
    assert.deepEqual(seen(), [[1, 2, 3], 5]);
  });
});

describe('a source in a stream that others use more', () => {
  test('is quiet by what is its own, without a look, and passes on nothing else', async () => {
    const rig = new Rig({ idleAfter: '2s' }, 'in.*.order');
    const land = (subject: string) => rig.broker.land([{ subject, data: Buffer.from('1') }], false);
    land('in.eu.order');
    await rig.say();
    const before = rig.source.time.watermarkMs;
    for (let i = 0; i < 300; i++) {
      for (const subject of ['in.eu.ping', 'in.order']) land(subject);
      await rig.clock.run(rig.clock.monotonic() + 10);
      // Nobody ticks: what is known is known from the messages of the others alone.
      rig.source.poll({ messagesMax: 100, bytesMax: 1 << 26 });
    }
    assert.equal(rig.got.length, 1);
    assert.ok(rig.source.idle);
    assert.ok(rig.source.time.watermarkMs >= before + 900, `${rig.source.time.watermarkMs - before} ms`);
  });

  test('passes on nothing that Millrace keeps for itself', async () => {
    const rig = new Rig({}, '*.>');
    rig.broker.remove('IN');
    rig.broker.create({ name: 'IN', subjects: ['>'] });
    for (const subject of ['_mr.p.m.sink.1.stage.0', 'in.a'])
      rig.broker.land([{ subject, data: Buffer.from('1') }], false);
    await rig.say('2');
    assert.deepEqual(
      rig.got.map(({ value }) => value),
      [1, 2],
    );
  });
});

describe('event time', () => {
  const at = (at: unknown) => JSON.stringify({ at });

  test('that is absurd makes a dead letter with the reason, and does not move the watermark', async () => {
    const rig = new Rig({ time: 'at' as never, maxOutOfOrder: '1s' });
    const nowMs = rig.clock.now();
    await rig.say(at(nowMs - 5_000));
    const before = rig.source.time.watermarkMs;
    assert.equal(before, nowMs - 6_000);
    const absurd: readonly [text: string, why: RegExp][] = [
      [at(2 ** 63), /9223372036854776000 is neither .*; of ns, for one, give Number\(ns \/ 1_000_000n\)$/],
      ['{"at":1e20}', /within 8640000000000000 of 1970/],
      [at(nowMs + 86_400_000), /(23h59m|1d) ahead of the broker's clock; maxFuture allows 1h/],
      [at(1e308), /within/],
      [at(-1e308), /within/],
      ['{"at":1e999}', /within/],
      [at('yesterday'), /"yesterday" is neither ms since 1970, nor a Date, nor ISO text/],
      [at('292277026596-12-04T15:30:08Z'), /neither/],
      [at('2026-13-45T00:00:00Z'), /no such day$/],
      [at('2023-02-31'), /^the event time "2023-02-31" is none: there is no such day$/],
      [at('2026-01-01T00:00:00+99:00'), /no such zone$/],
      [at('x'.repeat(100_000)), /^.{1,200}$/],
      [at(null), /null/],
      [at({}), /neither/],
      [at([1]), /a list/],
      [at(true), /true/],
      ['{}', /undefined/],
      ['{"at":{"toString":1}}', /neither/],
    ];
    for (const [text] of absurd) await rig.say(text);
    assert.equal(rig.source.time.watermarkMs, before);
    assert.deepEqual(
      rig.codes,
      absurd.map(() => 'RECORD_TIME'),
    );
    absurd.forEach(([text, why], i) => {
      assert.match(rig.letters[i]!.message, why);
      assert.equal(Buffer.from(rig.letters[i]!.bytes).toString(), text);
    });
    assert.equal(rig.got.length, 1);
  });

  test('a value that has no fields makes a dead letter of user code', async () => {
    const rig = new Rig({ time: 'at' as never });
    await rig.say('null', '7', '"text"', '[]');
    assert.deepEqual(rig.codes, ['USER_CODE', 'RECORD_TIME', 'RECORD_TIME', 'RECORD_TIME']);
  });

  test('in seconds is read as ms of January 1970: old, and so late where somebody asks, but nothing else is', async () => {
    const rig = new Rig({ time: 'at' as never });
    const nowMs = rig.clock.now();
    await rig.say(at(nowMs), at(Math.floor(nowMs / 1000)), at(nowMs + 1));
    assert.deepEqual(
      rig.got.map(({ timeMs }) => timeMs),
      [nowMs, Math.floor(nowMs / 1000), nowMs + 1],
    );
    assert.equal(rig.source.time.watermarkMs, nowMs, 'complete up to the present, and no further');
  });

  test('as ISO text without a zone is UTC, wherever the worker stands', async () => {
    const rig = new Rig({ time: 'at' as never, maxFuture: '36500d' });
    await rig.say(
      at('2026-01-01'),
      at('2026-01-01T00:00:00'),
      at('2026-01-01 00:00:00.000000001'),
      at('2026-01-01T02:00:00+02:00'),
      at('-000001-01-01T00:00:00Z'),
    );
    const first = Date.UTC(2026, 0, 1);
    assert.deepEqual(
      rig.got.map(({ timeMs }) => timeMs),
      [first, first, first, first],
    );
    assert.equal(rig.letters.length, 1);
  });

  test('at the very edges of what a date can be is accepted', async () => {
    const rig = new Rig({ time: 'at' as never });
    await rig.say(at(-8.64e15), at(-0), at(0.9));
    assert.deepEqual(
      rig.got.map(({ timeMs }) => timeMs),
      [-8.64e15, 0, 0],
    );
    assert.deepEqual(rig.letters, []);
  });
});

describe('user code at the source', () => {
  test('that is asynchronous is refused wherever it stands, and its failures end nothing', async () => {
    const failing = async () => Promise.reject(new Error('nobody waits'));
    for (const options of [{ with: failing }, { time: failing as unknown as () => number }]) {
      const rig = new Rig(options);
      await rig.say('{}');
      assert.deepEqual([rig.codes, rig.got], [['USER_CODE'], []]);
      assert.match(rig.letters[0]!.message, /returned a promise/);
    }
    // Long enough for a rejection that nobody has taken to end the process.
    await new Promise(resolve => setImmediate(resolve));
  });

  test('that throws takes one record of a message, and its letter holds that record alone', async () => {
    const rig = new Rig({
      format: ndjson(),
      with: value => {
        if ((value as { n: number }).n % 2 === 1) throw new Error('odd');
        return value;
      },
    });
    await rig.say('{"n":0}\n{"n":1}\nbroken\n{"n":2}\n{"n":3}\n');
    assert.deepEqual(
      rig.got.map(({ value }) => (value as { n: number }).n),
      [0, 2],
    );
    assert.deepEqual(
      rig.letters.map(({ code, bytes }) => [code, Buffer.from(bytes).toString()]),
      [
        ['RECORD_UNREADABLE', 'broken'],
        ['USER_CODE', '{"n":1}'],
        ['USER_CODE', '{"n":3}'],
      ],
    );
  });

  test('that throws at each of 60,000 records of a message does so in a time that is no hang', async () => {
    const rig = new Rig({
      format: ndjson(),
      with: () => {
        throw new Error('all bad');
      },
    });
    await rig.say('{"n":1}\n'.repeat(60_000));
    assert.equal(rig.letters.length, 60_000);
    assert.equal(Buffer.from(rig.letters.at(-1)!.bytes).toString(), '{"n":1}');
  });

  test('of a source that skips or stops does so', async () => {
    const skips = new Rig({ onPoison: 'skip' });
    await skips.say('broken', '{}');
    assert.deepEqual([skips.dropped, skips.got.length, skips.letters], [['skipped'], 1, []]);
    const stops = new Rig({ onPoison: 'stop' });
    await assert.rejects(stops.say('{}', 'broken'), { code: 'LIMIT_REACHED', message: /message 2 of IN: not JSON/ });
  });
});

describe('a change', () => {
  const change = (value: unknown) => (value as { change: never }).change;
  const record = (word: unknown, at: number) => JSON.stringify({ change: word, at });

  test('is what the author’s function says of the record and its message; without one all are inserts', async () => {
    const words = ['insert', 'before', 'after', 'delete'];
    const rig = new Rig({ change });
    await rig.say(...words.map(word => record(word, 0)));
    assert.deepEqual(
      rig.got.map(got => got.change),
      [INSERT, BEFORE, AFTER, DELETE],
    );
    const byHeader = new Rig({ change: (_, { headers }) => (headers?.Op === 'd' ? 'delete' : 'insert') });
    await byHeader.say({ data: '1', headers: { Op: 'd' } }, '2');
    assert.deepEqual(
      byHeader.got.map(got => got.change),
      [DELETE, INSERT],
    );
    const plain = new Rig();
    await plain.say(record('delete', 0));
    assert.deepEqual(
      plain.got.map(got => got.change),
      [INSERT],
    );
  });

  test('that is none makes a dead letter with the reason, and does not move the watermark', async () => {
    const rig = new Rig({ change, time: 'at' as never });
    const nowMs = rig.clock.now();
    await rig.say(record('insert', nowMs - 5_000));
    const before = rig.source.time.watermarkMs;
    await rig.say(...['update', 'Delete', '', 1, null, undefined, ['insert']].map(word => record(word, nowMs)));
    assert.equal(rig.source.time.watermarkMs, before);
    assert.deepEqual(rig.codes, new Array(7).fill('RECORD_INVALID'));
    assert.equal(rig.letters[0]!.message, 'the change "update" is none of insert, before, after, delete');
    assert.equal(rig.letters[0]!.change, undefined);
    assert.equal(rig.got.length, 1);
  });

  test('that was none has no say in the watermark either when its message is read again from its middle', async () => {
    const nowMs = new Rig().clock.now();
    const lines = [record('insert', nowMs - 5_000), record('no', nowMs), record('delete', nowMs - 4_000)].join('\n');
    const watermarks = await Promise.all(
      [0, 2].map(async rowsTaken => {
        const rig = new Rig({ change, time: 'at' as never, format: ndjson() });
        rig.publish(lines);
        await rig.clock.runThrough(rig.source.open({ position: 0, rowsTaken, mark: NO_MARK, ...NO_TIME }, () => {}));
        await rig.say();
        return [rig.got.length, rig.source.time.watermarkMs - nowMs];
      }),
    );
    assert.deepEqual(watermarks, [
      [2, -4_000],
      [1, -4_000],
    ]);
  });

  test('cannot be waited for, and a function that throws is told by its own reason', async () => {
    const waits = new Rig({ change: (async () => 'insert') as never });
    await waits.say('1');
    assert.deepEqual(waits.codes, ['USER_CODE']);
    assert.match(waits.letters[0]!.message, /^the change function returned a promise/);
    const throws = new Rig({
      change: () => {
        throw new Error('no op');
      },
    });
    await throws.say('1');
    assert.deepEqual([throws.codes, throws.letters[0]!.message.startsWith('no op')], [['USER_CODE'], true]);
  });
});

describe('a message of many parts that cannot be read', () => {
  const lines = (count: number) => Array.from({ length: count }, (_, i) => (i % 3 === 2 ? `${i}` : `x${i}`)).join('\n');
  const index = (letter: Letter) => letter.index;

  /** Polls in batches of so many rows; what each brought, as letters and records. */
  const batches = (rig: Rig, rows: number) => {
    const brought: [number, number][] = [];
    for (;;) {
      const before = [rig.letters.length, rig.got.length] as const;
      const full = () => rig.letters.length + rig.got.length - before[0] - before[1] >= rows;
      if (rig.source.poll({ messagesMax: 100, bytesMax: 1 << 20, withinMessages: true, full }) === 0) return brought;
      brought.push([rig.letters.length - before[0], rig.got.length - before[1]]);
    }
  };
  const opened = async (rig: Rig, place: { position: number; rowsTaken?: number }) => {
    await rig.clock.runThrough(rig.source.open({ mark: NO_MARK, ...NO_TIME, ...place }, () => {}));
    await rig.clock.run(rig.clock.monotonic() + 50);
  };

  test('is passed on in slices: its letters, then its records, each once', async () => {
    const rig = new Rig({ format: ndjson() });
    rig.publish(lines(30), '7');
    await opened(rig, { position: 0 });
    assert.deepEqual(batches(rig, 8), [
      [8, 0],
      [8, 0],
      [4, 4],
      [0, 7],
    ]);
    assert.deepEqual(
      rig.letters.map(index),
      Array.from({ length: 30 }, (_, i) => i).filter(i => i % 3 !== 2),
    );
    assert.equal(rig.got.length, 11);
    assert.deepEqual([rig.source.recordsIn, rig.source.lettersIn, rig.source.bytesIn], [11, 20, lines(30).length + 1]);
  });

  test('whoever restores in the middle of it goes on with the very next row', async () => {
    for (let rows = 1; rows < 31; rows++) {
      const before = new Rig({ format: ndjson() });
      before.publish(lines(30), '7');
      await opened(before, { position: 0 });
      let left = rows;
      const full = () => before.letters.length + before.got.length >= rows && left-- > 0;
      before.source.poll({ messagesMax: 1, bytesMax: 1, withinMessages: true, full });
      const { position, row } = before.source;
      const after = new Rig({ format: ndjson() });
      after.publish(lines(30), '7');
      await opened(after, row === 0 ? { position } : { position, rowsTaken: row });
      batches(after, 4);
      const letters = [...before.letters, ...after.letters];
      assert.deepEqual([letters.length, before.got.length + after.got.length], [20, 11], `${rows} rows`);
      assert.equal(new Set(letters.map(index)).size, 20);
      assert.equal(after.source.position, 2);
    }
  });

  test('shares what its letters carry of its headers', async () => {
    const rig = new Rig({ format: ndjson() });
    await rig.say({ data: 'x\ny', headers: { tenant: 'eu' } });
    assert.equal(rig.letters.length, 2);
    assert.equal(rig.letters[0]!.carried, rig.letters[1]!.carried);
  });

  test('of a format of the author’s own that throws is one letter, and the next message is read', async () => {
    const own: Decoder = {
      name: 'own',
      decode({ data }, out, report) {
        out.push(1);
        report({ index: 1, bytes: data, cause: new Error('half') });
        if (data.length === 1) throw new Error('not one of mine');
      },
    };
    const rig = new Rig({ format: own });
    await rig.say('x', 'yy');
    assert.deepEqual(rig.codes, ['USER_CODE', 'RECORD_UNREADABLE']);
    assert.match(rig.letters[0]!.message, /^not one of mine/);
    assert.equal(rig.got.length, 1);
  });
});

describe('a message with headers', () => {
  test('that says how it is compressed is read, and its letters hold what was in it', async () => {
    const rig = new Rig({ time: 'at' as never });
    const now = JSON.stringify({ at: rig.clock.now(), text: 'é' });
    const packed = (text: string, encoding = 'gzip') => ({
      data: gzipSync(text),
      headers: { 'Content-Encoding': encoding },
    });
    await rig.say(packed(now), packed('{"at":"never"}'), packed('{}', 'snappy'), packed('{}', 'br'));
    assert.deepEqual(
      rig.got.map(({ value }) => JSON.stringify(value)),
      [now],
    );
    assert.deepEqual(rig.codes, ['RECORD_TIME', 'RECORD_UNREADABLE', 'RECORD_UNREADABLE']);
    assert.equal(Buffer.from(rig.letters[0]!.bytes).toString(), '{"at":"never"}');
    assert.match(rig.letters[1]!.message, /"snappy" is not known: gzip, deflate or br/);
    assert.deepEqual(Buffer.from(rig.letters[1]!.bytes), gzipSync('{}'));
    assert.match(rig.letters[2]!.message, /cannot be decompressed \(br\)/);
  });

  test('that bursts when it is decompressed is a dead letter', async () => {
    const rig = new Rig();
    await rig.say({ data: gzipSync(Buffer.alloc(64 << 20, ' ')), headers: { 'Content-Encoding': 'gzip' } }, '{}');
    assert.deepEqual(rig.codes, ['RECORD_UNREADABLE']);
    assert.match(rig.letters[0]!.message, /beyond DECOMPRESSED_PAYLOADS_MAX, 4 × max_payload \(4194304 bytes\)/);
    assert.equal(rig.got.length, 1);
  });

  test('that is much more once it is decompressed ends the poll, and what is left is read by the next ones', async () => {
    const rig = new Rig({ format: ndjson() });
    const data = gzipSync('{"n":1}\n'.repeat(10_000));
    const packed = Array.from({ length: 12 }, () => ({ data, headers: { 'Content-Encoding': 'gzip' } }));
    await rig.say();
    rig.publish(...packed);
    await rig.clock.run(rig.clock.monotonic() + 50);
    const polls: number[] = [];
    for (let passed = -1; passed !== 0; polls.push(passed)) {
      passed = rig.source.poll({ messagesMax: 100, bytesMax: 100_000 });
      const isDone = rig.source.position === 12;
      assert.equal(rig.source.lag, isDone ? 0 : 12 - rig.source.position);
    }
    assert.deepEqual(polls, [2, 2, 2, 2, 2, 2, 0]);
    assert.equal(rig.got.length, 120_000);
    assert.equal(rig.source.bytesIn, 12 * 80_000);
  });

  test('of an unknown content type is read as JSON, and one of a known type as what it says', async () => {
    const rig = new Rig();
    const typed = (type: string, data: string | Uint8Array) => ({ data, headers: { 'Content-Type': type } });
    await rig.say(
      typed('application/x-unheard-of', '{"a":1}'),
      typed('', '{"a":2}'),
      typed('APPLICATION/msgpack', Uint8Array.of(0xc1)),
    );
    assert.deepEqual(
      rig.got.map(({ value }) => value),
      [{ a: 1 }, { a: 2 }],
    );
    assert.match(rig.letters[0]!.message, /not MessagePack/);
  });
});
