/** A run over several threads, which are fakes: what each is told, and what the whole says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { MillraceError } from '../../../lib/base/errors.ts';
import { type Divide, JoinedRun } from '../../../lib/host/joined-run.ts';
import type { Part } from '../../../lib/topology/parts.ts';
import { FakeEngine, type FakePipeline, until } from './fakes.ts';

const ORDER = {
  ...{ pipeline: 'p', life: 'a', revision: 1, bundle: 'hash', file: 'p.ts', program: 1, since: {} },
  assignment: { number: 1, parts: ['s/0', 's/1', 'in'] },
} as const;
const SHAPE = { parts: ['s/0', 's/1', 'in'], sources: ['in'] };

/** Tasks in the first thread, readers in the second, and what is called `late` in the third. */
const divide: Divide = ({ number, parts }) => {
  const shares: Part[][] = [[], [], []];
  for (const part of parts) shares[part === 'late' ? 2 : part.includes('/') ? 0 : 1]!.push(part);
  return shares.map(share => (share.length === 0 ? null : { number, parts: share }));
};

async function joined(options: { startErrors?: readonly Error[]; cut?: () => void } = {}) {
  const engines = [new FakeEngine(), new FakeEngine(), new FakeEngine()];
  engines[1]!.startErrors.push(...(options.startErrors ?? []));
  const ended: (string | null)[] = [];
  const starting = JoinedRun.start({
    ...{ order: ORDER, shape: SHAPE, threads: engines, divide, quarantine: null, clock: systemClock },
    cut: options.cut ?? null,
    ended: error => ended.push(error?.message ?? null),
  });
  return { engines, ended, starting };
}

const last = ({ assignments }: FakePipeline) => assignments.at(-1);

test('each thread gets its share and no more, and one without a share no order', async () => {
  const { engines, starting } = await joined();
  await starting;
  const orders = engines.map(({ orders }) => orders.map(({ assignment }) => assignment));
  assert.deepEqual(orders, [[{ number: 1, parts: ['s/0', 's/1'] }], [{ number: 1, parts: ['in'] }], []]);
});

test('what is assigned later goes where it belongs, to a thread that had nothing, too; what is older counts for nothing', async () => {
  const { engines, starting } = await joined();
  const run = await starting;
  run.assign({ number: 5, parts: ['s/1', 'late'] });
  await until('the third is started', () => engines[2]!.started.length === 1);
  const [tasks, readers, late] = engines.map(engine => engine.started[0]!);
  assert.deepEqual(last(tasks!), { number: 5, parts: ['s/1'] });
  assert.deepEqual(last(readers!), { number: 5, parts: [] });
  assert.deepEqual(engines[2]!.orders[0]!.assignment, { number: 5, parts: ['late'] });
  run.assign({ number: 4, parts: ['s/0'] });
  assert.deepEqual(last(tasks!), { number: 5, parts: ['s/1'] });
  // Who has no part says nothing of it any more.
  assert.equal(run.status().counts.in, 0);
  readers!.recordsIn = 100;
  late!.recordsIn = 7;
  assert.equal(run.status().counts.in, 7);
});

test('is stopped everywhere, and has not failed', async () => {
  const { engines, ended, starting } = await joined();
  const run = await starting;
  let failed = false;
  void run.failed.then(() => {
    failed = true;
  });
  engines[0]!.started[0]!.stopDelayMs = 30;
  await run.stop({ deadlineMs: 1_000 });
  assert.deepEqual([engines[0]!.running, engines[1]!.running, ended, failed], [[], [], [null], false]);
});

test('where one thread is lost the others hand over what they have before it is told', async () => {
  const { engines, ended, starting } = await joined();
  const run = await starting;
  engines[0]!.started[0]!.stopDelayMs = 30;
  engines[1]!.started[0]!.fail(new MillraceError('ENGINE_LOST', 'gone'));
  assert.equal((await run.failed).message, 'gone');
  assert.ok(engines[0]!.started[0]!.stopped);
  assert.deepEqual(ended, ['gone']);
});

test('that cannot be started in one thread is started in none', async () => {
  const { engines, ended, starting } = await joined({ startErrors: [new MillraceError('PLAN_INVALID', 'no')] });
  await assert.rejects(starting, /no/);
  assert.ok(engines[0]!.started[0]!.stopped);
  assert.deepEqual(ended, ['no']);
});

test('a thread that has all of it and does not stop in time is cut off', async () => {
  let cuts = 0;
  const { engines, starting } = await joined({ cut: () => cuts++ });
  const run = await starting;
  engines[0]!.started[0]!.stopDelayMs = 1_500;
  await run.stop({ deadlineMs: 100 });
  assert.equal(cuts, 1);
});
