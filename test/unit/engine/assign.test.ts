/**
 * What runs of a pipeline while it runs: parts come and go by assignment, none is taken back by who was fenced from it, and
 * rows are there once wherever they were made.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { pipeline } from '../../../lib/index.ts';
import { decodeHead } from '../../../lib/journal/entry.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Event } from '../../../lib/observe/events.ts';
import { Budget, type Share } from '../../../lib/task/budget.ts';
import { type Assignment, type Part, partsOf } from '../../../lib/topology/parts.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

const PARTITIONS = 4;
const ALL: readonly Part[] = ['keyed/0', 'keyed/1', 'keyed/2', 'keyed/3', 'in'];

const counting = pipeline(
  'p',
  ({ from }) => {
    from<{ k: string }>('in', { name: 'in' })
      .keyBy('k', { name: 'keyed' })
      .dedupe({ id: row => row.k, within: '1h' })
      .to('out.{partition}');
  },
  { partitions: PARTITIONS },
);

class SeenBudget extends Budget {
  /** In the order in which tasks have come. */
  readonly shares: Share[] = [];

  override join(): Share {
    const share = super.join();
    this.shares.push(share);
    return share;
  }
}

async function makeWorld() {
  const random = new Random(1);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork() });
  broker.create({ name: 'in', subjects: ['in'] });
  broker.faults = { delayMs: [0.1, 1] };
  const plan = await clock.runThrough(planOrThrow(counting, broker.client('plans')));
  const blobs = new MemoryBlobs({ clock });
  const budget = new SeenBudget();
  const start = async (assignment: Assignment) => {
    const log = broker.client(`worker ${assignment.number}`);
    const events: Event[] = [];
    const observer = { emit: (event: Event) => void events.push(event) };
    const around = {
      log,
      clock: log.clock,
      random: random.fork(),
      observer,
      stores: new MemoryStores({ clock }),
      blobs,
    };
    const one = new Pipeline({ plan, around, life: 'l', assignment, budget });
    await clock.runThrough(one.start());
    return Object.assign(one, { events });
  };
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  let sent = 0;
  /** A record for each partition, and what has come of all so far. */
  const send = async () => {
    for (let i = 0; i < 40; i++) broker.land([{ subject: 'in', data: Buffer.from(`{"k":"k${sent++}"}`) }], false);
    await pass(5_000);
    return rows();
  };
  const rows = () => {
    const stream = broker.stream('out')!;
    const found: string[] = [];
    for (let seq = 1; seq <= stream.lastSeq; seq++)
      found.push(...Buffer.from(stream.at(seq)!.data).toString().split('\n'));
    return found.filter(Boolean).length;
  };
  const tail = (partition: number) => {
    const stream = broker.stream('MR_p_l_journal')!;
    let seq = stream.lastSeq;
    while (stream.at(seq)?.subject !== `_mr.p.j.l.keyed.${partition}`) seq--;
    return decodeHead(stream.at(seq)!.data);
  };
  const states = (one: Pipeline) => one.status().tasks.map(({ partition, state }) => `${partition} ${state}`);
  return { clock, plan, budget, start, pass, send, tail, states };
}

describe('an assignment', () => {
  test('names parts: the tasks of all stages, and readers', async () => {
    const { plan } = await makeWorld();
    assert.deepEqual(partsOf(plan), ALL);
  });

  test('hands over what is given to another, and the rest goes on; rows are there once', async () => {
    const world = await makeWorld();
    const first = await world.start({ number: 1, parts: 'all' });
    assert.equal(await world.send(), 40);
    const second = await world.start({ number: 2, parts: ['keyed/1', 'keyed/3', 'in'] });
    first.assign({ number: 2, parts: ['keyed/0', 'keyed/2'] });
    assert.equal(await world.send(), 80);
    assert.deepEqual(world.states(first), ['0 running', '2 running']);
    assert.deepEqual(world.states(second), ['1 running', '3 running']);
    assert.deepEqual([first.status().sources.length, second.status().sources.length], [0, 1]);
    assert.deepEqual([first.status().state, second.status().state], ['running', 'running']);
    second.assign({ number: 3, parts: [] });
    first.assign({ number: 3, parts: 'all' });
    assert.equal(await world.send(), 120);
    assert.deepEqual(world.states(second), []);
    assert.equal(first.status().tasks.length, PARTITIONS);
    const { counts } = first.status();
    assert.equal(counts.in, 120, 'what others did is counted by who has it now');
    assert.equal(second.status().counts.in, 0);
  });

  test('that is older than the last counts for nothing', async () => {
    const world = await makeWorld();
    const one = await world.start({ number: 5, parts: ALL });
    one.assign({ number: 4, parts: [] });
    one.assign({ number: 5, parts: [] });
    assert.equal(await world.send(), 40);
    assert.equal(one.status().tasks.length, PARTITIONS);
  });

  test('that is not heard of fences nobody but who has not heard; what he lost he takes back when he is told, and not before', async () => {
    const world = await makeWorld();
    const first = await world.start({ number: 1, parts: 'all' });
    await world.send();
    assert.ok(world.budget.shares[1]!.stateBytes > 0);
    const second = await world.start({ number: 2, parts: ['keyed/1', 'in'] });
    assert.equal(await world.send(), 80);
    await world.pass(60_000);
    assert.equal(await world.send(), 120);
    assert.deepEqual(world.states(first), ['0 running', '1 fenced', '2 running', '3 running']);
    assert.equal(first.events.filter(({ event }) => event === 'task.fenced').length, 1, 'once, and then it is left');
    assert.equal(first.status().state, 'waiting');
    assert.match(first.status().reason!, /taken over|assignment/);
    assert.equal(second.events.filter(({ level }) => level !== 'info' && level !== 'debug').length, 0);
    assert.equal(world.budget.shares[1]!.stateBytes, 0, 'what the lost one held is nobody’s');
    first.assign({ number: 3, parts: 'all' });
    assert.equal(await world.send(), 160);
    assert.deepEqual(world.states(first), ['0 running', '1 running', '2 running', '3 running']);
    assert.equal(first.status().state, 'running');
  });

  test('that takes a part away and gives it back is followed, however soon', async () => {
    const world = await makeWorld();
    const one = await world.start({ number: 1, parts: 'all' });
    await world.send();
    one.assign({ number: 2, parts: ['in'] });
    one.assign({ number: 3, parts: 'all' });
    assert.equal(await world.send(), 80);
    assert.equal(one.status().tasks.length, PARTITIONS);
    assert.deepEqual([world.tail(0).kind, world.tail(0).epoch], ['commit', 2]);
  });

  test('is there before streams can be made, and what runs then is what was said last', async () => {
    const world = await makeWorld();
    const one = await world.start({ number: 1, parts: [] });
    one.assign({ number: 2, parts: ['keyed/0'] });
    await world.pass(2_000);
    assert.deepEqual(world.states(one), ['0 running']);
  });

  test('shares the memory of the worker anew', async () => {
    const world = await makeWorld();
    const one = await world.start({ number: 1, parts: 'all' });
    await world.send();
    const probe = world.budget.join();
    const crowded = probe.journalBytesMax;
    one.assign({ number: 2, parts: ['keyed/0', 'in'] });
    await world.pass(2_000);
    assert.ok(probe.journalBytesMax > crowded);
    await world.clock.runThrough(one.stop({ deadlineMs: 1_000 }));
    assert.equal(probe.journalBytesMax, 256 << 20);
  });

  test('may have tasks followed: a follower has what the owner has, and takes over from it without reading again', async () => {
    const world = await makeWorld();
    const first = await world.start({ number: 1, parts: 'all' });
    const second = await world.start({ number: 2, parts: [], follows: ALL });
    assert.equal(await world.send(), 40);
    const { followers, tasks } = second.status();
    assert.equal(tasks.length, 0);
    const commits = first.status().tasks.map(task => task.commits);
    assert.deepEqual(
      followers.map(({ commit, fresh }) => ({ commit, fresh })),
      commits.map(commit => ({ commit, fresh: true })),
    );
    await world.clock.runThrough(first.stop({ deadlineMs: 1_000 }));
    second.assign({ number: 3, parts: 'all' });
    assert.equal(await world.send(), 80);
    assert.deepEqual(second.status().followers, []);
    const restored = second.events.filter(({ event }) => event === 'task.restored');
    assert.equal(restored.length, PARTITIONS);
    assert.ok(restored.every(({ warm }) => warm === true));
    const replayed = restored.map(({ commitsReplayed }) => Number(commitsReplayed));
    assert.ok(
      replayed.every(count => count > 0),
      'the journal was read by the follower, not again',
    );
  });

  test('of a task that its owner hands over waits for the release, and fences nobody', async () => {
    const world = await makeWorld();
    const first = await world.start({ number: 1, parts: 'all' });
    const second = await world.start({ number: 2, parts: [], follows: ALL });
    await world.send();
    const taken = { number: 3, parts: ALL, awaits: ALL.filter(part => part !== 'in') };
    second.assign(taken);
    await world.pass(500);
    assert.deepEqual(world.states(second), [], 'nothing is taken before it is released');
    first.assign({ number: 3, parts: [] });
    await world.pass(200);
    assert.deepEqual(world.states(second), ['0 running', '1 running', '2 running', '3 running']);
    assert.deepEqual(
      first.events.filter(({ event }) => event === 'task.fenced'),
      [],
    );
    assert.equal(await world.send(), 80);
  });

  test('of a task that is never released is carried out all the same', async () => {
    const world = await makeWorld();
    await world.start({ number: 1, parts: 'all' });
    await world.send();
    const second = await world.start({ number: 2, parts: ALL, awaits: ALL });
    await world.pass(1_500);
    assert.deepEqual(world.states(second), []);
    await world.pass(1_500);
    assert.deepEqual(world.states(second), ['0 running', '1 running', '2 running', '3 running']);
    assert.equal(await world.send(), 80);
  });

  test('of a task whose owner turns out to be gone waits no longer', async () => {
    const world = await makeWorld();
    await world.start({ number: 1, parts: 'all' });
    await world.send();
    const second = await world.start({ number: 2, parts: ALL, awaits: ALL });
    await world.pass(300);
    second.assign({ number: 3, parts: ALL });
    await world.pass(300);
    assert.equal(world.states(second).length, PARTITIONS);
  });

  test('that turns an owner into a follower has its store closed before it is opened again', async () => {
    const world = await makeWorld();
    const one = await world.start({ number: 1, parts: 'all' });
    await world.send();
    one.assign({ number: 2, parts: ['in'], follows: ALL });
    await world.pass(2_000);
    assert.equal(one.status().followers.length, PARTITIONS);
    one.assign({ number: 3, parts: ALL });
    assert.equal(await world.send(), 80);
    assert.deepEqual(
      one.events.filter(({ level }) => level === 'warn' || level === 'error'),
      [],
    );
  });
});
