/**
 * Whose the rows in a reader's channels are (*one program a message*): whoever opens them takes them over, what a
 * former program has sent to some channels and not to all is found, and a crash between any two steps leaves what is
 * found again.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, isMillraceError } from '../../../lib/base/errors.ts';
import { partitionOf } from '../../../lib/base/hash.ts';
import { Random } from '../../../lib/base/random.ts';
import { INSERT } from '../../../lib/change/change.ts';
import { decodeFrame, decodeFrameHead } from '../../../lib/channel/frame.ts';
import type { WriterState } from '../../../lib/channel/writer.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import { newCursor } from '../../../lib/operator/run.ts';
import { channelsStream, channelsSubjects } from '../../../lib/record/names.ts';
import { originOf } from '../../../lib/record/origin.ts';
import type { Route } from '../../../lib/router/lane.ts';
import { Router, type RouterOptions } from '../../../lib/router/router.ts';

const DEPLOYMENT = { pipeline: 'p', life: 'l' };
const LEFT = { stage: 'left', input: 'a', partitions: 3 };
const RIGHT = { stage: 'right', input: 'b', partitions: 2 };
/** A key of each partition of `left`. */
const KEYS = [0, 1, 2].map(p => Array.from({ length: 99 }, (_, i) => `k${i}`).find(key => partitionOf(key, 3) === p)!);

const at = (position: number): WriterState => {
  return { position, watermarkMs: position * 10, clockMs: position * 100, quietMs: 0, bootstrapped: true };
};

class World {
  readonly clock = new SimClock({ random: new Random(1) });
  readonly broker = new MemoryBroker({ clock: this.clock });
  writers = 0;

  constructor() {
    for (const { stage } of [LEFT, RIGHT]) {
      const subjects = [...channelsSubjects(DEPLOYMENT, { stage })];
      this.broker.create({ name: channelsStream(DEPLOYMENT, { stage }), subjects });
    }
  }

  /** @param options.for the writer whose work it does, by the code of `since` */
  writer(
    revision: number,
    options: { since?: number; routes?: readonly Route[]; log?: MemoryLog; assignment?: number; for?: Writer } = {},
  ): Writer {
    const { since = revision, routes = [LEFT, RIGHT], log = this.broker.client('reader'), assignment = 1 } = options;
    const owner = options.for?.router.owner ?? { revision, assignment };
    return new Writer(this, { owner, since, routes, log });
  }

  heads(stage: string) {
    const stream = this.broker.stream(channelsStream(DEPLOYMENT, { stage }))!;
    const messages = Array.from({ length: stream.lastSeq }, (_, i) => stream.at(i + 1)!);
    return messages.map(({ subject, data }) => ({ subject, head: decodeFrameHead(data) }));
  }

  /** By value: how often it is in the stage's channels. */
  rows(stage: string): unknown[] {
    const stream = this.broker.stream(channelsStream(DEPLOYMENT, { stage }))!;
    const messages = Array.from({ length: stream.lastSeq }, (_, i) => stream.at(i + 1)!);
    const frames = messages.filter(({ subject }) => subject.includes('.x.'));
    return frames.flatMap(({ data }) => decodeFrame(data).columns.values).sort();
  }
}

class Writer {
  readonly failures: unknown[] = [];
  readonly router: Router;
  readonly #world: World;
  readonly #cursor = newCursor();

  constructor(
    world: World,
    options: { owner: RouterOptions['owner']; since: number; routes: readonly Route[]; log: MemoryLog },
  ) {
    this.#world = world;
    this.router = new Router({
      deployment: DEPLOYMENT,
      writer: 'r-orders',
      routes: options.routes,
      log: options.log,
      clock: world.clock,
      random: new Random(++world.writers),
      cursor: this.#cursor,
      owner: options.owner,
      program: { since: options.since, bundle: `b${options.since}` },
      mark: () => ({ bornMs: 1, seq: 1, timeMs: 1, base: 0 }),
      publishedMs: () => null,
      onLanded: () => {},
      onFailed: error => void this.failures.push(error),
    });
  }

  /** Opens and tells, as a reader does before it reads. */
  async begin(position: number): Promise<this> {
    await this.open();
    await this.tell(position);
    return this;
  }

  open() {
    return this.#world.clock.runThrough(this.router.open());
  }

  tell(position: number): Promise<void> {
    this.router.sample(at(position));
    return this.#world.clock.runThrough(this.router.broadcast());
  }

  /** Sends a row to a partition of `left`, or to `right`. */
  async send(seq: number, partition: 0 | 1 | 2 | 'right', value: string, position = seq): Promise<void> {
    this.#cursor.origin = originOf(0, seq);
    this.router.exits[partition === 'right' ? 1 : 0]!.receive(
      KEYS[partition === 'right' ? 0 : partition]!,
      value,
      seq,
      INSERT,
    );
    this.router.flush(() => at(position));
    await this.#world.clock.run(this.#world.clock.monotonic() + 100);
  }

  unfinished(...finished: number[]) {
    const found = this.router.unfinished(new Set(finished));
    return found === null ? null : { ...found, routes: found.routes.map(({ stage }) => stage) };
  }

  get codes(): unknown[] {
    return this.failures.map(error => (isMillraceError(error) ? error.code : error));
  }
}

const b1 = { since: 1, bundle: 'b1' };
const is = (code: ErrorCode) => (error: unknown) => isMillraceError(error, code);

describe('a channel that is opened', () => {
  test('is taken over: its last message is of the revision, says what the last one said, and the older one is refused', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    await old.send(4, 0, 'old');
    const next = world.writer(2);
    assert.equal((await next.open()).place!.position, 0);
    const [, frame, taken] = world
      .heads('left')
      .filter(({ subject }) => subject.includes('.x.') && subject.includes('.0.'));
    assert.deepEqual(taken!.head, { ...frame!.head, by: { revision: 2, assignment: 1, epoch: 1, program: 1 } });
    await assert.rejects(old.tell(5), is('REVISION_OUTDATED'));
    for (const partition of [0, 1, 2, 'right'] as const) await old.send(5, partition, 'zombie');
    assert.deepEqual([...new Set(old.codes)], ['REVISION_OUTDATED']);
    assert.deepEqual([world.rows('left'), world.rows('right')], [['old'], []]);
  });

  test('by an older revision is refused', async () => {
    const world = new World();
    await world.writer(2).begin(0);
    await assert.rejects(world.writer(1).open(), is('REVISION_OUTDATED'));
  });

  test('and has had nothing still has had nothing, but nobody of an older revision begins there', async () => {
    const world = new World();
    const old = world.writer(1);
    await old.open();
    const next = world.writer(2);
    assert.deepEqual(await next.open(), { place: null, through: 0, isBegun: false, counted: null });
    await assert.rejects(old.tell(0), is('REVISION_OUTDATED'));
    await old.send(1, 0, 'zombie');
    assert.deepEqual([old.codes, world.rows('left')], [['REVISION_OUTDATED'], []]);
    await next.tell(7);
    assert.equal((await next.open()).place!.position, 7);
    await next.send(8, 0, 'first');
    assert.deepEqual(world.rows('left'), ['first']);
  });

  test('by an older assignment is refused, by the same or a later one it is fenced', async () => {
    const world = new World();
    const first = await world.writer(1, { assignment: 3 }).begin(0);
    await assert.rejects(world.writer(1, { assignment: 2 }).open(), is('ASSIGNMENT_OUTDATED'));
    await first.send(1, 0, 'a');
    const second = await world.writer(1, { assignment: 3 }).begin(1);
    await first.send(2, 0, 'zombie');
    await assert.rejects(first.tell(9), is('FENCED'));
    await second.send(2, 0, 'b');
    const third = await world.writer(1, { assignment: 4 }).begin(2);
    await second.send(3, 0, 'zombie');
    await assert.rejects(second.tell(9), is('ASSIGNMENT_OUTDATED'));
    await third.send(3, 0, 'c');
    assert.deepEqual(world.rows('left'), ['a', 'b', 'c']);
    assert.deepEqual([first.codes, second.codes, third.codes], [['FENCED'], ['ASSIGNMENT_OUTDATED'], []]);
  });

  test('by a newer revision is fenced, whatever its assignment', async () => {
    const world = new World();
    const old = await world.writer(1, { assignment: 9 }).begin(0);
    await world.writer(2, { assignment: 1 }).begin(0);
    await old.send(1, 0, 'zombie');
    assert.deepEqual([old.codes, world.rows('left')], [['REVISION_OUTDATED'], []]);
  });

  test('again by its owner is taken over once more, so an earlier tail that a deposed leader shows is found out', async () => {
    const world = new World();
    const owner = await world.writer(2).begin(0);
    const former = world.writer(2, { since: 1, for: owner });
    await former.open();
    await former.send(1, 0, 'former');
    world.broker.faults = { staleLast: 0.8 };
    await owner.open();
    world.broker.faults = {};
    await owner.send(2, 0, 'own');
    await owner.tell(2);
    assert.deepEqual(owner.codes, []);
    assert.deepEqual(world.rows('left'), ['former', 'own']);
  });

  test('by two at once that were told the same has one owner in the end, and one beginning (*one reader*)', async () => {
    const world = new World();
    world.broker.faults = { delayMs: [1, 5] };
    const both = [world.writer(1), world.writer(1)];
    const outcomes = await world.clock.runThrough(
      Promise.all(
        both.map(({ router }) =>
          router.open().then(
            () => 'open',
            (error: unknown) => error,
          ),
        ),
      ),
    );
    const [owner] = both
      .filter((_, i) => outcomes[i] === 'open')
      .sort((a, b) => b.router.owner.epoch - a.router.owner.epoch);
    assert.deepEqual(new Set(both.map(({ router }) => router.owner.epoch)), new Set([1, 2]));
    assert.equal(owner!.router.owner.epoch, 2);
    await owner!.tell(3);
    const other = both.find(writer => writer !== owner)!;
    await assert.rejects(other.tell(5), is('FENCED'));
    assert.equal((await world.writer(1).open()).place!.position, 3);
  });
});

describe('what a former program has begun', () => {
  test('is nothing where all channels stand at one position, or where it is the present one', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    await old.send(4, 0, 'a');
    const restarted = world.writer(2, { since: 1 });
    await restarted.open();
    assert.equal(restarted.unfinished(), null, 'the same program goes on by itself');
    await restarted.tell(4);
    const next = world.writer(3);
    await next.open();
    assert.equal(next.unfinished(), null, 'all is told to be complete to 4');
  });

  test('is all through the last message of which any channel of any stage has had a row', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    await old.send(4, 0, 'a', 4);
    await old.send(6, 'right', 'b', 9);
    const next = world.writer(2);
    const { place } = await next.open();
    assert.deepEqual(next.unfinished(), { program: b1, through: 9, routes: ['left', 'right'] });
    assert.equal(place!.position, 0);
  });

  test('is there too where each stage by itself stands at one position, for it may have sent a record to the other', async () => {
    const world = new World();
    const old = await world.writer(1).begin(2);
    const alone = world.writer(1, { routes: [LEFT] });
    await alone.open();
    await alone.tell(5);
    const next = world.writer(2);
    await next.open();
    assert.deepEqual(next.unfinished(), { program: b1, through: 5, routes: ['left', 'right'] });
    assert.equal(old.failures.length, 0);
  });

  test('is found again after a crash in the middle of the take-over, by whatever revision, and named by its code', async () => {
    for (let appends = 0; appends < 8; appends++) {
      const world = new World();
      const old = await world.writer(1).begin(0);
      await old.send(4, 0, 'a');
      const log = world.broker.client('dies');
      let left = appends;
      const append = log.append.bind(log);
      log.append = message => (left-- > 0 ? append(message) : new Promise<never>(() => {}));
      void world.writer(2, { log }).router.open();
      await world.clock.run(world.clock.monotonic() + 1_000);
      const last = world.writer(3);
      await last.open();
      assert.deepEqual(last.unfinished(), { program: b1, through: 4, routes: ['left', 'right'] }, `after ${appends}`);
    }
  });

  test('may have been extended by it until the last channel is taken over, and is found as it is then', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    const log = world.broker.client('slow');
    let held: (() => void) | null = null;
    const append = log.append.bind(log);
    log.append = async message => {
      if (held === null && message.subject.includes('.x.l.left.2.'))
        await new Promise<void>(resolve => (held = resolve));
      return append(message);
    };
    const next = world.writer(2, { log });
    const opening = next.router.open();
    await world.clock.run(world.clock.monotonic() + 1_000);
    assert.notEqual(held, null);
    await old.send(8, 2, 'late');
    held!();
    await world.clock.runThrough(opening);
    assert.deepEqual(next.unfinished(), { program: b1, through: 8, routes: ['left', 'right'] });
  });

  test('is finished under the later revision, row by row, and then the present one begins at that position', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    await old.send(4, 0, 'old 4.0');
    await old.send(5, 1, 'old 5.1');
    const next = world.writer(2);
    await next.open();
    assert.equal(next.unfinished()!.through, 5);
    const rows = [
      [4, 0],
      [4, 2],
      [5, 1],
      [5, 2],
    ] as const;
    const former = await world.writer(2, { since: 1, for: next }).begin(0);
    for (const [seq, partition] of rows) await former.send(seq, partition, `old ${seq}.${partition}`);
    // It dies before it says so: what there is of it is found by the next.
    const between = world.writer(3);
    await between.open();
    assert.deepEqual(between.unfinished(), { program: b1, through: 5, routes: ['left', 'right'] });
    const again = await world.writer(3, { since: 1, for: between }).begin(0);
    for (const [seq, partition] of rows) await again.send(seq, partition, `old ${seq}.${partition}`);
    await again.tell(5);
    const present = between;
    assert.equal((await present.open()).place!.position, 5);
    assert.equal(present.unfinished(), null);
    await present.tell(5);
    for (const partition of [0, 1, 2] as const) await present.send(6, partition, `new 6.${partition}`);
    const all = ['new 6.0', 'new 6.1', 'new 6.2', 'old 4.0', 'old 4.2', 'old 5.1', 'old 5.2'];
    assert.deepEqual(world.rows('left'), all);
    assert.deepEqual([...former.codes, ...again.codes, ...present.codes], []);
  });

  test('is of the program that sent rows last, not of one that only took over and began', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    await old.tell(5);
    await world.writer(2).begin(5);
    const third = await world.writer(3).begin(5);
    await third.send(6, 0, 'third');
    const last = world.writer(4);
    await last.open();
    const b3 = { since: 3, bundle: 'b3' };
    assert.deepEqual(last.unfinished(), { program: b3, through: 6, routes: ['left'] });
  });

  test('does not hold up a stage that has yet to catch up with the others, nor them', async () => {
    const world = new World();
    const old = await world.writer(1, { routes: [LEFT] }).begin(0);
    await old.tell(1_000);
    const second = world.writer(2);
    assert.deepEqual((await second.open()).isBegun, false);
    await second.tell(0);
    await second.tell(50);
    const third = world.writer(3);
    assert.equal((await third.open()).place!.position, 50);
    assert.equal(third.unfinished(), null, 'what is new stands at 50, the other at 1000, and both are complete');
    await second.router.stop();
    await third.tell(50);
    await third.send(53, 'right', 'half');
    const fourth = world.writer(4);
    await fourth.open();
    assert.deepEqual(fourth.unfinished(), { program: { since: 3, bundle: 'b3' }, through: 53, routes: ['right'] });
  });

  test('on a stage that a later one did not feed is left to the former one', async () => {
    const world = new World();
    const old = await world.writer(1).begin(0);
    await old.send(4, 'right', 'of the first');
    const second = await world.writer(2, { routes: [LEFT] }).begin(0);
    await second.send(9, 0, 'of the second');
    const third = world.writer(3);
    await third.open();
    assert.deepEqual(third.unfinished(), { program: { since: 2, bundle: 'b2' }, through: 9, routes: ['left'] });
    const former = await world.writer(3, { since: 2, routes: [LEFT], for: third }).begin(0);
    await former.tell(9);
    await third.open();
    assert.deepEqual(third.unfinished(2), { program: b1, through: 4, routes: ['right'] });
  });
});
