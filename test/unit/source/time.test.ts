/** A source in time: what it makes of heartbeats, of looks at its stream's end, and of what is not its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import { noMeter } from '../../../lib/observe/meter.ts';
import { newCursor } from '../../../lib/operator/run.ts';
import type { Headers } from '../../../lib/port/log.ts';
import type { Letter } from '../../../lib/record/letter.ts';
import type { SourcePlace } from '../../../lib/source/poll.ts';
import { NO_MARK } from '../../../lib/source/poll.ts';
import { Source } from '../../../lib/source/source.ts';
import type { SourceSpec } from '../../../lib/source/spec.ts';
import { Graph } from '../../../lib/topology/graph.ts';
import { type FromOptions, streamDraft } from '../../../lib/topology/sources.ts';
import { NO_TIME } from '../../../lib/window/source-time.ts';
import { END_MS } from '../../../lib/window/watermark.ts';

const LIMITS = { messagesMax: 1_000, bytesMax: 1 << 26 };
const TICK_MS = 100;

/** A source and the actor that owns it: polls when it is woken, ticks ten times a second. */
class Rig {
  readonly clock = new SimClock();
  readonly broker = new MemoryBroker({ clock: this.clock });
  readonly log: MemoryLog = this.broker.client('test');
  readonly got: string[] = [];
  readonly letters: Letter[] = [];
  readonly dropped: string[] = [];
  readonly startMs = this.clock.now();
  source: Source;
  #options: FromOptions<unknown>;
  #error: unknown = null;

  constructor(options: FromOptions<unknown> & { subjects?: readonly string[] } = {}) {
    const { subjects = ['in.>'], ...rest } = options;
    this.#options = rest;
    this.broker.create({ name: 'IN', subjects: [...subjects] });
    this.source = this.#make();
  }

  #make(subject = 'in.a'): Source {
    const graph = new Graph();
    const draft = streamDraft(graph, subject, { time: 'at' as never, ...this.#options });
    assert.deepEqual(graph.mistakes, []);
    return new Source({
      spec: { ...draft, name: 'entries', stream: 'IN' } as SourceSpec,
      index: 0,
      log: this.log,
      clock: this.log.clock,
      meter: noMeter,
      target: {
        entry: { receive: (_key, value) => void this.got.push(JSON.stringify(value)) },
        cursor: newCursor(),
        letter: letter => void this.letters.push(letter),
        drop: reason => void this.dropped.push(reason),
      },
    });
  }

  async open(place: SourcePlace = { position: 0, mark: NO_MARK, ...NO_TIME }, subject = 'in.a'): Promise<void> {
    await this.source.stop();
    this.source = this.#make(subject);
    const source = this.source;
    const poll = () => {
      try {
        while (source.poll(LIMITS) > 0);
      } catch (error) {
        this.#error = error;
      }
    };
    await this.clock.runThrough(source.open(place, () => this.log.clock.soon(poll)));
    const tick = () => {
      if (this.source !== source) return;
      poll();
      source.tick();
      this.log.clock.after(TICK_MS, tick);
    };
    tick();
  }

  say(subject: string, at: number | null, headers?: Headers): void {
    const data = at === null ? new Uint8Array() : Buffer.from(JSON.stringify({ at: this.startMs + at }));
    this.broker.land([{ subject, data, ...(headers === undefined ? {} : { headers }) }], false);
  }

  heartbeat(text: string, name = 'Millrace-Complete'): void {
    this.say('in.a', null, { [name]: text });
  }

  async pass(ms: number): Promise<void> {
    await this.clock.run(this.clock.monotonic() + ms);
  }

  /** Since the start, ms. */
  get watermarkMs(): number {
    return this.source.time.watermarkMs - this.startMs;
  }

  get place(): SourcePlace {
    const { position, mark, time } = this.source;
    return { position, mark: { ...mark }, watermarkMs: time.watermarkMs, clockMs: time.clockMs, quietMs: time.quietMs };
  }

  get code(): string | null {
    return isMillraceError(this.#error) ? this.#error.code : null;
  }
}

describe('a heartbeat', () => {
  test('says up to when its source is complete, is no record, and is counted', async () => {
    const rig = new Rig({ maxOutOfOrder: '5s' });
    await rig.open();
    rig.say('in.a', 0);
    await rig.pass(200);
    assert.equal(rig.watermarkMs, -5_000);
    rig.heartbeat(new Date(rig.startMs + 60_000).toISOString());
    rig.heartbeat(new Date(rig.startMs + 40_000).toISOString(), 'millrace-complete');
    await rig.pass(200);
    assert.equal(rig.watermarkMs, 60_000, 'ahead of the clock, for it is said on purpose');
    assert.deepEqual([rig.got.length, rig.letters, rig.dropped], [1, [], ['heartbeat', 'heartbeat']]);
  });

  test('is a sign of life: the source is quiet from then on', async () => {
    const rig = new Rig();
    await rig.open();
    for (let seconds = 0; seconds <= 24; seconds += 8) {
      rig.heartbeat(new Date(rig.startMs + seconds * 1_000).toISOString());
      await rig.pass(8_000);
      assert.equal(rig.watermarkMs, seconds * 1_000);
    }
    await rig.pass(8_000);
    assert.ok(rig.watermarkMs > 29_000 && rig.watermarkMs <= 30_000, String(rig.watermarkMs));
  });

  test('that says end leaves nothing to wait for, and what comes after all the same is passed on', async () => {
    const rig = new Rig();
    await rig.open();
    rig.heartbeat('end');
    rig.say('in.a', 0);
    await rig.pass(60_000);
    assert.deepEqual([rig.source.time.watermarkMs, rig.got.length], [END_MS, 1]);
  });

  test('that says nothing one can read is a letter, and moves nothing', async () => {
    const rig = new Rig();
    await rig.open();
    for (const text of ['noon', '', 'END', '2026-13-45T00:00:00Z']) rig.heartbeat(text);
    await rig.pass(200);
    assert.equal(rig.source.time.watermarkMs, NO_TIME.watermarkMs);
    assert.deepEqual(
      rig.letters.map(({ code }) => code),
      ['RECORD_TIME', 'RECORD_TIME', 'RECORD_TIME', 'RECORD_TIME'],
    );
    assert.match(rig.letters[0]!.message, /Millrace-Complete: noon is neither an ISO time nor end/);
  });

  test('has no content: with content it is a record like any other', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 0, { 'Millrace-Complete': 'end' });
    rig.say('in.a', null);
    await rig.pass(200);
    assert.deepEqual([rig.watermarkMs, rig.got.length, rig.dropped], [0, 1, []]);
    assert.deepEqual(
      rig.letters.map(({ code }) => code),
      ['RECORD_UNREADABLE'],
      'without content and header it is nothing',
    );
  });
});

describe('a quiet source', () => {
  test('goes on with the clock of the broker, idleAfter behind it', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 0);
    await rig.pass(10_000);
    assert.equal(rig.watermarkMs, 0);
    await rig.pass(30_000);
    assert.ok(rig.watermarkMs > 29_000 && rig.watermarkMs <= 30_000, String(rig.watermarkMs));
  });

  test('stands while it is cut off, and what came meanwhile is in time, however old what it knew is', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 0);
    await rig.pass(14_000);
    const before = rig.watermarkMs;
    rig.log.cutOff();
    for (let n = 0; n < 30; n++) {
      await rig.pass(1_000);
      rig.say('in.a', 15_000 + n * 1_000);
    }
    assert.equal(rig.watermarkMs, before);
    rig.log.reconnect();
    await rig.pass(50);
    assert.ok(rig.watermarkMs <= 44_000);
    await rig.pass(5_000);
    assert.deepEqual([rig.watermarkMs, rig.got.length], [44_000, 31]);
  });

  test('takes nothing for silence that it heard of before it was frozen', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 0);
    await rig.pass(14_000);
    const before = rig.watermarkMs;
    rig.log.freeze();
    rig.say('in.a', 14_100);
    await rig.pass(60_000);
    rig.say('in.a', 14_200);
    rig.log.thaw();
    // Each turn of the loop after the thaw, timers before arrivals.
    for (let turn = 0; turn < 20; turn++) {
      await rig.pass(0.01);
      if (rig.got.length < 2) assert.ok(rig.watermarkMs <= before, `${rig.watermarkMs} after ${turn} turns`);
    }
    await rig.pass(1_000);
    assert.equal(rig.got.length, 3);
  });

  test('goes on after a restart as if there had been none, and counts no second twice', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 0);
    await rig.pass(25_000);
    await rig.open(rig.place);
    await rig.pass(25_000);
    assert.ok(rig.watermarkMs > 39_000 && rig.watermarkMs <= 40_000, String(rig.watermarkMs));
  });

  test('is never further behind than its maxDelay, also when it has never spoken', async () => {
    const rig = new Rig({ maxDelay: '5s' });
    await rig.open();
    await rig.pass(20_000);
    assert.ok(rig.watermarkMs > 14_000 && rig.watermarkMs <= 15_000, String(rig.watermarkMs));
  });
});

describe('what is not its own', () => {
  test('is passed over, also on a subject that its stream did not have when it was opened', async () => {
    const rig = new Rig({ subjects: ['in.a'] });
    await rig.open();
    rig.say('in.a', 1);
    await rig.pass(1_000);
    Object.assign(rig.broker.stream('IN')!.settings, { subjects: ['in.a', 'in.b'] });
    for (const subject of ['in.b', 'in.b', 'in.a', 'in.b']) rig.say(subject, 2);
    await rig.pass(2_000);
    assert.deepEqual([rig.got.length, rig.source.position], [2, 5]);
  });

  test('moves its position, where the server filters, so that no purge of it is a loss', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 1);
    for (let n = 0; n < 300; n++) rig.say('in.b', 1);
    await rig.pass(2_000);
    assert.equal(rig.source.position, 301);
    rig.broker.stream('IN')!.trim('>', 301);
    await rig.pass(2_000);
    await rig.open(rig.place);
    rig.say('in.a', 2);
    await rig.pass(2_000);
    assert.deepEqual([rig.code, rig.got.length], [null, 2]);
  });

  test('cannot be told from its own once it is gone unread: STREAM_CHANGED, when it opens', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 1);
    await rig.pass(2_000);
    const { place } = rig;
    await rig.source.stop();
    for (let n = 0; n < 300; n++) rig.say('in.a', 1);
    rig.broker.stream('IN')!.trim('>', 200);
    await rig.open(place);
    await rig.pass(2_000);
    assert.equal(rig.code, 'STREAM_CHANGED');
  });

  test('and while it runs: it was cut off, and its stream went on without it', async () => {
    const rig = new Rig();
    await rig.open();
    rig.say('in.a', 1);
    await rig.pass(2_000);
    rig.log.cutOff();
    for (let n = 0; n < 300; n++) rig.say(n % 2 === 0 ? 'in.a' : 'in.b', 1);
    rig.broker.stream('IN')!.trim('>', 302);
    await rig.pass(2_000);
    assert.equal(rig.code, null);
    rig.log.reconnect();
    await rig.pass(2_000);
    assert.equal(rig.code, 'STREAM_CHANGED');
    assert.equal(rig.got.length, 1);
  });
});

describe('a stream that was put back to an older copy while nobody read it', () => {
  /** What the source had read is gone from message 3 on. */
  async function putBack(): Promise<{ rig: Rig; place: SourcePlace }> {
    const rig = new Rig({ subjects: ['in.>'] });
    await rig.open();
    for (const at of [1, 2]) rig.say('in.a', at);
    await rig.pass(500);
    const copy = rig.broker.stream('IN')!.copy();
    for (const at of [3, 4, 5]) rig.say('in.a', at);
    await rig.pass(500);
    const { place } = rig;
    assert.equal(place.position, 5);
    await rig.source.stop();
    rig.broker.stream('IN')!.putBack(copy);
    await rig.pass(10);
    return { rig, place };
  }

  test('is told by where it ends, and once it has grown again by when the message there was stored', async () => {
    const { rig, place } = await putBack();
    await assert.rejects(rig.open(place), /^MillraceError: .* ends at 2: it was recreated or lost data/);
    for (const at of [6, 7, 8, 9]) rig.say(at === 8 ? 'in.b' : 'in.a', at);
    await assert.rejects(rig.open(place), /up to 5, but another message is at 5: it was put back/);
  });

  test('is told from one that is as it was, also where what was read is gone', async () => {
    const rig = new Rig();
    await rig.open();
    for (const at of [1, 2, 3]) rig.say('in.a', at);
    await rig.pass(500);
    const { place } = rig;
    await rig.open(place);
    rig.broker.stream('IN')!.trim('>', 4);
    await rig.open(place);
    rig.say('in.a', 4);
    await rig.pass(500);
    assert.deepEqual([rig.code, rig.got.length], [null, 4]);
  });
});

test('what a look says is true as of the broker’s clock at that moment, not as of when it is taken up', async () => {
  const rig = new Rig();
  await rig.open();
  rig.say('in.a', 0);
  await rig.pass(200);
  const sawMs = rig.startMs + 50;
  rig.source.looked({ lastSeq: 1, clockMs: sawMs });
  assert.equal(rig.source.time.clockMs, sawMs);
});
