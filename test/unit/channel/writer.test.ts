/** A channel as its writer sees it: where frames are cut, and that whoever writes next goes on exactly after the tail. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Chain } from '../../../lib/chain/chain.ts';
import { AFTER, BEFORE, type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import { FrameEncoding } from '../../../lib/channel/encoding.ts';
import { decodeFrame, encodeBroadcast, type Frame } from '../../../lib/channel/frame.ts';
import { ChannelWriter, type WriterState } from '../../../lib/channel/writer.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import { CallWatch, type WatchCalls } from '../../../lib/operator/call-watch.ts';
import { changeAt } from '../../../lib/record/columns.ts';
import type { Letter } from '../../../lib/record/letter.ts';
import { originOf, seqOfOrigin } from '../../../lib/record/origin.ts';

const stream = 'X';
const subject = 'x.0';
const AUTHOR = { revision: 1, assignment: 1, epoch: 1, program: 1 };

async function makeWorld(frameBytesMax = 1_000) {
  const clock = new SimClock();
  const broker = new MemoryBroker({ clock });
  const log = broker.client('setup');
  await log.ensureStream({ name: stream, subjects: ['x.>'] });
  const writer = (by: MemoryLog = log, watchCalls?: WatchCalls) =>
    new ChannelWriter({
      chain: new Chain({ log: by, clock, stream, subject }),
      frameBytesMax,
      writer: 'orders',
      encoding: new FrameEncoding('orders', watchCalls),
    });
  /** Without take-overs, which carry nothing. */
  const frames = (): Frame[] => {
    const kept: Frame[] = [];
    for (let seq = 1; seq <= broker.stream(stream)!.lastSeq; seq++) {
      kept.push(decodeFrame(broker.stream(stream)!.at(seq)!.data));
    }
    return kept.filter(({ columns, letters }) => columns.keys.length + letters.length > 0);
  };
  return { clock, broker, log, writer, frames };
}

const at = (position: number): WriterState => ({
  position,
  watermarkMs: position * 10,
  clockMs: 0,
  quietMs: 0,
  bootstrapped: true,
});

/** Record `part` of source message `seq`. */
function push(
  channel: ChannelWriter,
  seq: number,
  part = 0,
  value: unknown = `${seq}.${part}`,
  change: Change = INSERT,
): void {
  channel.push(`key-${seq}`, value, seq * 100 + part, change, originOf(2, seq), null);
}

/** Each record's value with its change. */
const changesIn = (frames: readonly Frame[]) =>
  frames.flatMap(({ columns }) => columns.values.map((value, i) => [value, changeAt(columns.changes, i)]));

function letterOf(seq: number, bytes = 10, index = 0): Letter {
  const content = new Uint8Array(bytes).fill(1);
  return {
    operator: 'orders',
    code: 'RECORD_INVALID',
    message: 'no',
    bytes: content,
    origin: originOf(2, seq),
    index,
    subject: 'in',
  };
}

async function drain(channel: ChannelWriter, state: WriterState): Promise<void> {
  while (await channel.send(state));
}

const values = (frames: readonly Frame[]): unknown[] => frames.flatMap(frame => frame.columns.values);
const letters = (frames: readonly Frame[]): number[] =>
  frames.flatMap(frame => frame.letters.map(l => seqOfOrigin(l.origin)));

describe('a channel', () => {
  test('sends all that waits in one frame, which says how far the writer is', async () => {
    const { writer, frames } = await makeWorld();
    const channel = writer();
    assert.equal(await channel.open(AUTHOR, null), null);
    for (const seq of [3, 5, 9]) push(channel, seq);
    assert.equal(await channel.send(at(12)), true);
    assert.equal(await channel.send(at(12)), false);
    const [frame] = frames();
    assert.deepEqual(
      {
        position: frame!.position,
        row: frame!.row,
        watermarkMs: frame!.watermarkMs,
        bootstrapped: frame!.bootstrapped,
      },
      { position: 12, row: 0, watermarkMs: 120, bootstrapped: true },
    );
    assert.deepEqual(frame!.columns.keys, ['key-3', 'key-5', 'key-9']);
    assert.deepEqual(frame!.columns.timesMs, [300, 500, 900]);
    assert.deepEqual(frame!.columns.origins.map(seqOfOrigin), [3, 5, 9]);
  });

  test('makes the next frame of all that came while one was on its way', async () => {
    const { writer, frames, clock, broker } = await makeWorld();
    broker.faults = { delayMs: [5, 5] };
    const channel = writer();
    await clock.runThrough(channel.open(AUTHOR, null));
    push(channel, 1);
    const first = channel.send(at(1));
    assert.equal(channel.sending, true);
    for (let seq = 2; seq <= 20; seq++) push(channel, seq);
    assert.equal(await channel.send(at(20)), false);
    await clock.runThrough(first);
    await clock.runThrough(channel.send(at(20)));
    assert.deepEqual(
      frames().map(frame => frame.columns.keys.length),
      [1, 19],
    );
  });

  test('sends each record with its change, however frames are cut and whoever wrote before', async () => {
    const { writer, frames } = await makeWorld();
    const [former, channel] = [writer(), writer()];
    const of = (seq: number): Change => (seq % 5 === 0 ? AFTER : seq % 3 === 0 ? DELETE : INSERT);
    await former.open(AUTHOR, null);
    for (let seq = 1; seq <= 7; seq++) push(former, seq, 0, 'x'.repeat(100) + seq, of(seq));
    await former.send(at(7));
    await channel.open({ ...AUTHOR, epoch: 2 }, null);
    for (let seq = 1; seq <= 40; seq++) push(channel, seq, 0, 'x'.repeat(100) + seq, of(seq));
    push(channel, 41, 0, () => {}, BEFORE);
    for (let seq = 42; seq <= 45; seq++) push(channel, seq, 0, seq, of(seq));
    await drain(channel, at(45));
    const expected = Array.from({ length: 45 }, (_, i) => i + 1)
      .filter(seq => seq !== 41)
      .map(seq => [seq > 41 ? seq : 'x'.repeat(100) + seq, of(seq)]);
    assert.ok(frames().length > 5);
    assert.deepEqual(changesIn(frames()), expected);
    assert.deepEqual(
      frames().flatMap(frame => frame.letters.map(letter => [letter.code, letter.change])),
      [['RECORD_UNWRITABLE', BEFORE]],
    );
  });

  test('encodes of a backlog of large records what fits a frame, and not all of it for each, until they are small again', async () => {
    const { writer, frames } = await makeWorld();
    const channel = writer();
    await channel.open(AUTHOR, null);
    let encoded = 0;
    const large = () => ({
      get fill() {
        encoded++;
        return 'x'.repeat(100);
      },
    });
    for (let seq = 1; seq <= 512; seq++) push(channel, seq, 0, large());
    await drain(channel, at(512));
    assert.equal(values(frames()).length, 512);
    assert.ok(encoded < 5 * 512, `512 records were encoded ${encoded} times`);
    const before = frames().length;
    for (let seq = 513; seq <= 1_000; seq++) push(channel, seq, 0, seq);
    await drain(channel, at(1_000));
    const sizes = frames().map(frame => frame.columns.keys.length);
    assert.ok(Math.max(...sizes.slice(before)) > 2 * Math.max(...sizes.slice(0, before)), `frames of ${sizes}`);
  });

  test('cuts at the byte limit, in the middle of a message too, and tells no watermark before its last frame', async () => {
    const { writer, frames } = await makeWorld(300);
    const channel = writer();
    await channel.open(AUTHOR, null);
    for (let part = 0; part < 40; part++) push(channel, 7, part);
    push(channel, 8);
    await drain(channel, at(9));
    const sent = frames();
    assert.ok(sent.length > 3);
    let rows = 0;
    for (const frame of sent.slice(0, -1)) {
      rows += frame.columns.keys.length;
      assert.deepEqual(
        { position: frame.position, row: frame.row, watermarkMs: frame.watermarkMs, bootstrapped: frame.bootstrapped },
        { position: 6, row: rows, watermarkMs: Number.NEGATIVE_INFINITY, bootstrapped: false },
      );
    }
    assert.deepEqual({ position: sent.at(-1)!.position, row: sent.at(-1)!.row }, { position: 9, row: 0 });
    assert.deepEqual(values(sent), [...Array.from({ length: 40 }, (_, part) => `7.${part}`), '8.0']);
  });

  test('goes on in the middle of a message wherever the former writer ended, whatever the size of frames (*resume*)', async () => {
    for (let framesSent = 1; framesSent <= 6; framesSent++) {
      const { writer, frames } = await makeWorld(300);
      const feed = (channel: ChannelWriter) => {
        for (let seq = 4; seq <= 6; seq++) for (let part = 0; part < 25; part++) push(channel, seq, part);
      };
      const former = writer();
      await former.open(AUTHOR, null);
      feed(former);
      for (let i = 0; i < framesSent; i++) await former.send(at(6));
      const next = writer();
      const head = await next.open(AUTHOR, null);
      assert.deepEqual(
        { position: head!.position, row: head!.row },
        { position: frames().at(-1)!.position, row: frames().at(-1)!.row },
      );
      feed(next);
      await drain(next, at(6));
      const wanted = [4, 5, 6].flatMap(seq => Array.from({ length: 25 }, (_, part) => `${seq}.${part}`));
      assert.deepEqual(values(frames()), wanted, `after ${framesSent} frames`);
    }
  });

  test('is beaten by a later owner, wherever in a message it is, and that one sends exactly the rest', async () => {
    for (const [first, then] of [
      [0, 1],
      [1, 1],
      [2, 1],
      [1, 3],
      [3, 2],
    ] as const) {
      const { writer, frames } = await makeWorld(300);
      const feed = (channel: ChannelWriter) => {
        for (let part = 0; part < 90; part++) push(channel, 7, part);
        push(channel, 8);
        channel.pushLetter(letterOf(8));
      };
      const [former, owner] = [writer(), writer()];
      await former.open(AUTHOR, null);
      feed(former);
      for (let i = 0; i < first; i++) await former.send(at(8));
      await owner.open({ ...AUTHOR, epoch: 2 }, null);
      feed(owner);
      for (let i = 0; i < then; i++) await owner.send(at(8));
      await assert.rejects(former.send(at(8)), { code: 'FENCED' });
      await drain(owner, at(8));
      const wanted = [...Array.from({ length: 90 }, (_, part) => `7.${part}`), '8.0'];
      assert.deepEqual(values(frames()), wanted, `${first} and ${then}`);
      assert.deepEqual(letters(frames()), [8]);
    }
  });

  test('is no later owner’s, and yet somebody has written there: that is an alarm', async () => {
    const { writer, log } = await makeWorld();
    const mine = writer();
    await mine.open(AUTHOR, null);
    const head = { position: 3, row: 0, watermarkMs: 0, clockMs: 0, quietMs: 0, bootstrapped: true };
    await log.append({ subject, data: encodeBroadcast(head) });
    push(mine, 4);
    await assert.rejects(mine.send(at(4)), { code: 'CHAIN_BROKEN' });
  });

  test('goes on at a broadcast that is further than its last frame', async () => {
    const { writer, frames } = await makeWorld();
    const former = writer();
    await former.open(AUTHOR, null);
    push(former, 3);
    await former.send(at(3));
    const next = writer();
    const broadcast = { position: 8, row: 0, watermarkMs: 80, clockMs: 0, quietMs: 0, bootstrapped: true };
    assert.deepEqual(await next.open(AUTHOR, broadcast), broadcast);
    for (const seq of [3, 8, 9]) push(next, seq);
    await drain(next, at(9));
    assert.deepEqual(values(frames()), ['3.0', '9.0']);
    const last = writer();
    assert.equal((await last.open(AUTHOR, broadcast))!.position, 9);
  });

  test('knows up to where all has landed: neither what waits nor what is on its way counts', async () => {
    const { writer, clock, broker } = await makeWorld();
    broker.faults = { delayMs: [5, 5] };
    const channel = writer();
    await clock.runThrough(channel.open(AUTHOR, null));
    assert.equal(channel.landedTo, Number.POSITIVE_INFINITY);
    push(channel, 4);
    assert.equal(channel.landedTo, 3);
    const sending = channel.send(at(4));
    assert.equal(channel.landedTo, 3);
    push(channel, 6);
    assert.equal(channel.landedTo, 3);
    await clock.runThrough(sending);
    assert.equal(channel.landedTo, 5);
    channel.pushLetter(letterOf(7));
    assert.equal(channel.landedTo, 5);
    await clock.runThrough(channel.send(at(7)));
    assert.equal(channel.landedTo, Number.POSITIVE_INFINITY);
  });
});

describe('letters on a channel', () => {
  test('are rows of their message: a frame may end before one, and none is sent again by the next writer', async () => {
    for (let framesSent = 1; framesSent <= 8; framesSent++) {
      const { writer, frames } = await makeWorld(400);
      const feed = (channel: ChannelWriter) => {
        channel.pushLetter(letterOf(5));
        for (let part = 0; part < 30; part++) {
          if (part % 3 === 1) channel.pushLetter(letterOf(7, 10, part));
          else push(channel, 7, part);
        }
        channel.pushLetter(letterOf(8));
      };
      const former = writer();
      await former.open(AUTHOR, null);
      feed(former);
      for (let i = 0; i < framesSent; i++) await former.send(at(8));
      const next = writer();
      await next.open(AUTHOR, null);
      feed(next);
      await drain(next, at(8));
      const parts = Array.from({ length: 30 }, (_, part) => part);
      assert.deepEqual(
        values(frames()),
        parts.filter(part => part % 3 !== 1).map(part => `7.${part}`),
        `after ${framesSent} frames`,
      );
      assert.deepEqual(letters(frames()), [5, ...parts.filter(part => part % 3 === 1).map(() => 7), 8]);
      assert.deepEqual(
        frames().flatMap(frame => frame.letters.map(letter => letter.index)),
        [0, ...parts.filter(part => part % 3 === 1), 0],
      );
    }
  });

  test('go out whole in as many frames as they need, those of one message and those without records too', async () => {
    const { writer, frames } = await makeWorld(400);
    const channel = writer();
    await channel.open(AUTHOR, null);
    for (let seq = 1; seq <= 25; seq++) channel.pushLetter(letterOf(seq, 40));
    push(channel, 25);
    for (let index = 0; index < 25; index++) channel.pushLetter(letterOf(50, 40, index));
    push(channel, 51);
    await drain(channel, at(60));
    const sent = frames();
    assert.deepEqual(letters(sent), [...Array.from({ length: 25 }, (_, i) => i + 1), ...new Array(25).fill(50)]);
    assert.deepEqual(values(sent), ['25.0', '51.0']);
    assert.ok(sent.every(frame => frame.letters.every(letter => letter.bytes.length === 40)));
    assert.equal(sent.at(-1)!.position, 60);
  });

  test('that are too much for a frame alone are cut and say how long they were; their reasons stay', async () => {
    const { writer, frames } = await makeWorld(600);
    const channel = writer();
    await channel.open(AUTHOR, null);
    channel.pushLetter(letterOf(4, 100));
    channel.pushLetter({ ...letterOf(5, 2_000), message: 'm'.repeat(200) });
    channel.pushLetter({ ...letterOf(6, 0), message: 'm'.repeat(1_000) });
    push(channel, 6);
    await drain(channel, at(6));
    const [whole, cut, long] = frames().flatMap(frame => frame.letters);
    assert.deepEqual([whole!.bytes.length, whole!.bytesTotal], [100, undefined]);
    assert.ok(cut!.bytes.length > 100 && cut!.bytes.length < 600);
    assert.deepEqual([cut!.message.length, cut!.bytesTotal], [200, 2_000]);
    assert.ok(long!.message.length >= 200 && long!.message.length < 600);
    assert.deepEqual(values(frames()), ['6.0']);
  });

  test('take the places of records that no frame can carry, whose neighbours go on', async () => {
    const { writer, frames } = await makeWorld(600);
    const channel = writer();
    await channel.open(AUTHOR, null);
    channel.pushLetter(letterOf(3, 50));
    push(channel, 4, 0, 'v'.repeat(1_000));
    push(channel, 5, 0, () => 'not data');
    push(channel, 5, 1);
    push(channel, 5, 2, { deep: { symbol: Symbol('s') } });
    push(channel, 6);
    await drain(channel, at(6));
    const sent = frames().flatMap(frame => frame.letters);
    assert.deepEqual(letters(frames()), [3, 4, 5, 5]);
    assert.deepEqual(
      sent.map(letter => letter.code),
      ['RECORD_INVALID', 'MESSAGE_TOO_LARGE', 'RECORD_UNWRITABLE', 'RECORD_UNWRITABLE'],
    );
    assert.equal(sent[0]!.bytes.length, 50);
    assert.deepEqual([sent[1]!.bytesTotal, sent[1]!.subject], [1_002, '']);
    assert.match(sent[3]!.message, /deep\.symbol is a symbol/);
    assert.deepEqual(values(frames()), ['5.1', '6.0']);
    assert.equal(frames().at(-1)!.position, 6);
  });

  test('take the places of records that cannot even be read', async () => {
    const { writer, frames } = await makeWorld(600);
    const channel = writer();
    await channel.open(AUTHOR, null);
    push(channel, 4);
    push(channel, 5, 0, {
      get x() {
        throw new Error('not mine to say');
      },
    });
    push(channel, 6);
    await drain(channel, at(6));
    const [letter] = frames().flatMap(frame => frame.letters);
    assert.deepEqual([letter!.code, letters(frames())], ['RECORD_UNWRITABLE', [5]]);
    assert.match(letter!.message, /cannot be read: not mine to say/);
    assert.deepEqual(values(frames()), ['4.0', '6.0']);
  });

  test('take the places of records that do not return when they are read, as was learned before', async () => {
    const { log, frames, writer } = await makeWorld(600);
    // Whoever saw it first knew the frame by its first record alone; the next time each was looked at by itself.
    const of = (seq: number) => ({ pipeline: 'p', revision: 1, operator: 'orders', origin: originOf(2, seq) });
    const watch = new CallWatch({ suspects: [of(4), of(5)] });
    const channel = writer(log, (operator, cursor) => watch.at({ pipeline: 'p', revision: 1, operator }, cursor));
    await channel.open(AUTHOR, null);
    push(channel, 4);
    push(channel, 5, 0, {
      get x() {
        for (;;);
      },
    });
    push(channel, 6);
    await drain(channel, at(6));
    const [letter] = frames().flatMap(frame => frame.letters);
    assert.deepEqual([letter!.code, letters(frames())], ['USER_CODE', [5]]);
    assert.match(letter!.message, /orders did not return for this record/);
    assert.match(Buffer.from(letter!.bytes).toString(), /unwritable/);
    assert.deepEqual(values(frames()), ['4.0', '6.0']);
  });

  test('of refused records are counted where they stand: whoever goes on in the middle doubles and loses nothing', async () => {
    for (let framesSent = 1; framesSent <= 12; framesSent++) {
      const { writer, frames } = await makeWorld(400);
      const feed = (channel: ChannelWriter) => {
        for (let seq = 4; seq <= 5; seq++) {
          for (let part = 0; part < 24; part++) {
            const value = part % 5 === 2 ? Symbol('s') : part % 7 === 3 ? 'v'.repeat(900) : `${seq}.${part}`;
            push(channel, seq, part, value);
          }
        }
      };
      const former = writer();
      await former.open(AUTHOR, null);
      feed(former);
      for (let i = 0; i < framesSent; i++) await former.send(at(5));
      const next = writer();
      await next.open(AUTHOR, null);
      feed(next);
      await drain(next, at(5));
      const isRefused = (part: number) => part % 5 === 2 || part % 7 === 3;
      const parts = Array.from({ length: 24 }, (_, part) => part);
      const wanted = [4, 5].flatMap(seq => parts.filter(part => !isRefused(part)).map(part => `${seq}.${part}`));
      assert.deepEqual(values(frames()), wanted, `after ${framesSent} frames`);
      const refused = parts.filter(isRefused);
      assert.deepEqual(letters(frames()), [...refused.map(() => 4), ...refused.map(() => 5)]);
    }
  });
});
