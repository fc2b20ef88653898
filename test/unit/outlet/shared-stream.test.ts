/**
 * The way out to a shared stream (*one try*): rows and marker together or not at all, whatever becomes of answers and
 * batches.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import type { NatsItem } from '../../../lib/outlet/nats/rows-item.ts';
import { SharedStream } from '../../../lib/outlet/nats/shared-stream.ts';
import type { ChainPast } from '../../../lib/outlet/nats/tail.ts';
import type { Log, NewMessage } from '../../../lib/port/log.ts';
import { bytesOf, rowsItem as itemTo, makeBroker, numbered, pastOf, sender, textOf, unsure, withCall } from './rig.ts';

const rowsItem = (commit: number, count: number, to: string | readonly string[], frame: 'none' | 'ndjson' = 'none') =>
  itemTo(commit, count, to, { mode: 'shared', frame });

async function makeWorld(options: { maxAgeMs?: number; messageBytesMax?: number } = {}) {
  const { messageBytesMax, ...settings } = options;
  const world = await makeBroker(
    { atomic: true, ...settings },
    messageBytesMax === undefined ? {} : { messageBytesMax },
  );
  const { clock, random, log } = world;
  const batches: (readonly NewMessage[])[] = [];
  const shared = (by: Log = log) => {
    const counted = withCall(by, 'appendBatch', really => messages => {
      batches.push(messages);
      return really(messages);
    });
    return new SharedStream({ stream: 'out', log: counted, clock, random });
  };
  const outlet = (of: SharedStream, marker: string, past: Partial<ChainPast> = {}) => {
    const sent: number[] = [];
    const seqs: number[] = [];
    const errors: unknown[] = [];
    const made = of.outlet({
      sender,
      marker,
      past: pastOf(past),
      onSent: (item: NatsItem, seq) => {
        sent.push(item.commit);
        seqs.push(seq);
      },
      onFailed: error => errors.push(error),
    });
    return { push: (item: NatsItem) => made.push(item), stop: () => made.stop(), sent, seqs, errors };
  };
  const rest = () => clock.run(clock.monotonic() + 10_000);
  const marker = (name: string) => textOf(world.kept(name).at(-1)!);
  return { ...world, shared, outlet, rest, batches, marker };
}

describe('a shared stream', () => {
  test('gets what several tasks have waiting in one batch, closed by a marker of each', async () => {
    const { shared, outlet, rest, batches, rows, marker, broker } = await makeWorld();
    const of = shared();
    const a = outlet(of, 'm.a');
    const b = outlet(of, 'm.b');
    a.push(rowsItem(1, 2, 'out.x'));
    b.push(rowsItem(7, 1, 'out.y'));
    a.push(rowsItem(2, 1, 'out.z'));
    await rest();
    assert.equal(batches.length, 1);
    assert.deepEqual(rows(), ['"1.0"', '"1.1"', '"2.0"', '"7.0"']);
    assert.deepEqual([marker('m.a'), marker('m.b')], ['2.1', '7.1']);
    assert.deepEqual([a.sent, b.sent], [[1, 2], [7]]);
    // What is remembered is where the task's own marker stands.
    assert.equal(a.seqs.at(-1), broker.stream('out')!.lastSeqOf('m.a'));
    assert.equal(b.seqs.at(-1), broker.stream('out')!.lastSeqOf('m.b'));
    a.push(rowsItem(3, 1, 'out.x'));
    await rest();
    assert.equal(batches.length, 2);
  });

  test('gets a batch once whose answer was lost, also when more has come to be sent meanwhile', async () => {
    const { shared, outlet, rest, log, rows } = await makeWorld();
    let tries = 0;
    const deaf = withCall(log, 'appendBatch', really => async messages => {
      const outcome = await really(messages);
      if (++tries > 1) return outcome;
      a.push(rowsItem(2, 2, 'out.x'));
      return unsure;
    });
    const a = outlet(shared(deaf), 'm.a');
    a.push(rowsItem(1, 2, 'out.x'));
    await rest();
    assert.deepEqual(rows(), [...numbered(1, 2), ...numbered(2, 2)]);
    assert.deepEqual(a.sent, [1, 2]);
  });

  test('sends again what did not land, and what lands late then is refused', async () => {
    const { shared, outlet, rest, log, rows } = await makeWorld();
    let late: (() => Promise<unknown>) | null = null;
    const slow = withCall(log, 'appendBatch', really => async messages => {
      if (late !== null) return really(messages);
      late = () => really(messages);
      return unsure;
    });
    const a = outlet(shared(slow), 'm.a');
    a.push(rowsItem(1, 2, 'out.x'));
    await rest();
    assert.deepEqual(await late!(), { kind: 'moved' });
    assert.deepEqual(rows(), numbered(1, 2));
  });

  test('sends the others’ rows again without those of a task whose marker has moved', async () => {
    const { shared, outlet, rest, log, rows, marker } = await makeWorld();
    const a = outlet(shared(), 'm.a');
    a.push(rowsItem(1, 1, 'out.x'));
    await rest();
    // A former owner of `a` in another worker, and a stranger's batch in between.
    let raced = false;
    const beaten = withCall(log, 'appendBatch', really => async messages => {
      if (!raced) {
        raced = true;
        await really([
          { subject: 'out.x', data: bytesOf('"2.0"') },
          { subject: 'm.a', data: bytesOf('2.1'), expect: 3 },
        ]);
      }
      return really(messages);
    });
    const of = shared(beaten);
    const next = outlet(of, 'm.a', { inheritedTo: 3 });
    const b = outlet(of, 'm.b');
    for (const commit of [1, 2, 3]) next.push(rowsItem(commit, 1, 'out.x'));
    b.push(rowsItem(5, 2, 'out.y'));
    await rest();
    assert.deepEqual(rows().sort(), ['"1.0"', '"2.0"', '"3.0"', '"5.0"', '"5.1"']);
    assert.deepEqual([marker('m.a'), marker('m.b')], ['3.1', '5.2']);
    assert.deepEqual([next.sent, b.sent], [[1, 2, 3], [5]]);
    assert.deepEqual([next.errors, b.errors], [[], []]);
  });

  test('goes on in the middle of a commit that does not fit one batch', async () => {
    const { shared, outlet, rest, log, batches, rows, marker } = await makeWorld();
    let left = 2;
    const dying = withCall(
      log,
      'appendBatch',
      really => messages => (left-- > 0 ? really(messages) : new Promise(() => {})),
    );
    const former = outlet(shared(dying), 'm.a');
    former.push(rowsItem(1, 2_500, 'out.x'));
    former.push(rowsItem(2, 3, 'out.x'));
    await rest();
    assert.ok(batches.every(batch => batch.length <= 1_000));
    assert.equal(marker('m.a'), '1.1996');
    assert.deepEqual(former.sent, []);
    const next = outlet(shared(), 'm.a', { inheritedTo: 2 });
    next.push(rowsItem(1, 2_500, 'out.x'));
    next.push(rowsItem(2, 3, 'out.x'));
    await rest();
    assert.deepEqual(rows(), [...numbered(1, 2_500), ...numbered(2, 3)]);
    assert.equal(marker('m.a'), '2.3');
    assert.deepEqual(next.sent, [1, 2]);
  });

  test('serves each task in its turn when one has more than a batch takes', async () => {
    const { shared, outlet, rest, batches } = await makeWorld();
    const of = shared();
    const outlets = ['m.a', 'm.b', 'm.c'].map(marker => outlet(of, marker));
    for (const one of outlets) one.push(rowsItem(1, 4_000, 'out.x'));
    await rest();
    const served = batches.map(batch =>
      batch.filter(({ subject }) => subject.startsWith('m.')).map(({ subject }) => subject),
    );
    assert.equal(new Set(served.slice(0, 3).flat()).size, 3);
    assert.ok(batches.every(batch => batch.length <= 1_000));
    assert.deepEqual(
      outlets.map(one => one.sent),
      [[1], [1], [1]],
    );
  });

  test('never has more than a thousand messages in a batch, the markers of many tasks included', async () => {
    const { shared, outlet, rest, batches, rows } = await makeWorld();
    const of = shared();
    const outlets = Array.from({ length: 40 }, (_, i) => outlet(of, `m.${i}`));
    for (const one of outlets) one.push(rowsItem(1, 30, 'out.x'));
    await rest();
    assert.ok(batches.every(batch => batch.length <= 1_000));
    assert.equal(rows().length, 1_200);
    assert.ok(outlets.every(one => one.sent.length === 1));
  });

  test('puts rows that follow each other to one subject into one message where the sink is framed', async () => {
    const { shared, outlet, rest, kept } = await makeWorld({ messageBytesMax: 1_000 });
    const a = outlet(shared(), 'm.a');
    a.push(rowsItem(1, 5, ['out.x', 'out.x', 'out.y', 'out.x', 'out.x'], 'ndjson'));
    await rest();
    assert.deepEqual(
      kept().map(message => [message.subject, textOf(message)]),
      [
        ['out.x', '"1.0"\n"1.1"\n'],
        ['out.y', '"1.2"'],
        ['out.x', '"1.3"\n"1.4"\n'],
      ],
    );
  });

  test('stops a task, and it alone, whose marker is not Millrace’s', async () => {
    const { shared, outlet, rest, log, rows } = await makeWorld();
    await log.append({ subject: 'm.a', data: bytesOf('hello') });
    const of = shared();
    const a = outlet(of, 'm.a');
    const b = outlet(of, 'm.b');
    a.push(rowsItem(1, 1, 'out.x'));
    b.push(rowsItem(2, 1, 'out.x'));
    await rest();
    assert.ok(isMillraceError(a.errors[0], 'CHAIN_BROKEN') && a.errors.length === 1);
    assert.deepEqual(rows(), ['"2.0"']);
  });

  test('stops when the marker expired between two lives and rows of the former one wait, else goes on (*every tail compared*)', async () => {
    for (const [inheritedTo, stops] of [
      [2, true],
      [1, false],
    ] as const) {
      const { shared, outlet, rest, clock, log, rows } = await makeWorld({ maxAgeMs: 60_000 });
      const former = outlet(shared(), 'm.a');
      former.push(rowsItem(1, 1, 'out.x'));
      await clock.run(100_000);
      // What was last before this may have been rows of commit 2.
      for (const text of ['other', 'more']) await log.append({ subject: 'out.other', data: bytesOf(text) });
      await log.remove({ stream: 'out', seq: former.seqs[0]! + 1 });
      const next = outlet(shared(), 'm.a', { rememberedSeq: former.seqs[0]!, inheritedTo });
      next.push(rowsItem(2, 1, 'out.x'));
      await rest();
      assert.equal(isMillraceError(next.errors[0], 'CHAIN_BROKEN'), stops);
      assert.deepEqual(rows(), stops ? ['more'] : ['more', '"2.0"']);
    }
  });

  test('goes on when the marker expires while the task runs', async () => {
    const { shared, outlet, rest, clock, rows } = await makeWorld({ maxAgeMs: 60_000 });
    const a = outlet(shared(), 'm.a');
    a.push(rowsItem(1, 1, 'out.x'));
    await clock.run(100_000);
    a.push(rowsItem(2, 1, 'out.x'));
    await rest();
    assert.deepEqual(a.errors, []);
    assert.deepEqual(rows(), ['"2.0"']);
    assert.deepEqual(a.sent, [1, 2]);
  });
});
