/** The relay of a task: everything that commits say goes out, and "all up to here is out" is never said too early. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeBroadcast, encodeFrame } from '../../../lib/channel/frame.ts';
import type { Outbox } from '../../../lib/journal/outbox.ts';
import { noMeter } from '../../../lib/observe/meter.ts';
import { outletKinds } from '../../../lib/outlet/kinds.ts';
import { HEADER_SINK } from '../../../lib/outlet/nats/rows-item.ts';
import { Relay, type RelayOptions } from '../../../lib/outlet/relay.ts';
import type { Log } from '../../../lib/port/log.ts';
import { emptyColumns } from '../../../lib/record/columns.ts';
import { makeBroker, numbered, rowsOf, sender, withCall } from './rig.ts';

const inherited = (inheritedTo: number) => ({
  inheritedTo,
  inheritedFromMs: Number.NEGATIVE_INFINITY,
  confirm: async () => {},
});

async function makeWorld() {
  const world = await makeBroker();
  const { clock, random, log, broker } = world;
  await log.ensureStream({ name: 'MR_p_l_x_next', subjects: ['_mr.p.x.l.next.>', '_mr.p.w.l.next.>'] });
  const errors: unknown[] = [];
  const relay = (by: Log = log, options: Partial<RelayOptions> = {}) =>
    new Relay({
      deployment: { pipeline: 'p', life: 'l' },
      stage: 's',
      partition: 0,
      routes: [{ stage: 'next', input: 'in', partitions: 2, lagMs: 5 }],
      targets: [{ sink: 'sink', kind: 'nats', target: rowsOf([]).target }],
      sender,
      log: by,
      clock,
      random,
      kinds: outletKinds({ log: by, clock, random }),
      tails: {},
      relayedThrough: 0,
      past: inherited(0),
      onProgress: () => {},
      meter: noMeter,
      onFailed: error => errors.push(error),
      ...options,
    });
  const last = (subject: string) => broker.stream('MR_p_l_x_next')!.lastOf(subject);
  const rest = () => clock.run(clock.monotonic() + 5_000);
  return { ...world, relay, last, rest, errors };
}

const route = { stage: 'next', input: 'in' };

function frames(commit: number, rows: readonly number[]): Outbox['frames'] {
  return rows.map(row => {
    const head = { position: commit, row, watermarkMs: 0, clockMs: 0, quietMs: 0, bootstrapped: true };
    return { route, partition: 1, row, bytes: encodeFrame({ ...head, columns: emptyColumns(), letters: [] }) };
  });
}

const rows = (commit: number, count: number): Outbox => ({ frames: [], rows: [rowsOf(numbered(commit, count))] });
const CHANNEL = '_mr.p.x.l.next.1.in.t-s-0';
const WORD = '_mr.p.w.l.next.in.t-s-0';

/** Somebody has spoken to the stage. */
const HEARD = { clockMs: 5, isSilent: false };

describe('the relay', () => {
  test('says that a commit is out when all of it and all before it is', async () => {
    const { relay, log, rest, rows: sent } = await makeWorld();
    let open: () => void = () => {};
    const gate = new Promise<void>(resolve => {
      open = resolve;
    });
    const slow = withCall(log, 'append', really => async message => {
      if (message.subject.startsWith('out.')) await gate;
      return really(message);
    });
    const out = relay(slow);
    out.send(1, { ...rows(1, 2), frames: frames(1, [1]) }, 10);
    out.send(2, { frames: frames(2, [1]), rows: [] }, 20);
    out.send(3, { frames: [], rows: [] }, 30);
    await rest();
    assert.equal(out.relayedThrough, 0);
    assert.ok(out.backlogBytes > 0);
    assert.equal(out.waitingRows, 2);
    open();
    await rest();
    assert.equal(out.relayedThrough, 3);
    assert.equal(out.backlogBytes, 0);
    assert.equal(out.waitingRows, 0);
    assert.deepEqual(sent(), numbered(1, 2));
  });

  test('tells each destination’s last sequence once, when it has changed', async () => {
    const { relay, rest } = await makeWorld();
    const out = relay();
    out.send(1, { ...rows(1, 2), frames: frames(1, [1, 2]) }, 10);
    await rest();
    assert.deepEqual(out.takeTails(), { 'nats out out.0': 1, 'next/in/1': 2 });
    assert.deepEqual(out.takeTails(), {});
    out.send(2, rows(2, 1), 20);
    await rest();
    assert.deepEqual(out.takeTails(), { 'nats out out.0': 2 });
  });

  test('goes on between two frames of one commit where a former owner ended', async () => {
    const { relay, rest, log, broker, errors } = await makeWorld();
    let left = 1;
    const dying = withCall(log, 'append', really => message => (left-- > 0 ? really(message) : new Promise(() => {})));
    for (const by of [dying, log]) {
      const out = relay(by, { past: inherited(by === log ? 2 : 0) });
      out.send(1, { frames: frames(1, [3, 7]), rows: [] }, 10);
      out.send(2, { frames: frames(2, [2]), rows: [] }, 20);
      await rest();
      if (by === log) assert.equal(out.relayedThrough, 2);
    }
    assert.equal(broker.stream('MR_p_l_x_next')!.lastSeq, 3);
    assert.deepEqual(errors, []);
  });

  test('tells event time only as far as what is sent, less what the records may trail, and no word twice', async () => {
    const { relay, rest, log, last } = await makeWorld();
    let closed = true;
    const slow = withCall(
      log,
      'append',
      really => message => (closed && message.subject === CHANNEL ? new Promise(() => {}) : really(message)),
    );
    const stuck = relay(slow);
    stuck.send(1, { frames: frames(1, [1]), rows: [] }, 1_000);
    await rest();
    await stuck.tell(HEARD);
    assert.equal(last(WORD), null);
    stuck.stop();
    closed = false;
    const out = relay(log, { past: inherited(1) });
    out.send(1, { frames: frames(1, [1]), rows: [] }, 1_000);
    await rest();
    for (let i = 0; i < 2; i++) await out.tell(HEARD);
    const word = last(WORD)!;
    const { position, watermarkMs } = decodeBroadcast(word.data);
    assert.deepEqual([position, watermarkMs], [1, 995]);
    assert.ok(word.seq > last(CHANNEL)!.seq);
    await out.tell(HEARD);
    assert.equal(last(WORD)!.seq, word.seq);
  });

  test('tells now and then, as of its clock, that nobody has ever spoken to it', async () => {
    const { relay, last } = await makeWorld();
    const out = relay();
    const wordOf = () => {
      const { watermarkMs, clockMs } = decodeBroadcast(last(WORD)!.data);
      return [watermarkMs, clockMs];
    };
    await out.tell({ clockMs: Number.NEGATIVE_INFINITY, isSilent: true });
    assert.equal(last(WORD), null, 'nothing is known of its sources yet');
    await out.tell({ clockMs: 50_000, isSilent: true });
    assert.deepEqual(wordOf(), [Number.NEGATIVE_INFINITY, 50_000]);
    await out.tell({ clockMs: 50_500, isSilent: true });
    assert.deepEqual(wordOf(), [Number.NEGATIVE_INFINITY, 50_000]);
    await out.tell({ clockMs: 51_000, isSilent: true });
    assert.deepEqual(wordOf(), [Number.NEGATIVE_INFINITY, 51_000]);
    await out.tell({ clockMs: 60_000, isSilent: false });
    assert.deepEqual(wordOf(), [Number.NEGATIVE_INFINITY, 51_000]);
  });

  test('sends rows where their commit said, whatever has become of the sink, and closes the way when they are out', async () => {
    const { relay, rest, log, kept, errors } = await makeWorld();
    const moved = { mode: 'owned', template: 'out.0.{partition}' } as const;
    const outbox = (...rows: Outbox['rows']): Outbox => ({ frames: [], rows });
    // The former plan's sinks: one that has been removed, one that has another subject now, one that has another name.
    const past = [
      rowsOf(['"removed"'], 'out.removed', { name: 'removed', mode: 'shared', template: 'out.removed', frame: 'none' }),
      rowsOf(['"moved"'], [], { ...moved, template: 'out.before.{partition}' }),
      rowsOf(['"renamed"'], [], { name: 'before', template: 'out.same.{partition}' }),
    ];
    const present = [
      rowsOf(['"stays"'], [], moved),
      rowsOf(['"renamed, later"'], [], { name: 'after', template: 'out.same.{partition}', frame: 'none' }),
    ];
    const targets = present.map(({ sink, kind, target }) => ({ sink, kind, target }));
    await log.deleteStream('out');
    await log.ensureStream({ name: 'out', subjects: ['out.>', '_mr.p.m.>'], atomic: true });
    const out = relay(log, { targets, past: inherited(1) });
    const opened = out.open();
    out.send(1, outbox(...past), 10);
    await rest();
    await opened;
    assert.equal(out.relayedThrough, 1);
    out.send(2, outbox(...present), 20);
    await rest();
    assert.equal(out.relayedThrough, 2);
    assert.deepEqual(errors, []);
    const sent = kept().map(({ subject, headers, data }) => [
      subject,
      headers?.[HEADER_SINK],
      Buffer.from(data).toString(),
    ]);
    assert.deepEqual(sent.sort(), [
      ['out.0.0', 'l/sink', '"stays"'],
      ['out.before.0', 'l/sink', '"moved"'],
      ['out.removed', 'l/removed', '"removed"'],
      ['out.same.0', 'l/after', '"renamed, later"'],
      ['out.same.0', 'l/before', '"renamed"'],
    ]);
    // What is remembered of a subject is so under whatever name.
    assert.equal(out.takeTails()['nats out out.same.0'], kept('out.same')[1]!.seq);
  });

  test('is open only when every tail fits the journal: of each sink, channel and word (*every tail compared*)', async () => {
    for (const beyond of ['sink', 'channel', 'word', null] as const) {
      const { relay, rest, log } = await makeWorld();
      const former = relay();
      if (beyond === 'sink') former.send(5, rows(5, 1), 10);
      else former.send(5, { frames: beyond === 'word' ? [] : frames(5, [1]), rows: [] }, 10);
      await rest();
      if (beyond === 'word') await former.tell(HEARD);
      const out = relay(log, { past: inherited(beyond === null ? 5 : 4) });
      const opened = out.open();
      opened.catch(() => {});
      await rest();
      if (beyond === null) await opened;
      else await assert.rejects(opened, { code: 'CHAIN_BROKEN' }, beyond);
    }
  });
});
