/** What a task reads: channels of several writers, their event time, their links, and what is trimmed behind. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AFTER, BEFORE, type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import { encodeBroadcast, encodeFrame, type FrameHead } from '../../../lib/channel/frame.ts';
import { ChannelReader } from '../../../lib/channel/reader.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import { newCursor } from '../../../lib/operator/run.ts';
import { broadcastSubject, channelSubject, channelsStream, channelsSubjects } from '../../../lib/record/names.ts';
import { NO_TIME } from '../../../lib/window/source-time.ts';

const DEPLOYMENT = { pipeline: 'p', life: 'l' };
const PLACE = { deployment: DEPLOYMENT, stage: 's', partition: 0 };
const LIMITS = { recordsMax: 10_000, bytesMax: 1 << 20, full: () => false };

class Rig {
  readonly clock: SimClock;
  readonly broker: MemoryBroker;
  readonly log: MemoryLog;
  readonly got: unknown[] = [];
  readonly changes: Change[] = [];
  readonly failures: unknown[] = [];
  readonly input: ChannelReader;
  readonly #bootstrap: boolean;

  constructor(writers: readonly string[], options: { bootstrap?: boolean; broker?: MemoryBroker } = {}) {
    this.#bootstrap = options.bootstrap ?? false;
    this.broker = options.broker ?? new MemoryBroker({ clock: new SimClock() });
    this.clock = this.broker.clock as SimClock;
    this.log = this.broker.client('test');
    for (const bootstrap of [false, true]) {
      const inlet = { stage: 's', bootstrap };
      this.broker.create({
        name: channelsStream(DEPLOYMENT, inlet),
        subjects: [...channelsSubjects(DEPLOYMENT, inlet)],
      });
    }
    this.input = new ChannelReader({
      ...PLACE,
      name: 'in',
      bootstrap: this.#bootstrap,
      writers: writers.map(writer => ({ writer, name: writer, idleAfterMs: 10_000, skips: false })),
      log: this.log,
      clock: this.clock,
      entry: {
        receive: (_key, value, _timeMs, change) => {
          this.got.push(value);
          this.changes.push(change);
        },
      },
      cursor: newCursor(),
      refusals: {
        refused: () => null,
        refuse: () => assert.fail('nothing is refused'),
        pass: () => assert.fail('nothing is refused'),
      },
      letter: () => assert.fail('no letter was sent'),
      onFailed: error => this.failures.push(error),
    });
  }

  subjectOf(writer: string): string {
    return channelSubject(DEPLOYMENT, { ...PLACE, bootstrap: this.#bootstrap, input: 'in', writer });
  }

  async frame(writer: string, value: unknown, head: Partial<FrameHead> = {}, expect?: number): Promise<number> {
    const subject = this.subjectOf(writer);
    const inlet = { stage: 's', bootstrap: this.#bootstrap };
    const last = this.broker.stream(channelsStream(DEPLOYMENT, inlet))!.lastSeqOf(subject);
    const columns = { keys: ['k'], timesMs: [1], origins: [64], ids: null, values: [value] };
    const data = encodeFrame({ ...headOf(head), columns, letters: [] });
    const outcome = await this.log.append({ subject, data, expect: expect ?? last });
    assert.equal(outcome.kind, 'landed');
    return outcome.kind === 'landed' ? outcome.seq : 0;
  }

  async broadcast(writer: string, head: Partial<FrameHead>): Promise<void> {
    const subject = broadcastSubject(DEPLOYMENT, { stage: 's', bootstrap: this.#bootstrap, input: 'in', writer });
    await this.log.append({ subject, data: encodeBroadcast(headOf(head)) });
  }

  open(position = 0): Promise<void> {
    const opened = this.input.open({ positions: { in: position }, watermarkMs: Number.NEGATIVE_INFINITY }, () => {});
    return this.clock.runThrough(opened);
  }

  async feed(): Promise<void> {
    await this.clock.run(this.clock.monotonic() + 100);
    while (this.input.feed(LIMITS).bytes > 0) await this.clock.run(this.clock.monotonic() + 10);
  }
}

function headOf(head: Partial<FrameHead>): FrameHead {
  return { position: 1, row: 0, ...NO_TIME, bootstrapped: false, ...head };
}

describe('a channel input', () => {
  test('passes on each record with its change, also where a batch ends within a frame', async () => {
    const rig = new Rig(['r-a']);
    const values = [0, 1, 2, 3, 4];
    const plain = { keys: values.map(() => 'k'), timesMs: values, origins: values.map(() => 64), ids: null, values };
    const changes: Change[] = [INSERT, BEFORE, AFTER, DELETE, INSERT];
    const first = encodeFrame({ ...headOf({}), columns: { ...plain, changes }, letters: [] });
    const second = encodeFrame({ ...headOf({}), columns: plain, letters: [] });
    const subject = rig.subjectOf('r-a');
    await rig.log.append({ subject, data: first, expect: 0 });
    await rig.log.append({ subject, data: second, expect: 1 });
    await rig.open();
    await rig.clock.run(rig.clock.monotonic() + 100);
    rig.input.feed({ ...LIMITS, full: () => rig.got.length === 2 });
    await rig.feed();
    assert.deepEqual(rig.got, [...values, ...values]);
    assert.deepEqual(rig.changes, [...changes, INSERT, INSERT, INSERT, INSERT, INSERT]);
  });

  test('stops within a frame when the batch is full, and whoever goes on takes the very next row (*slices*)', async () => {
    const first = new Rig(['r-a']);
    const stream = channelsStream(DEPLOYMENT, { stage: 's' });
    const values = [0, 1, 2, 3, 4];
    const columns = {
      ...{ keys: values.map(() => 'k'), timesMs: values, origins: values.map(() => 64), ids: null, values },
    };
    const data = encodeFrame({ ...headOf({ watermarkMs: 900 }), columns, letters: [] });
    await first.log.append({ subject: first.subjectOf('r-a'), data, expect: 0 });
    await first.open();
    await first.clock.run(first.clock.monotonic() + 100);
    for (const taken of [2, 4]) {
      first.input.feed({ ...LIMITS, full: () => first.got.length >= taken });
      const { in: position, 'in@rows': rows } = first.input.places();
      assert.deepEqual([position, rows, first.got.length], [0, taken, taken]);
      assert.equal(first.input.watermarkMs, Number.NEGATIVE_INFINITY, 'not all of the frame is in');
    }
    const places = first.input.places();
    const next = new Rig(['r-a'], { broker: first.broker });
    await next.clock.runThrough(
      next.input.open({ positions: places, watermarkMs: Number.NEGATIVE_INFINITY }, () => {}),
    );
    await next.feed();
    assert.deepEqual([...first.got, ...next.got], values);
    assert.deepEqual([next.input.places().in, next.input.places()['in@rows']], [1, undefined]);
    assert.equal(next.input.watermarkMs, 900);
    assert.equal(next.broker.stream(stream)!.lastSeq, 1);
  });

  test('is no further in event time than the writer that is furthest behind, whoever has written more', async () => {
    const rig = new Rig(['r-a', 'r-b']);
    await rig.open();
    await rig.frame('r-a', 1, { watermarkMs: 900 });
    await rig.feed();
    assert.equal(rig.input.watermarkMs, Number.NEGATIVE_INFINITY, 'one writer has not spoken');
    await rig.frame('r-b', 2, { watermarkMs: 100 });
    await rig.frame('r-a', 3, { watermarkMs: 1_000 });
    await rig.feed();
    assert.equal(rig.input.watermarkMs, 100);
    assert.deepEqual(rig.got, [1, 2, 3]);
  });

  test('hears of each writer how far it is, as of when, and for how long it has been quiet', async () => {
    const rig = new Rig(['r-a', 'r-b']);
    const heard = () => rig.input.voices.map(({ watermarkMs, clockMs, quietMs }) => [watermarkMs, clockMs, quietMs]);
    await rig.open();
    await rig.broadcast('r-a', { watermarkMs: 900, clockMs: 2_000, quietMs: 1_500 });
    await rig.broadcast('r-b', { clockMs: 3_000 });
    await rig.feed();
    assert.deepEqual(heard(), [
      [900, 2_000, 1_500],
      [Number.NEGATIVE_INFINITY, 3_000, Number.POSITIVE_INFINITY],
    ]);
    await rig.frame('r-b', 1, { watermarkMs: 950, clockMs: 3_100, quietMs: 0 });
    await rig.broadcast('r-a', { watermarkMs: 800, clockMs: 1_000, quietMs: 600 });
    await rig.feed();
    assert.deepEqual(heard(), [
      [900, 2_000, 1_500],
      [950, 3_100, 0],
    ]);
  });

  test('believes after a restart what a writer was complete to, and nothing that it has said of its silence', async () => {
    const rig = new Rig(['r-a', 'r-b']);
    await rig.broadcast('r-a', { watermarkMs: 900, clockMs: 2_000, quietMs: 60_000 });
    await rig.broadcast('r-b', { clockMs: 2_000 });
    await rig.frame('r-b', 1, { watermarkMs: 950, clockMs: 3_000, quietMs: 0 });
    await rig.open(3);
    assert.deepEqual(
      rig.input.voices.map(({ watermarkMs, clockMs, quietMs }) => [watermarkMs, clockMs, quietMs]),
      [
        [900, Number.NEGATIVE_INFINITY, 0],
        [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0],
      ],
    );
  });

  test('reads little ahead: every task of a worker does', async () => {
    const rig = new Rig(['r-a']);
    const read = rig.log.read.bind(rig.log);
    const ahead: (number | undefined)[] = [];
    rig.log.read = options => {
      ahead.push(options.bufferBytesMax);
      return read(options);
    };
    await rig.open();
    assert.deepEqual(ahead, [512 << 10]);
  });

  test('never takes back what a writer has said of event time', async () => {
    const rig = new Rig(['r-a']);
    await rig.open();
    await rig.broadcast('r-a', { watermarkMs: 500 });
    await rig.broadcast('r-a', { watermarkMs: 400 });
    await rig.feed();
    assert.equal(rig.input.watermarkMs, 500);
  });

  test('knows after a restart what a writer said last before it', async () => {
    const rig = new Rig(['r-a']);
    await rig.broadcast('r-a', { watermarkMs: 700, bootstrapped: true });
    await rig.open(1);
    assert.deepEqual([rig.input.watermarkMs, rig.input.bootstrapped], [700, true]);
  });

  test('asks for a last word again, which a server that was just deposed does not know', async () => {
    const rig = new Rig(['r-a']);
    await rig.broadcast('r-a', { watermarkMs: 600 });
    await rig.broadcast('r-a', { watermarkMs: 700 });
    rig.broker.faults = { staleLast: 1 };
    await rig.open(2);
    assert.equal(rig.input.watermarkMs, 600);
    rig.broker.faults = {};
    await rig.clock.run(rig.clock.monotonic() + 10_000);
    rig.input.tick();
    await rig.clock.run(rig.clock.monotonic() + 100);
    assert.equal(rig.input.watermarkMs, 700);
    assert.deepEqual(rig.failures, []);
  });

  test('has been read to its end once every writer has said so', async () => {
    const rig = new Rig(['r-a'], { bootstrap: true });
    await rig.open();
    await rig.frame('r-a', 1);
    await rig.feed();
    assert.equal(rig.input.bootstrapped, false);
    await rig.broadcast('r-a', { bootstrapped: true });
    await rig.broadcast('r-a', { bootstrapped: false });
    await rig.feed();
    assert.equal(rig.input.bootstrapped, true, 'and stays so');
  });

  test('stops at a frame that does not follow the one before it', async () => {
    const rig = new Rig(['r-a']);
    await rig.open();
    const first = await rig.frame('r-a', 1);
    await rig.feed();
    const subject = rig.subjectOf('r-a');
    const second = await rig.frame('r-a', 2);
    await rig.frame('r-a', 3);
    // The broker loses the second before it is read.
    rig.broker.stream(channelsStream(DEPLOYMENT, { stage: 's' }))!.trim(subject, second + 1);
    await assert.rejects(rig.feed(), { code: 'CHAIN_BROKEN' });
    assert.ok(second > first);
    assert.deepEqual(rig.got, [1]);
  });

  test('stops when its first frame follows one that nobody has read: the journal was put back (*every tail compared*)', async () => {
    for (const [position, stops] of [
      [1, true],
      [2, false],
    ] as const) {
      const rig = new Rig(['r-a']);
      for (const value of [1, 2, 3]) await rig.frame('r-a', value);
      // As a commit that the journal has lost had it trimmed.
      rig.broker.stream(channelsStream(DEPLOYMENT, { stage: 's' }))!.trim(rig.subjectOf('r-a'), 3);
      await rig.open(position);
      if (stops) await assert.rejects(rig.feed(), { code: 'CHAIN_BROKEN' });
      else await rig.feed();
      assert.deepEqual(rig.got, stops ? [] : [3]);
    }
  });

  test('stops when the channels were put back: shorter than read, or grown again to other frames (*every tail compared*)', async () => {
    for (const grown of [0, 1, 4]) {
      const rig = new Rig(['r-a', 'r-b']);
      const stream = rig.broker.stream(channelsStream(DEPLOYMENT, { stage: 's' }))!;
      await rig.open();
      await rig.frame('r-a', 1);
      const copy = stream.copy();
      for (const value of [2, 3]) await rig.frame('r-a', value);
      await rig.feed();
      const positions = rig.input.places();
      assert.deepEqual(rig.got, [1, 2, 3]);
      stream.putBack(copy);
      await rig.clock.run(rig.clock.monotonic() + 1_000);
      for (let i = 0; i < grown; i++) await rig.frame('r-b', `other ${i}`);
      await assert.rejects(rig.feed(), { code: 'CHAIN_BROKEN' }, 'while it runs');
      const next = new Rig(['r-a', 'r-b'], { broker: rig.broker });
      const again = async () => {
        await next.clock.runThrough(next.input.open({ positions, watermarkMs: 0 }, () => {}));
        await next.feed();
      };
      await assert.rejects(again(), { code: 'CHAIN_BROKEN' }, 'when it is opened');
      assert.deepEqual(next.got, []);
    }
  });

  test('trims what commits reflect, keeps the last message of a channel, and nothing that is not committed', async () => {
    const rig = new Rig(['r-a']);
    await rig.open();
    const large = 'x'.repeat(500_000);
    const seqs: number[] = [];
    for (let i = 0; i < 20; i++) {
      seqs.push(await rig.frame('r-a', large));
      await rig.feed();
    }
    rig.input.committed({ in: seqs[9]! });
    await rig.feed();
    const kept = seqs.filter(seq => rig.broker.stream(channelsStream(DEPLOYMENT, { stage: 's' }))!.at(seq) !== null);
    assert.deepEqual(kept, seqs.slice(9), 'what was read since that commit is needed if we restart');
    for (let i = 0; i < 20; i++) {
      seqs.push(await rig.frame('r-a', large));
      await rig.feed();
    }
    rig.input.committed({ in: seqs.at(-1)! });
    await rig.feed();
    const left = seqs.filter(seq => rig.broker.stream(channelsStream(DEPLOYMENT, { stage: 's' }))!.at(seq) !== null);
    assert.deepEqual(left, [seqs.at(-1)], 'the tail says to its writer where to go on');
    assert.deepEqual(rig.failures, []);
  });

  test('trims what a former owner has read, in time, with nothing new to read: what it has not read stays', async () => {
    const former = new Rig(['r-a', 'r-b']);
    await former.open();
    const read = [await former.frame('r-a', 1), await former.frame('r-a', 2), await former.frame('r-b', 3)];
    const position = read[2]!;
    const unread = [await former.frame('r-b', 4), await former.frame('r-b', 5)];
    const next = new Rig(['r-a', 'r-b'], { broker: former.broker });
    await next.clock.runThrough(next.input.open({ positions: { in: position }, watermarkMs: 0 }, () => {}));
    const kept = () =>
      [...read, ...unread].filter(
        seq => next.broker.stream(channelsStream(DEPLOYMENT, { stage: 's' }))!.at(seq) !== null,
      );
    next.input.tick();
    await next.clock.run(next.clock.monotonic() + 9_000);
    assert.deepEqual(kept(), [...read, ...unread], 'it can wait');
    await next.clock.run(next.clock.monotonic() + 1_000);
    next.input.tick();
    await next.clock.run(next.clock.monotonic() + 100);
    assert.deepEqual(kept(), [read[1], ...unread], 'the tail of one is read, of the other it is not');
    assert.deepEqual(next.failures, []);
  });
});
