/** The router: which channel a record takes, what is told to stages that hear nothing, and where to go on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { KEY_GROUPS, keyGroupOf, partitionOf } from '../../../lib/base/hash.ts';
import { Random } from '../../../lib/base/random.ts';
import { type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import { decodeBroadcast, decodeFrame, type Frame, type FrameHead } from '../../../lib/channel/frame.ts';
import type { WriterState } from '../../../lib/channel/writer.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import type { Census } from '../../../lib/operator/census.ts';
import { newCursor } from '../../../lib/operator/run.ts';
import type { Letter } from '../../../lib/record/letter.ts';
import { broadcastSubject, channelSubject, channelsStream, channelsSubjects } from '../../../lib/record/names.ts';
import { originOf, seqOfOrigin } from '../../../lib/record/origin.ts';
import { Router } from '../../../lib/router/router.ts';

const DEPLOYMENT = { pipeline: 'p', life: 'l' };
const ROUTES = [
  { stage: 'left', input: 'a', partitions: 3 },
  { stage: 'right', input: 'b', partitions: 2 },
];
const MARK = { bornMs: 1_234, seq: 5, timeMs: 6_789, base: 7 };

class Rig {
  readonly clock = new SimClock({ random: new Random(1) });
  readonly broker = new MemoryBroker({ clock: this.clock });
  readonly failures: unknown[] = [];
  readonly cursor = newCursor();
  landed = 0;
  router = this.#make();

  constructor() {
    for (const { stage } of ROUTES) {
      this.broker.create({
        name: channelsStream(DEPLOYMENT, { stage }),
        subjects: [...channelsSubjects(DEPLOYMENT, { stage })],
      });
    }
  }

  #make(): Router {
    return new Router({
      deployment: DEPLOYMENT,
      writer: 'r-orders',
      routes: ROUTES,
      log: this.broker.client('reader'),
      clock: this.clock,
      random: new Random(2),
      cursor: this.cursor,
      owner: { revision: 1, assignment: 1 },
      program: { since: 1, bundle: 'b1' },
      mark: () => MARK,
      publishedMs: () => null,
      onLanded: () => void this.landed++,
      onFailed: error => void this.failures.push(error),
    });
  }

  open() {
    return this.clock.runThrough(this.router.open());
  }

  /** The reader dies, and another one begins. */
  restart() {
    this.router.stop();
    return this.takeOver();
  }

  /** Another one begins, and the first one does not know. */
  takeOver() {
    this.router = this.#make();
    return this.open();
  }

  feed(exit: number, key: string | null, value: unknown, seq: number, change: Change = INSERT): void {
    this.cursor.origin = originOf(0, seq);
    this.router.exits[exit]!.receive(key, value, seq * 10, change);
  }

  async flush(state: WriterState): Promise<void> {
    this.router.flush(() => state);
    await this.rest();
  }

  rest(): Promise<void> {
    return this.clock.run(this.clock.monotonic() + 1_000);
  }

  broadcast(): Promise<void> {
    return this.clock.runThrough(this.router.broadcast());
  }

  #messages(stage: string) {
    const stream = this.broker.stream(channelsStream(DEPLOYMENT, { stage }))!;
    return Array.from({ length: stream.lastSeq }, (_, i) => stream.at(i + 1)!);
  }

  frames(route: number, partition: number): Frame[] {
    const subject = channelSubject(DEPLOYMENT, { ...ROUTES[route]!, partition, writer: 'r-orders' });
    const of = this.#messages(ROUTES[route]!.stage).filter(message => message.subject === subject);
    // Without take-overs, which carry nothing.
    const frames = of.map(({ data }) => decodeFrame(data));
    return frames.filter(({ columns, letters }) => columns.keys.length + letters.length > 0);
  }

  told(route: number): FrameHead[] {
    const subject = broadcastSubject(DEPLOYMENT, { ...ROUTES[route]!, writer: 'r-orders' });
    const of = this.#messages(ROUTES[route]!.stage).filter(message => message.subject === subject);
    const news = of.filter(({ data }, i) => !saysTheSame(decodeBroadcast(data), of[i - 1]?.data));
    assert.ok(news.every(({ headers }) => headers?.['Millrace-Source'] === '1234:5:6789:7'));
    return news.map(({ data }) => decodeBroadcast(data));
  }
}

/** A take-over says what the one before it said, in another name; before anything has begun that is nothing. */
function saysTheSame({ by: _, ...head }: FrameHead, before: Uint8Array | undefined): boolean {
  if (before === undefined) return head.position < 0;
  const { by: __, ...former } = decodeBroadcast(before);
  return isDeepStrictEqual(head, former);
}

const at = (position: number, more: Partial<WriterState> = {}): WriterState => {
  return { position, watermarkMs: position * 10, clockMs: position * 100, quietMs: 0, bootstrapped: true, ...more };
};

function letterOf(seq: number): Letter {
  const about = { operator: 'orders', code: 'RECORD_UNREADABLE', message: 'no', index: 0, subject: 'in' };
  return { ...about, bytes: Buffer.from('x'), origin: originOf(0, seq) };
}

describe('a router', () => {
  test('sends each record to the partition of its key, those without one to the first, on every route that takes it', async () => {
    const rig = new Rig();
    assert.deepEqual(await rig.open(), { place: null, through: 0, isBegun: false, counted: null });
    const keys = Array.from({ length: 40 }, (_, i) => (i % 10 === 7 ? null : `key-${i}`));
    keys.forEach((key, i) => {
      rig.feed(0, key, i, i + 1);
      if (i % 2 === 0) rig.feed(1, key, i, i + 1);
    });
    assert.equal(rig.router.waiting, 60);
    await rig.flush(at(40));
    assert.equal(rig.router.waiting, 0);
    for (const [route, { partitions }] of ROUTES.entries()) {
      for (let partition = 0; partition < partitions; partition++) {
        const rows = rig.frames(route, partition).flatMap(({ columns }) => columns.values);
        const wanted = keys.flatMap((key, i) => {
          const here = key === null ? 0 : partitionOf(key, partitions);
          return here === partition && (route === 0 || i % 2 === 0) ? [i] : [];
        });
        assert.deepEqual(rows, wanted);
      }
    }
    assert.equal(rig.router.framesSent, 5);
    assert.equal(rig.landed, 5);
  });

  test('sends each record with its change', async () => {
    const rig = new Rig();
    await rig.open();
    rig.feed(0, null, 'plain', 1);
    rig.feed(0, null, 'gone', 2, DELETE);
    rig.feed(1, null, 'gone', 2, DELETE);
    await rig.flush(at(2));
    const changes = [0, 1].map(route => rig.frames(route, 0).flatMap(({ columns }) => columns.changes ?? []));
    assert.deepEqual(changes, [[INSERT, DELETE], [DELETE]]);
  });

  test('sends at once after a pause, gathers what trickles in, and lets much not wait', async () => {
    const rig = new Rig();
    await rig.open();
    let seq = 0;
    const trickle = async (rows: number) => {
      for (let i = 0; i < rows; i++) rig.feed(0, null, ++seq, seq);
      rig.router.flush(() => at(seq));
      await rig.clock.run(rig.clock.monotonic() + 1);
    };
    const sent = () => rig.frames(0, 0).map(({ columns }) => columns.values.length);
    await trickle(1);
    assert.deepEqual(sent(), [1]);
    for (let i = 0; i < 2; i++) await trickle(1);
    assert.deepEqual(sent(), [1]);
    await rig.rest();
    assert.deepEqual(sent(), [1, 2]);
    await trickle(1);
    await trickle(1_000);
    assert.deepEqual(sent(), [1, 2, 1, 1_000]);
    await trickle(1);
    rig.router.stop();
    await rig.rest();
    assert.deepEqual(rig.failures, [], 'what waits for its moment is not sent any more');
  });

  test('sends a letter once, on the first route, whatever routes its message has', async () => {
    const rig = new Rig();
    await rig.open();
    for (let seq = 1; seq <= 7; seq++) rig.router.letter(letterOf(seq));
    await rig.flush(at(7));
    assert.equal(rig.router.pushed, 7, 'they are rows like any');
    const sent = [0, 1, 2].flatMap(partition => rig.frames(0, partition).flatMap(({ letters }) => letters));
    assert.deepEqual(sent.map(({ origin }) => seqOfOrigin(origin)).sort(), [1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual([...rig.frames(1, 0), ...rig.frames(1, 1)], []);
  });

  test('tells channels without traffic how far it is, but never further than what has landed', async () => {
    const rig = new Rig();
    await rig.open();
    rig.router.sample(at(0, { watermarkMs: Number.NEGATIVE_INFINITY }));
    await rig.broadcast();
    rig.feed(0, 'k', 'v', 5);
    rig.router.sample(at(4));
    rig.router.sample(at(9));
    await rig.broadcast();
    assert.deepEqual(
      rig.told(0).map(({ position, watermarkMs }) => [position, watermarkMs]),
      [
        [0, Number.NEGATIVE_INFINITY],
        [4, 40],
      ],
      'record 5 has not landed on the first route',
    );
    assert.deepEqual(
      rig.told(1).map(({ position }) => position),
      [0, 9],
      'the second one has nothing to wait for',
    );
    assert.equal(rig.router.landedTo, 4);
    await rig.flush(at(9));
    assert.equal(rig.router.landedTo, Number.POSITIVE_INFINITY);
    await rig.broadcast();
    assert.deepEqual(
      rig.told(0).map(({ position }) => position),
      [0, 4, 9],
    );
    await rig.broadcast();
    assert.equal(rig.told(0).length, 3, 'what is no news is not told');
  });

  test('tells how long its source has been quiet, at the same position, and never takes a clock back', async () => {
    const rig = new Rig();
    await rig.open();
    for (const clockMs of [300, 800, 800, 700, 1_300]) {
      rig.router.sample(at(3, { clockMs, quietMs: clockMs - 300 }));
      await rig.broadcast();
    }
    for (const route of [0, 1]) {
      assert.deepEqual(
        rig.told(route).map(({ clockMs, quietMs }) => [clockMs, quietMs]),
        [300, 800, 1_300].map(clockMs => [clockMs, clockMs - 300]),
      );
    }
  });

  test('remembers so many watermarks and no more, and what it tells becomes coarser, never wrong', async () => {
    const rig = new Rig();
    await rig.open();
    rig.feed(0, 'k', 'v', 2_000);
    for (let position = 1; position <= 5_000; position++) rig.router.sample(at(position));
    await rig.broadcast();
    assert.ok(rig.told(0).every(({ position }) => position <= 1_999));
    assert.deepEqual([rig.told(1)[0]!.position, rig.told(1)[0]!.watermarkMs], [5_000, 50_000]);
    await rig.flush(at(5_000));
    await rig.broadcast();
    const told = rig.told(0).at(-1)!;
    assert.deepEqual([told.position, told.watermarkMs], [5_000, 50_000]);
  });

  test('goes on where the channel is that is furthest behind, once every channel has said something', async () => {
    const rig = new Rig();
    assert.deepEqual(await rig.open(), { place: null, through: 0, isBegun: false, counted: null });
    rig.feed(0, 'k', 'v', 1);
    await rig.flush(at(1));
    assert.equal((await rig.restart()).isBegun, false, 'the other channels have nothing, nor were they told anything');
    rig.feed(0, 'k', 'v', 1);
    await rig.flush(at(1));
    rig.router.sample(at(1));
    await rig.broadcast();
    rig.feed(1, 'k', 'v', 6);
    rig.feed(0, 'k', 'w', 6);
    await rig.flush(at(6));
    const head = (await rig.restart()).place;
    assert.deepEqual([head!.position, head!.watermarkMs, head!.mark], [1, 10, MARK]);
    for (const exit of [0, 1]) rig.feed(exit, 'k', 'again', 6);
    for (const exit of [0, 1]) rig.feed(exit, 'k', 'new', 7);
    await rig.flush(at(7));
    const rows = (route: number) =>
      [0, 1, 2].flatMap(partition => {
        if (partition >= ROUTES[route]!.partitions) return [];
        return rig.frames(route, partition).flatMap(({ columns }) => columns.values);
      });
    assert.deepEqual(rows(0), ['v', 'w', 'new']);
    assert.deepEqual(rows(1), ['v', 'new']);
    assert.deepEqual(rig.failures, []);
  });

  test('never tells less than another writer of its name has told', async () => {
    const rig = new Rig();
    await rig.open();
    const former = rig.router;
    rig.router.sample(at(2));
    await rig.broadcast();
    await rig.takeOver();
    rig.router.sample(at(8));
    await rig.broadcast();
    former.sample(at(5));
    await assert.rejects(rig.clock.runThrough(former.broadcast()), { code: 'FENCED' });
    assert.deepEqual(
      rig.told(0).map(({ position }) => position),
      [2, 8],
    );
  });

  describe('a census', () => {
    const ALL = { from: 0, to: KEY_GROUPS };
    const census = (rig: Rig, seq: number, keys: readonly string[]) => {
      const byGroup = new Map<number, Set<string>>();
      for (const key of keys) byGroup.set(keyGroupOf(key), (byGroup.get(keyGroupOf(key)) ?? new Set()).add(key));
      rig.router.census(byGroup, { groups: ALL, origin: originOf(0, seq) });
    };
    const valuesOf = (rig: Rig, route: number, partition: number) =>
      rig.frames(route, partition).flatMap(({ columns }) => columns.values);

    test('goes to each task that keeps rows, behind all that was passed on, with its own keys alone', async () => {
      const rig = new Rig();
      await rig.open();
      const keys = Array.from({ length: 50 }, (_, i) => `k${i}`);
      for (const [i, key] of keys.entries()) rig.feed(1, key, 'row', i + 1);
      census(rig, 50, keys);
      await rig.flush(at(50));
      for (const partition of [0, 1]) {
        const values = valuesOf(rig, 1, partition);
        const part = values.at(-1) as Census;
        assert.equal(values.length, part.keys.length + 1);
        assert.deepEqual([part.from, part.to], [partition * (KEY_GROUPS / 2), (partition + 1) * (KEY_GROUPS / 2)]);
        assert.deepEqual(new Set(part.keys), new Set(keys.filter(key => partitionOf(key, 2) === partition)));
      }
    });

    test('is no progress: whoever goes on neither sends a row again nor leaves one out, wherever a frame ends', async () => {
      const rig = new Rig();
      await rig.open();
      for (let seq = 1; seq <= 3; seq++) rig.feed(1, 'k', `row ${seq}`, seq);
      await rig.flush(at(3));
      const before = rig.frames(1, partitionOf('k', 2)).at(-1)!;
      // So much that it takes several frames, told when another channel may be far behind: nothing was read since.
      const keys = Array.from(
        { length: 30_000 },
        (_, i) => `a key that is long enough to fill a frame soon, number ${i}`,
      );
      for (let i = 0; i < 5; i++) census(rig, 2, keys);
      await rig.flush(at(2));
      const frames = rig.frames(1, partitionOf('k', 2));
      assert.ok(frames.length > 2, `${frames.length} frames`);
      for (const { position, row } of frames.slice(1)) assert.deepEqual([position, row], [before.position, before.row]);
      const seen = frames.length;
      await rig.restart();
      for (let seq = 1; seq <= 5; seq++) rig.feed(1, 'k', `row ${seq}`, seq);
      await rig.flush(at(5));
      const news = rig.frames(1, partitionOf('k', 2)).slice(seen);
      assert.deepEqual(
        news.flatMap(({ columns }) => columns.values),
        ['row 4', 'row 5'],
      );
    });
  });
});
