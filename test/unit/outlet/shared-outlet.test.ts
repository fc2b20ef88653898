/**
 * A task's part in a shared stream (*one try*): what of a batch is in, however much of it the broker has stored, and
 * what its marker may be in the light of the journal (*every tail compared*).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import type { NatsItem } from '../../../lib/outlet/nats/rows-item.ts';
import { decodeMarker, encodeMarker } from '../../../lib/outlet/nats/shared-outlet.ts';
import { SharedStream } from '../../../lib/outlet/nats/shared-stream.ts';
import type { ChainPast } from '../../../lib/outlet/nats/tail.ts';
import type { Log, NewMessage } from '../../../lib/port/log.ts';
import { bytesOf, makeBroker, numbered, pastOf, rowsItem, sender, textOf, unsure, withCall, withCalls } from './rig.ts';

const item = (
  commit: number,
  count: number,
  to: string | readonly string[] = 'out.x',
  frame: 'none' | 'ndjson' = 'none',
) => rowsItem(commit, count, to, { mode: 'shared', frame });

async function makeWorld(options: { messageBytesMax?: number } = {}) {
  const world = await makeBroker({ atomic: true }, options);
  const { clock, random, log, broker } = world;
  const stream = broker.stream('out')!;
  const shared = (by: Log = log) => new SharedStream({ stream: 'out', log: by, clock, random });
  const outlet = (of: SharedStream, marker: string, past: Partial<ChainPast> = {}) => {
    const sent: number[] = [];
    const errors: unknown[] = [];
    const onSent = ({ commit }: NatsItem) => void sent.push(commit);
    const onFailed = (error: unknown) => void errors.push(error);
    const made = of.outlet({ sender, marker, past: pastOf(past), onSent, onFailed });
    return { push: (one: NatsItem) => made.push(one), open: () => made.open(), sent, errors };
  };
  const rest = () => clock.run(clock.monotonic() + 200_000);
  let batches = 0;
  /** As a server whose store is full at that message of the batch. */
  const breakOff = (messages: readonly NewMessage[], upTo: number) => {
    const id = `broken-${++batches}`;
    return stream.appendBatch(messages, { id, nowMs: clock.now(), upTo });
  };
  /** The log whose first batch is broken off. */
  const breaking = (upTo: number, then: 'goes on' | 'dies' = 'goes on') => {
    let first = true;
    return withCall(log, 'appendBatch', really => async messages => {
      if (!first) return really(messages);
      first = false;
      breakOff(messages, Math.min(upTo, messages.length - 1));
      return then === 'dies' ? new Promise(() => {}) : unsure;
    });
  };
  return { ...world, stream, shared, outlet, rest, breakOff, breaking };
}

const broken = (errors: readonly unknown[]) => errors.length === 1 && isMillraceError(errors[0], 'CHAIN_BROKEN');

test('a marker says the same as a text', () => {
  for (const begun of [null, { first: 3, messages: 1_000 }]) {
    const text = { progress: { position: 12, row: 7 }, begun };
    assert.deepEqual(decodeMarker(encodeMarker(text)), text);
  }
  assert.equal(Buffer.from(encodeMarker({ progress: { position: 12, row: 7 }, begun: null })).toString(), '12.7');
  for (const wrong of ['', 'hello', '1.2 3', '1 2 3', '1.2 x y']) assert.equal(decodeMarker(Buffer.from(wrong)), null);
});

describe('a batch of which the broker stored a part (*one try*)', () => {
  const PARTS = Array.from({ length: 12 }, (_, i) => i);

  test('is gone on with, by the same owner, after what is in: for each task in it, wherever it was broken off', async () => {
    for (const upTo of PARTS) {
      const { shared, outlet, rest, breaking, rows, kept } = await makeWorld();
      const of = shared(breaking(upTo));
      const a = outlet(of, 'm.a');
      const b = outlet(of, 'm.b');
      a.push(item(1, 2));
      a.push(item(2, 2));
      b.push(item(7, 3, 'out.y'));
      await rest();
      assert.deepEqual(rows('out.x'), [...numbered(1, 2), ...numbered(2, 2)], `up to ${upTo}`);
      assert.deepEqual(rows('out.y'), numbered(7, 3), `up to ${upTo}`);
      assert.deepEqual([a.sent, b.sent, a.errors, b.errors], [[1, 2], [7], [], []]);
      assert.deepEqual([textOf(kept('m.a').at(-1)!), textOf(kept('m.b').at(-1)!)], ['2.2', '7.3']);
    }
  });

  test('is gone on with by the next owner, who cuts rows into messages otherwise', async () => {
    const to = ['out.x', 'out.x', 'out.x', 'out.y', 'out.x', 'out.x', 'out.x'];
    for (const upTo of PARTS) {
      const { shared, outlet, rest, breaking, kept, log } = await makeWorld({ messageBytesMax: 1_000 });
      const former = outlet(shared(breaking(upTo, 'dies')), 'm.a');
      for (const commit of [1, 2]) former.push(item(commit, 7, to, 'ndjson'));
      await rest();
      const smaller = withCalls(log, { messageBytesMax: 30 });
      const next = outlet(shared(smaller), 'm.a', { inheritedTo: 2 });
      for (const commit of [1, 2, 3]) next.push(item(commit, 7, to, 'ndjson'));
      await rest();
      const texts = kept().flatMap(message => textOf(message).split('\n').filter(Boolean));
      assert.deepEqual(
        texts,
        [1, 2, 3].flatMap(commit => numbered(commit, 7)),
        `up to ${upTo}`,
      );
      assert.deepEqual([next.sent, next.errors], [[1, 2, 3], []]);
    }
  });

  test('that comes late, in part, after the next owner has begun, has the next owner’s refused, not doubled', async () => {
    for (const upTo of PARTS) {
      const { shared, outlet, rest, log, rows, breakOff } = await makeWorld();
      let late: readonly NewMessage[] | null = null;
      const frozen = withCall(log, 'appendBatch', () => messages => {
        late = messages;
        return new Promise(() => {});
      });
      const former = outlet(shared(frozen), 'm.a');
      former.push(item(1, 6));
      await rest();
      const beaten = withCall(log, 'appendBatch', really => async messages => {
        if (late !== null) breakOff(late, Math.min(upTo, late.length - 1));
        late = null;
        return really(messages);
      });
      const next = outlet(shared(beaten), 'm.a', { inheritedTo: 1 });
      next.push(item(1, 6));
      next.push(item(2, 1));
      await rest();
      assert.deepEqual(rows(), [...numbered(1, 6), ...numbered(2, 1)], `up to ${upTo}`);
      assert.deepEqual(next.errors, []);
    }
  });

  test('is not sent after before it is settled what of it is in, whatever gets no answer meanwhile', async () => {
    for (const call of ['append', 'get', 'info'] as const) {
      for (const lands of call === 'append' ? [true, false] : [false]) {
        const { shared, outlet, rest, log, breaking, rows, kept } = await makeWorld();
        const breaks = breaking(3);
        let silent = 2;
        const deaf = withCalls(breaks, {
          [call]: async (question: never) => {
            if (silent-- <= 0) return (log[call] as (of: never) => Promise<unknown>)(question);
            if (lands) await (log[call] as (of: never) => Promise<unknown>)(question);
            if (call === 'append') return unsure;
            throw new MillraceError('BROKER_UNAVAILABLE', 'no answer');
          },
        });
        const a = outlet(shared(deaf), 'm.a');
        a.push(item(1, 5));
        await rest();
        assert.deepEqual(rows(), numbered(1, 5), call);
        assert.deepEqual([a.sent, a.errors], [[1], []]);
        assert.equal(textOf(kept('m.a').at(-1)!), '1.5');
      }
    }
  });

  test('again and again is gone on with each time, and is tried ever more seldom', async () => {
    const { shared, outlet, rest, log, clock, rows, breakOff } = await makeWorld();
    const triesMs: number[] = [];
    const full = withCall(log, 'appendBatch', really => async messages => {
      triesMs.push(clock.monotonic());
      if (triesMs.length > 9) return really(messages);
      breakOff(messages, 2);
      return unsure;
    });
    const a = outlet(shared(full), 'm.a');
    a.push(item(1, 12));
    await rest();
    assert.deepEqual(rows(), numbered(1, 12));
    const waitsMs = triesMs.slice(1).map((ms, i) => ms - triesMs[i]!);
    // Every other try is refused by the marker that the one before it left.
    assert.ok(Math.max(...waitsMs.slice(0, 2)) < Math.max(...waitsMs.slice(-3)));
    assert.deepEqual(a.sent, [1]);
  });

  test('is the end when a row of it was deleted: it cannot be told how many there were', async () => {
    const { shared, outlet, rest, log, breaking, rows } = await makeWorld();
    const former = outlet(shared(breaking(3, 'dies')), 'm.a');
    former.push(item(1, 4));
    await rest();
    await log.remove({ stream: 'out', seq: 2 });
    const next = outlet(shared(), 'm.a', { inheritedTo: 1 });
    next.push(item(1, 4));
    await rest();
    assert.ok(broken(next.errors));
    assert.deepEqual(rows(), ['"1.1"']);
  });

  test('with other rows than the journal has is the end', async () => {
    const { shared, outlet, rest, breaking } = await makeWorld();
    const former = outlet(shared(breaking(3, 'dies')), 'm.a');
    former.push(item(1, 4, 'out.x', 'ndjson'));
    former.push(item(2, 4, 'out.y', 'ndjson'));
    await rest();
    const next = outlet(shared(), 'm.a', { inheritedTo: 1 });
    next.push(item(1, 3, 'out.x', 'ndjson'));
    await rest();
    assert.ok(broken(next.errors));
  });

  test('that is only landing is waited for when nothing of it waits here', async () => {
    const { shared, outlet, rest, log, rows } = await makeWorld();
    const former = outlet(shared(), 'm.a');
    former.push(item(1, 2));
    await rest();
    // A leader that was just deposed shows the marker that the batch began with.
    let stale = true;
    const begun = await log.get({ stream: 'out', seq: 1 });
    const late = withCall(log, 'last', really => async about => (stale ? begun : really(about)));
    const next = outlet(shared(late), 'm.a', { inheritedTo: 1 });
    next.open();
    await rest();
    stale = false;
    next.push(item(2, 1));
    await rest();
    assert.deepEqual(next.errors, []);
    assert.deepEqual(rows(), [...numbered(1, 2), ...numbered(2, 1)]);
  });
});

describe('a marker and the journal are compared', () => {
  test('one of a commit that nobody knows means that the journal was put back, or that we are fenced (*every tail compared*)', async () => {
    for (const fenced of [true, false]) {
      const { shared, outlet, rest, rows } = await makeWorld();
      const former = outlet(shared(), 'm.a');
      former.push(item(7, 1));
      await rest();
      const confirm = async () => {
        if (fenced) throw new MillraceError('FENCED', 'epoch 9');
      };
      const next = outlet(shared(), 'm.a', { inheritedTo: 6, confirm });
      next.push(item(9, 1));
      await rest();
      assert.ok(isMillraceError(next.errors[0], fenced ? 'FENCED' : 'CHAIN_BROKEN'));
      assert.deepEqual(rows(), numbered(7, 1));
    }
  });

  test('an older one than is known means that the stream was put back: while it runs, and to the next owner (*every tail compared*)', async () => {
    const { shared, outlet, rest, rows, stream } = await makeWorld();
    const running = outlet(shared(), 'm.a');
    running.push(item(1, 1));
    await rest();
    const copy = stream.copy();
    running.push(item(2, 1));
    await rest();
    const rememberedSeq = stream.lastSeqOf('m.a');
    stream.putBack(copy);
    running.push(item(3, 1));
    await rest();
    assert.ok(broken(running.errors));
    for (const waits of [true, false]) {
      const next = outlet(shared(), 'm.a', { rememberedSeq, inheritedTo: 3 });
      if (waits) next.push(item(3, 1));
      else next.open();
      await rest();
      assert.ok(broken(next.errors));
    }
    assert.deepEqual(rows(), numbered(1, 1));
  });

  test('an older one that a deposed leader shows is read again', async () => {
    const { shared, outlet, rest, rows, log } = await makeWorld();
    const former = outlet(shared(), 'm.a');
    for (const commit of [1, 2]) {
      former.push(item(commit, 1));
      await rest();
    }
    const old = await log.get({ stream: 'out', seq: 3 });
    let readings = 0;
    const late = withCall(log, 'last', really => async about => (++readings < 5 ? old : really(about)));
    const next = outlet(shared(late), 'm.a', { rememberedSeq: 6, inheritedTo: 2 });
    next.push(item(3, 1));
    await rest();
    assert.deepEqual(next.errors, []);
    assert.equal(readings, 5);
    assert.deepEqual(rows(), ['"1.0"', '"2.0"', '"3.0"']);
  });

  test('none where a batch of ours had no answer is never begun anew (*every tail compared*)', async () => {
    const { shared, outlet, rest, rows, log } = await makeWorld();
    const of = shared();
    const first = outlet(of, 'm.a');
    first.push(item(1, 1));
    await rest();
    let tries = 0;
    const purged = withCall(log, 'appendBatch', really => async messages => {
      if (++tries > 1) return really(messages);
      await really(messages);
      await log.trim({ stream: 'out', subject: 'm.a', before: 99 });
      await log.trim({ stream: 'out', subject: 'out.x', before: 99 });
      await log.append({ subject: 'out.other', data: bytesOf('other') });
      return unsure;
    });
    const next = outlet(shared(purged), 'm.a', { inheritedTo: 1, rememberedSeq: 3 });
    next.push(item(2, 1));
    await rest();
    assert.ok(broken(next.errors));
    assert.deepEqual(rows('out.x'), []);
  });
});
