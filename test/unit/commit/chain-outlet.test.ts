/** The way out to an owned subject or a channel (E): every row once and in order, whoever sends it and wherever it ended. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Chain } from '../../../lib/commit/chain.ts';
import { ChainOutlet, type FrameItem, frameForm, rowsForm } from '../../../lib/commit/chain-outlet.ts';
import { HEADER_ORIGIN, HEADER_TASK, type RowsItem } from '../../../lib/commit/rows-item.ts';
import type { SinkSpec } from '../../../lib/commit/sink-spec.ts';
import type { Log, StreamSettings } from '../../../lib/port/log.ts';
import { emptyColumns, encodeFrame } from '../../../lib/record/frame.ts';
import { bytesOf, makeBroker, numbered, rowsItem, sender, sinkOf, textOf, unsure, withCall } from './rig.ts';

const stream = 'out';
const subject = 'out.0';

async function makeWorld(settings: Omit<StreamSettings, 'name' | 'subjects'> = {}) {
  const world = await makeBroker(settings);
  const outlet = (
    options: {
      log?: Log;
      rememberedSeq?: number;
      inheritedTo?: number;
      bytesMax?: number;
      sink?: Partial<SinkSpec>;
    } = {},
  ) => {
    const sent: [commit: number, seq: number][] = [];
    const errors: unknown[] = [];
    const chain = new Chain({ log: options.log ?? world.log, clock: world.clock, stream, subject, mayExpire: true });
    const made = new ChainOutlet<RowsItem>({
      chain,
      form: rowsForm({ sink: sinkOf(options.sink), sender, messageBytesMax: options.bytesMax ?? 1_000 }),
      rememberedSeq: options.rememberedSeq ?? 0,
      inheritedTo: options.inheritedTo ?? 0,
      onSent: (item, seq) => sent.push([item.commit, seq]),
      onFailed: error => errors.push(error),
    });
    return Object.assign(made, { sent, errors, chain });
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
    outlet({ sink: { frame: 'none' } }).push(rowsItem(1, 3));
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
      const next = outlet({ bytesMax: 30 });
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
    const next = outlet({ log: beaten, bytesMax: 14 });
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

  test('stops when its last message expired between two lives and rows of the former one wait', async () => {
    const { outlet, clock, rest, rows } = await makeWorld({ maxAgeMs: 60_000 });
    const former = outlet();
    former.push(rowsItem(1, 2));
    await clock.run(100_000);
    const next = outlet({ rememberedSeq: former.sent[0]![1], inheritedTo: 2 });
    next.push(rowsItem(2, 2));
    await rest();
    assert.ok(broken(next.errors));
    assert.deepEqual(rows(), []);
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

describe('a channel of the next stage', () => {
  test('gets each frame once, also when a former owner was in the middle of a commit', async () => {
    const { clock, log, broker, rest } = await makeWorld();
    const frameOf = (commit: number, row: number): Uint8Array => {
      const head = { position: commit, row, watermarkMs: 5, clockMs: 0, quietMs: 0, bootstrapped: true };
      return encodeFrame({ ...head, columns: emptyColumns(), letters: [] });
    };
    const items: FrameItem[] = [];
    for (const commit of [1, 2]) {
      for (let row = 0; row < 3; row++)
        items.push({ commit, rowFrom: row, rowTo: row + 1, bytes: 1, frame: frameOf(commit, row + 1) });
    }
    for (let ended = 1; ended <= 5; ended++) {
      const own = `out.${ended}`;
      const sent: number[] = [];
      const make = (by: Log) =>
        new ChainOutlet<FrameItem>({
          chain: new Chain({ log: by, clock, stream, subject: own }),
          form: frameForm,
          rememberedSeq: 0,
          inheritedTo: 0,
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
});
