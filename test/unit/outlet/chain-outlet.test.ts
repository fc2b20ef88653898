/**
 * The way out to an owned subject or a channel (*exactly in*): every row once and in order, whoever sends it and
 * wherever it ended.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { INSERT } from '../../../lib/change/change.ts';
import { decodeFrame, encodeFrame } from '../../../lib/channel/frame.ts';
import { ChainOutlet, rowsForm } from '../../../lib/outlet/nats/chain-outlet.ts';
import {
  HEADER_CHANGE,
  HEADER_COMMIT,
  HEADER_ORIGIN,
  HEADER_SINK,
  HEADER_TASK,
  type NatsItem,
} from '../../../lib/outlet/nats/rows-item.ts';
import type { ChainPast } from '../../../lib/outlet/nats/tail.ts';
import { type FrameItem, frameForm } from '../../../lib/outlet/next-stages.ts';
import type { Log, NewMessage, StreamSettings } from '../../../lib/port/log.ts';
import { addRecord, emptyColumns } from '../../../lib/record/columns.ts';
import {
  bytesOf,
  makeBroker,
  natsItem,
  numbered,
  pastOf,
  rowsItem,
  rowsOf,
  sender,
  textOf,
  unsure,
  withCall,
} from './rig.ts';

const stream = 'out';
const subject = 'out.0';

async function makeWorld(settings: Omit<StreamSettings, 'name' | 'subjects'> = {}) {
  const world = await makeBroker(settings);
  const outlet = (
    options: { log?: Log; bytesMax?: number; onSent?(item: NatsItem): void } & Partial<ChainPast> = {},
  ) => {
    const { log = world.log, bytesMax = 1_000, onSent, ...past } = options;
    const { clock, random } = world;
    const sent: [commit: number, seq: number][] = [];
    const errors: unknown[] = [];
    const made = new ChainOutlet<NatsItem>({
      ...{ log, clock, random, stream, subject, expires: true, past: pastOf(past) },
      form: rowsForm({ sender, messageBytesMax: bytesMax }),
      onSent: (item, seq) => {
        sent.push([item.commit, seq]);
        onSent?.(item);
      },
      onFailed: error => errors.push(error),
    });
    return Object.assign(made, { sent, errors });
  };
  const rest = () => world.clock.run(world.clock.monotonic() + 5_000);
  return { ...world, outlet, rest };
}

const broken = (errors: readonly unknown[]) => errors.length === 1 && isMillraceError(errors[0], 'CHAIN_BROKEN');

describe('an owned subject', () => {
  test('gets the rows of all commits that wait in one message, which says who wrote it and up to where it goes', async () => {
    const { outlet, rest, kept, rows, progress } = await makeWorld();
    const out = outlet();
    out.push(rowsItem(1, 1));
    out.push(rowsItem(2, 2));
    out.push(rowsItem(4, 1));
    await rest();
    assert.deepEqual(rows(), ['"1.0"', '"2.0"', '"2.1"', '"4.0"']);
    assert.deepEqual(progress(), ['4.1']);
    const { headers } = kept()[0]!;
    assert.equal(headers?.['Content-Type'], 'application/x-ndjson');
    assert.equal(headers?.[HEADER_TASK], 'p/s/0');
    assert.equal(headers?.[HEADER_ORIGIN], 'payments:1');
    assert.deepEqual(out.sent, [
      [1, 1],
      [2, 1],
      [4, 1],
    ]);
    assert.equal(out.backlogBytes, 0);
  });

  test('gets a single row as it is, and one row a message where the sink is not framed', async () => {
    const { outlet, rest, kept, progress } = await makeWorld();
    outlet().push(rowsItem(1, 3, undefined, { frame: 'none' }));
    await rest();
    assert.deepEqual(kept().map(textOf), numbered(1, 3));
    assert.deepEqual(progress(), ['1.1', '1.2', '1.3']);
    assert.equal(kept()[0]!.headers?.['Content-Type'], 'application/json');
  });

  test('gets no message larger than the limit; a commit may end in the middle of one', async () => {
    const { outlet, rest, kept, rows, progress } = await makeWorld();
    const out = outlet({ bytesMax: 20 });
    for (const commit of [1, 2, 3]) out.push(rowsItem(commit, 4));
    await rest();
    assert.ok(kept().every(message => message.data.length <= 20));
    assert.deepEqual(
      rows(),
      [1, 2, 3].flatMap(commit => numbered(commit, 4)),
    );
    assert.deepEqual(progress(), ['1.3', '2.2', '3.1', '3.4']);
    assert.deepEqual(
      out.sent.map(([commit]) => commit),
      [1, 2, 3],
    );
  });

  test('says of each row what it does where one is no insert, and leaves room for that', async () => {
    const { outlet, rest, kept, rows } = await makeWorld();
    const out = outlet({ bytesMax: 40 });
    const changes = [null, Uint8Array.of(0, 1, 2, 3, 0), null, new Uint8Array(5)];
    for (const [i, own] of changes.entries()) {
      const rows = { ...rowsOf(numbered(i + 1, 5)), changes: own };
      out.push(natsItem(i + 1, rows));
    }
    out.push(natsItem(5, { ...rowsOf(numbered(5, 1)), changes: Uint8Array.of(2) }));
    await rest();
    assert.deepEqual(
      rows(),
      [5, 5, 5, 5, 1].flatMap((count, i) => numbered(i + 1, count)),
    );
    const said = kept().map(({ data, headers }) => {
      const header = headers?.[HEADER_CHANGE] ?? '';
      const count = Buffer.from(data).toString().split('\n').filter(Boolean).length;
      assert.ok(data.length + (count === 1 ? 0 : header.length) <= 40);
      return count > 1 && header !== '' ? header : new Array(count).fill(header[0] ?? 'i').join('');
    });
    assert.equal(said.join(''), 'iiiii' + 'ibadi' + 'iiiii' + 'iiiii' + 'a');
    assert.equal(kept().at(-1)?.headers?.[HEADER_CHANGE], 'after');
  });

  test('goes on after the row that a former owner ended with, in the middle of a commit, however it was split', async () => {
    for (let ended = 1; ended <= 9; ended++) {
      const { outlet, rest, rows, log } = await makeWorld();
      let left = ended;
      const dying = withCall(
        log,
        'append',
        really => message => (left-- > 0 ? really(message) : new Promise(() => {})),
      );
      const former = outlet({ log: dying, bytesMax: 12 });
      for (const commit of [1, 2, 3]) former.push(rowsItem(commit, 5));
      await rest();
      const next = outlet({ bytesMax: 30, inheritedTo: 3 });
      for (const commit of [1, 2, 3]) next.push(rowsItem(commit, 5));
      await rest();
      assert.deepEqual(
        rows(),
        [1, 2, 3].flatMap(commit => numbered(commit, 5)),
        `ended after ${ended}`,
      );
      assert.deepEqual(
        next.sent.map(([commit]) => commit),
        [1, 2, 3],
      );
    }
  });

  test('takes a former owner’s late message as its own work done: no row twice, none lost', async () => {
    const { outlet, rest, rows, log } = await makeWorld();
    let late: (() => void) | null = null;
    const frozen = withCall(
      log,
      'append',
      really => message =>
        new Promise(() => {
          late = () => void really(message);
        }),
    );
    const former = outlet({ log: frozen, bytesMax: 26 });
    former.push(rowsItem(1, 3));
    former.push(rowsItem(2, 4));
    await rest();
    // The former owner's first message lands just before the new one's, and ends elsewhere.
    const beaten = withCall(log, 'append', really => async message => {
      late?.();
      late = null;
      return really(message);
    });
    const next = outlet({ log: beaten, bytesMax: 14, inheritedTo: 2 });
    next.push(rowsItem(1, 3));
    next.push(rowsItem(2, 4));
    next.push(rowsItem(3, 1));
    await rest();
    assert.deepEqual(rows(), [...numbered(1, 3), ...numbered(2, 4), ...numbered(3, 1)]);
    assert.deepEqual(
      next.sent.map(([commit]) => commit),
      [1, 2, 3],
    );
  });

  test('gets a message once whose answer was lost', async () => {
    const { outlet, rest, rows, log } = await makeWorld();
    let tries = 0;
    const deaf = withCall(log, 'append', really => async message => {
      const outcome = await really(message);
      return ++tries % 2 === 1 ? unsure : outcome;
    });
    const out = outlet({ log: deaf, bytesMax: 12 });
    out.push(rowsItem(1, 5));
    await rest();
    assert.deepEqual(rows(), numbered(1, 5));
    assert.deepEqual(out.errors, []);
  });

  test('stops at a message that is not of this pipeline, at its start and on the way', async () => {
    const { outlet, rest, log, rows } = await makeWorld();
    await log.append({ subject, data: bytesOf('foreign') });
    const first = outlet();
    first.push(rowsItem(1, 1));
    await rest();
    assert.ok(broken(first.errors));
    assert.deepEqual(rows(), ['foreign']);

    const world = await makeWorld();
    const running = world.outlet();
    running.push(rowsItem(1, 1));
    await world.rest();
    await world.log.append({ subject, data: bytesOf('foreign') });
    running.push(rowsItem(2, 1));
    await world.rest();
    assert.ok(broken(running.errors));
    assert.deepEqual(
      running.sent.map(([commit]) => commit),
      [1],
    );
  });

  test('goes on when its messages expire while it runs', async () => {
    const { outlet, clock, rest, rows } = await makeWorld({ maxAgeMs: 60_000 });
    const out = outlet();
    out.push(rowsItem(1, 2));
    await clock.run(100_000);
    out.push(rowsItem(2, 2));
    await rest();
    assert.deepEqual(rows(), numbered(2, 2));
    assert.deepEqual(out.errors, []);
    assert.deepEqual(
      out.sent.map(([commit]) => commit),
      [1, 2],
    );
  });

  /**
   *   commit 1 · others that are gone ─── others that are there ─── expiry ─── an owner inherits commit 2
   */
  const afterExpiry = async (options: { gone: number; there: number; hole?: boolean; inheritedAfterMs?: number }) => {
    const world = await makeWorld({ maxAgeMs: 60_000 });
    const others = async (count: number) => {
      for (let i = 0; i < count; i++) await world.log.append({ subject: 'out.other', data: bytesOf('other') });
    };
    const former = world.outlet();
    former.push(rowsItem(1, 2));
    await world.clock.run(20_000);
    await others(options.gone);
    await world.clock.run(80_000);
    await others(options.there);
    const { inheritedAfterMs } = options;
    const inheritedFromMs = inheritedAfterMs === undefined ? -Infinity : world.clock.now() + inheritedAfterMs;
    if (options.hole) await world.log.remove({ stream, seq: world.broker.stream(stream)!.lastSeq - 1 });
    await world.clock.run(110_000);
    const next = world.outlet({ rememberedSeq: former.sent[0]![1], inheritedTo: 2, inheritedFromMs });
    next.push(rowsItem(2, 2));
    await world.rest();
    return { errors: next.errors, rows: world.rows(subject) };
  };

  test('stops when its last message is gone, and rows that wait may have been behind it (*every tail compared*)', async () => {
    for (const [why, options] of Object.entries({
      'what came next is gone, and nobody knows how old the rows are': { gone: 1, there: 2 },
      'something in between was deleted': { gone: 1, there: 3, hole: true, inheritedAfterMs: 20_000 },
      'what is there may be younger than the rows': { gone: 1, there: 2, inheritedAfterMs: 5_000 },
      'nothing is there': { gone: 1, there: 0, inheritedAfterMs: 20_000 },
    })) {
      const { errors, rows } = await afterExpiry(options);
      assert.ok(broken(errors), why);
      assert.deepEqual(rows, [], why);
    }
  });

  test('goes on when its last message is gone and the stream shows that nothing of it came later (*every tail compared*)', async () => {
    for (const [why, options] of Object.entries({
      'nothing has come since': { gone: 0, there: 0 },
      'all that came since is there': { gone: 0, there: 2 },
      'what is there is older than the rows': { gone: 1, there: 2, inheritedAfterMs: 20_000 },
    })) {
      const { errors, rows } = await afterExpiry(options);
      assert.deepEqual(errors, [], why);
      assert.deepEqual(rows, numbered(2, 2), why);
    }
  });

  test('goes on when its last message expired between two lives and nothing of the former one waits', async () => {
    const { outlet, clock, rest, rows } = await makeWorld({ maxAgeMs: 60_000 });
    const former = outlet();
    former.push(rowsItem(1, 2));
    await clock.run(100_000);
    const next = outlet({ rememberedSeq: former.sent[0]![1], inheritedTo: 1 });
    next.push(rowsItem(2, 2));
    await rest();
    assert.deepEqual(next.errors, []);
    assert.deepEqual(rows(), numbered(2, 2));
  });
});

/** A message of another writer than `sender`, with a commit of its own. */
const by = (writer: { life?: string; task?: string }, options: { commit: string; expect?: number }): NewMessage => {
  const { life = 'l', task = 'p/s/0' } = writer;
  const headers = { [HEADER_TASK]: task, [HEADER_SINK]: `${life}/sink`, [HEADER_COMMIT]: options.commit };
  const message = { subject, data: bytesOf('foreign'), headers };
  return options.expect === undefined ? message : { ...message, expect: options.expect };
};

test('an owned subject gets what is pushed in the moment in which the last that waited is in', async () => {
  const { outlet, rest, rows } = await makeWorld();
  const out = outlet({
    onSent: ({ commit }) => void Promise.resolve().then(() => (commit < 4 ? out.push(rowsItem(commit + 1, 1)) : null)),
  });
  out.push(rowsItem(1, 1));
  await rest();
  assert.deepEqual(rows(), ['"1.0"', '"2.0"', '"3.0"', '"4.0"']);
});

describe('a tail on an owned subject is our own', () => {
  test('only in this life and of this task: else the pipeline stops, and says who wrote it (*ours*)', async () => {
    for (const writer of [{ life: 'm' }, { life: 'm', task: 'q/s/0' }]) {
      const { outlet, rest, rows, log } = await makeWorld();
      await log.append(by(writer, { commit: '9.1' }));
      const out = outlet();
      out.push(rowsItem(1, 2));
      await rest();
      assert.ok(broken(out.errors));
      assert.match(String(out.errors[0]), new RegExp(`${writer.task ?? 'p/s/0'} .*life m`));
      assert.deepEqual(rows(), ['foreign']);
    }
  });

  test('and not the past that was there before this life took the subject over (*ours*)', async () => {
    const { outlet, rest, rows, log } = await makeWorld();
    await log.append({ subject, data: bytesOf('by hand') });
    await log.append(by({ life: 'm' }, { commit: '9.1' }));
    const out = outlet({ sinceSeq: 2 });
    out.push(rowsItem(1, 2));
    await rest();
    assert.deepEqual(out.errors, []);
    assert.deepEqual(rows(), ['by hand', 'foreign', ...numbered(1, 2)]);
    // A stranger that writes on is none.
    await log.append(by({ life: 'm' }, { commit: '9.2' }));
    out.push(rowsItem(2, 1));
    await rest();
    assert.ok(broken(out.errors));
  });

  test('whatever the sink was called, and in whichever form its rows went out', async () => {
    const { outlet, rest, rows, kept } = await makeWorld();
    const dying = outlet();
    dying.push(rowsItem(1, 2, undefined, { name: 'before' }));
    await rest();
    const out = outlet({ inheritedTo: 1 });
    out.push(rowsItem(1, 3, undefined, { name: 'before' }));
    out.push(rowsItem(2, 2, undefined, { frame: 'none' }));
    await rest();
    assert.deepEqual(rows(), [...numbered(1, 3), ...numbered(2, 2)]);
    assert.deepEqual(
      kept().map(({ headers }) => headers?.[HEADER_SINK]),
      ['l/before', 'l/before', 'l/sink', 'l/sink'],
    );
  });

  test('also behind messages of a task that writes the subject no more, whose progress is not ours (*ours*)', async () => {
    for (const ended of [0, 1, 2]) {
      const { outlet, rest, rows, log } = await makeWorld();
      await log.append(by({ task: 'p/other/0' }, { commit: '50.1', expect: 0 }));
      // Nothing was sent by this task before: what the other says is nobody's.
      let left = ended;
      const former = outlet({
        log: withCall(log, 'append', really => message => (left-- > 0 ? really(message) : new Promise(() => {}))),
        bytesMax: 12,
      });
      former.push(rowsItem(1, 4));
      await rest();
      const last = (await log.last({ stream, subject }))!.seq;
      await log.append(by({ task: 'p/other/0' }, { commit: '51.1', expect: last }));
      const next = outlet({ inheritedTo: 1 });
      next.push(rowsItem(1, 4));
      next.push(rowsItem(2, 1));
      await rest();
      assert.deepEqual(next.errors, [], `ended after ${ended}`);
      assert.deepEqual(
        rows().filter(row => row !== 'foreign'),
        [...numbered(1, 4), ...numbered(2, 1)],
        `ended after ${ended}`,
      );
    }
  });

  test('and where those have swept away what was behind them, the pipeline stops', async () => {
    const { outlet, rest, rows, log } = await makeWorld();
    await log.append(by({ task: 'p/other/0' }, { commit: '50.1', expect: 0 }));
    await log.append(by({ task: 'p/other/0' }, { commit: '51.1', expect: 1 }));
    await log.remove({ stream, seq: 1 });
    const next = outlet({ inheritedTo: 1 });
    next.push(rowsItem(1, 4));
    await rest();
    assert.ok(broken(next.errors));
    assert.deepEqual(rows(), ['foreign']);
  });
});

describe('a tail and the journal are compared', () => {
  test('a tail of a commit that nobody knows means that the journal was put back, or that we are fenced (*every tail compared*)', async () => {
    for (const fenced of [true, false]) {
      const { outlet, rest, rows } = await makeWorld();
      const former = outlet();
      former.push(rowsItem(7, 1));
      await rest();
      const confirm = async () => {
        if (fenced) throw new MillraceError('FENCED', 'epoch 9');
      };
      // Commits up to 7 are made again, with other numbers than before, before the first of them goes here.
      const next = outlet({ inheritedTo: 6, confirm });
      next.push(rowsItem(9, 1));
      await rest();
      assert.deepEqual(rows(), numbered(7, 1));
      assert.ok(isMillraceError(next.errors[0], fenced ? 'FENCED' : 'CHAIN_BROKEN'));
    }
  });

  test('and so does one that comes while we run, when it is beyond all that we have', async () => {
    const { outlet, rest, log } = await makeWorld();
    const out = outlet();
    out.push(rowsItem(1, 1));
    await rest();
    await log.append(by({}, { commit: '3.1', expect: 1 }));
    out.push(rowsItem(2, 1));
    await rest();
    assert.ok(broken(out.errors));
  });

  test('a tail older than one that is remembered means that the results were put back (*every tail compared*)', async () => {
    const { outlet, rest, rows, broker } = await makeWorld();
    const former = outlet();
    former.push(rowsItem(1, 1));
    await rest();
    const copy = broker.stream(stream)!.copy();
    for (const commit of [2, 3]) {
      former.push(rowsItem(commit, 1));
      await rest();
    }
    broker.stream(stream)!.putBack(copy);
    const running = former;
    running.push(rowsItem(4, 1));
    await rest();
    assert.ok(broken(running.errors), 'while it runs');
    for (const waits of [true, false]) {
      const next = outlet({ rememberedSeq: 3, inheritedTo: 4 });
      if (waits) next.push(rowsItem(4, 1));
      else next.open().catch(error => next.errors.push(error));
      await rest();
      assert.ok(broken(next.errors));
    }
    assert.deepEqual(rows(), numbered(1, 1));
  });

  test('no tail where one was, in a stream that ends before it or has another message there, means the same (*every tail compared*)', async () => {
    for (const others of [0, 3]) {
      const { outlet, rest, rows, broker, log } = await makeWorld();
      const copy = broker.stream(stream)!.copy();
      const former = outlet();
      for (const commit of [1, 2]) {
        former.push(rowsItem(commit, 1));
        await rest();
      }
      broker.stream(stream)!.putBack(copy);
      for (let i = 0; i < others; i++) await log.append({ subject: 'out.other', data: bytesOf('other') });
      const next = outlet({ rememberedSeq: 2, inheritedTo: 2 });
      next.push(rowsItem(3, 1));
      await rest();
      assert.ok(broken(next.errors));
      assert.deepEqual(rows(subject), []);
    }
  });

  test('a fence that is purged while a message had no answer is never begun anew (*every tail compared*)', async () => {
    const { outlet, rest, rows, log } = await makeWorld();
    const out = outlet();
    out.push(rowsItem(1, 1));
    await rest();
    let tries = 0;
    const purged = withCall(log, 'append', really => async message => {
      if (++tries > 1) return really(message);
      await really(message);
      await log.trim({ stream, subject, before: 99 });
      await log.append({ subject: 'out.other', data: bytesOf('other') });
      return unsure;
    });
    const next = outlet({ log: purged, inheritedTo: 1, rememberedSeq: 1 });
    next.push(rowsItem(2, 1));
    await rest();
    assert.ok(broken(next.errors));
    assert.deepEqual(rows(subject), []);
  });
});

describe('a channel of the next stage', () => {
  test('gets each frame once, also when a former owner was in the middle of a commit', async () => {
    const { clock, random, log, broker, rest } = await makeWorld();
    const frameOf = (commit: number, row: number): Uint8Array => {
      const head = { position: commit, row, watermarkMs: 5, clockMs: 0, quietMs: 0, bootstrapped: true };
      return encodeFrame({ ...head, columns: emptyColumns(), letters: [] });
    };
    const items: FrameItem[] = [];
    for (const commit of [1, 2]) {
      for (let row = 0; row < 3; row++)
        items.push({ commit, rowFrom: row, frameFrom: row, rowTo: row + 1, bytes: 1, frame: frameOf(commit, row + 1) });
    }
    for (let ended = 1; ended <= 5; ended++) {
      const own = `out.${ended}`;
      const sent: number[] = [];
      const make = (by: Log) =>
        new ChainOutlet<FrameItem>({
          ...{ log: by, clock, random, stream, subject: own, expires: false },
          form: frameForm(() => 1_000),
          past: pastOf({ inheritedTo: by === log ? 2 : 0 }),
          onSent: item => sent.push(item.commit),
          onFailed: error => assert.fail(String(error)),
        });
      let left = ended;
      const former = make(
        withCall(log, 'append', really => message => (left-- > 0 ? really(message) : new Promise(() => {}))),
      );
      for (const item of items) former.push(item);
      await rest();
      sent.length = 0;
      const next = make(log);
      for (const item of items) next.push(item);
      await rest();
      const kept = [];
      for (let seq = 1; seq <= broker.stream('out')!.lastSeq; seq++) {
        const message = broker.stream('out')!.at(seq)!;
        if (message.subject === own) kept.push(Buffer.from(message.data).toString('hex'));
      }
      assert.deepEqual(
        kept,
        items.map(item => Buffer.from(item.frame).toString('hex')),
      );
      assert.deepEqual(sent, [1, 1, 1, 2, 2, 2]);
    }
  });

  test('goes in parts where the broker takes no such frame any more, each row once, whoever goes on', async () => {
    const columns = emptyColumns();
    for (let i = 0; i < 20; i++) addRecord(columns, `k${i}`, 'x'.repeat(90), i, INSERT, i, null, null);
    const head = { position: 1, row: 23, watermarkMs: 7, clockMs: 0, quietMs: 0, bootstrapped: true };
    const frame = encodeFrame({ ...head, columns, letters: [] });
    // Three rows of the commit went before it.
    const item: FrameItem = { commit: 1, rowFrom: 3, frameFrom: 3, rowTo: 23, bytes: frame.length, frame };
    for (let ended = 0; ended <= 6; ended++) {
      const { clock, random, log, broker, rest } = await makeWorld();
      const sent: FrameItem[] = [];
      const make = (by: Log, bytesMax: number) => {
        const outlet = new ChainOutlet<FrameItem>({
          ...{ log: by, clock, random, stream, subject: 'out.parts', expires: false },
          form: frameForm(() => bytesMax),
          past: pastOf({ inheritedTo: by === log ? 1 : 0 }),
          onSent: one => sent.push(one),
          onFailed: error => assert.fail(String(error)),
        });
        outlet.push(item);
      };
      let left = ended;
      make(
        withCall(log, 'append', really => message => (left-- > 0 ? really(message) : new Promise(() => {}))),
        500,
      );
      await rest();
      make(log, 400);
      await rest();
      const frames = Array.from({ length: broker.stream('out')!.lastSeq }, (_, i) =>
        decodeFrame(broker.stream('out')!.at(i + 1)!.data),
      );
      assert.ok(frames.length > 4);
      assert.deepEqual(
        frames.flatMap(({ columns: { keys } }) => keys),
        columns.keys,
      );
      assert.deepEqual(frames.at(-1)!.row, 23);
      assert.deepEqual(
        frames.map(({ watermarkMs }) => watermarkMs),
        frames.map((_, i) => (i === frames.length - 1 ? 7 : Number.NEGATIVE_INFINITY)),
      );
      assert.equal(sent.length > 0, true);
    }
  });
});
