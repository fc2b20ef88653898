import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { Worker } from '../../../lib/host/worker.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { PeerExchange } from '../../../lib/memory/peers.ts';
import { MemoryBucket, MemoryRegistry } from '../../../lib/memory/registry.ts';
import { silent } from '../../../lib/observe/events.ts';
import type { Assignment } from '../../../lib/topology/parts.ts';
import { FakeClearing, FakeCluster, FakeEngine, fakeBundle, until } from './fakes.ts';

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(() => cluster.stop());

describe('Worker', () => {
  test('starts what is deployed, and what was deployed before it was there', async () => {
    const a = cluster.worker('a');
    await a.commands.deploy(fakeBundle('early'), { dryRun: false });
    await a.worker.start();
    await a.commands.deploy(fakeBundle('later'), { dryRun: false });
    await until('both run', () => a.engine.running.length === 2);
    assert.equal(a.worker.status('early').state, 'running');
    assert.equal(a.worker.status('later').sources[0]!.position, 7);
  });

  test('a new revision replaces the old one, which has stopped before', async () => {
    const a = cluster.worker('a');
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => a.engine.running.length === 1);
    const first = a.engine.running[0]!;
    first.stopDelayMs = 50;
    await a.commands.deploy(fakeBundle('p', { salt: '2' }), { dryRun: false });
    await until('the second runs', () => a.engine.started.length === 2);
    assert.equal(first.stopped, true);
    assert.deepEqual(
      a.engine.running.map(one => one.revision),
      [2],
    );
  });

  test('a failure that passes is tried again; its reason shows meanwhile', async () => {
    const a = cluster.worker('a');
    a.engine.startErrors.push(new MillraceError('BROKER_UNAVAILABLE', 'no answer'));
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it failed', () => a.worker.status('p').state === 'failed');
    assert.match(a.worker.status('p').reason!, /^BROKER_UNAVAILABLE: no answer \(next try in \d+ s\)$/);
    await until('it runs', () => a.worker.status('p').state === 'running');
    assert.deepEqual(
      a.observer.names().filter(name => name.startsWith('pipeline.')),
      ['pipeline.failed', 'pipeline.started'],
    );
  });

  test('a pipeline that stops by itself for good stays down until a person restarts it', async () => {
    const a = cluster.worker('a');
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => a.engine.running.length === 1);
    a.engine.started[0]!.fail(new MillraceError('CHAIN_BROKEN', 'the journal is shorter than remembered'));
    await until('it failed', () => a.worker.status('p').state === 'failed');
    assert.match(a.worker.status('p').reason!, /CHAIN_BROKEN.*restart or deploy it again/);
    assert.equal(a.engine.started.length, 1);
    assert.equal(await a.commands.restart('p'), 2);
    await until('it runs again', () => a.worker.status('p').state === 'running');
    assert.equal(a.engine.started[1]!.revision, 2);
  });

  test('a broken invariant is told to whoever can end the process', async () => {
    const a = cluster.worker('a');
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => a.engine.running.length === 1);
    a.engine.started[0]!.fail(new MillraceError('INVARIANT', 'cannot be'));
    assert.equal((await a.worker.fatal).message, 'cannot be');
  });

  test('one pipeline that cannot be planned does not keep others from running', async () => {
    const a = cluster.worker('a');
    await a.commands.deploy(fakeBundle('bad'), { dryRun: false });
    await a.commands.deploy(fakeBundle('good'), { dryRun: false });
    const start = a.engine.start.bind(a.engine);
    a.engine.start = async order => {
      if (order.file === 'bad.ts') throw new MillraceError('PLAN_INVALID', 'bad.ts:1:1: no');
      return start(order);
    };
    await a.worker.start();
    await until('the good one runs', () => a.worker.status('good').state === 'running');
    await until('the bad one failed', () => a.worker.status('bad').state === 'failed');
  });

  test('a stop has another take everything over while it runs on, releases the lease, and that one leads', async () => {
    const a = cluster.worker('a', { leaseMs: 60_000 });
    const b = cluster.worker('b', { leaseMs: 60_000, capacity: 1 });
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('a runs it', () => a.engine.running.length === 1);
    await b.worker.start();
    await until('a knows b', () => a.observer.count('member.joined') === 2);
    await a.worker.stop({ deadlineMs: 10_000 });
    assert.equal(a.engine.running.length, 0);
    assert.equal((b.engine.running[0]!.assignments.at(-1) as Assignment).parts.length, 4);
    await until('b leads', () => b.worker.active);
  });

  test('each has its share of the parts, under one number, and a part that moves is asked for under a later one', async () => {
    const a = cluster.worker('a');
    const b = cluster.worker('b', { capacity: 1 });
    await a.worker.start();
    await b.worker.start();
    await until('they know each other', () => [a, b].every(({ observer }) => observer.count('member.joined') === 2));
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('both run it', () => [a, b].every(({ engine }) => engine.running.length === 1));
    const [first, second] = [a, b].map(({ engine }) => engine.orders[0]!.assignment);
    assert.deepEqual([...first!.parts, ...second!.parts].sort(), ['join-1/0', 'join-1/1', 'join-1/2', 'join-1/3']);
    assert.deepEqual([first!.parts.length, second!.parts.length, first!.number], [2, 2, second!.number]);
    await b.worker.stop({ deadlineMs: 10_000 });
    const last = a.engine.running[0]!.assignments.at(-1) as Assignment;
    assert.equal(last.parts.length, 4);
    assert.ok(last.number > first!.number);
  });

  test('one that has fallen silent is not led by any more, goes on with what it has, and loses it to whoever leads then', async () => {
    const a = cluster.worker('a');
    const b = cluster.worker('b');
    await a.worker.start();
    await b.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('a runs it', () => a.engine.running.length === 1);
    a.registry.connected = false;
    await until('b leads', () => b.worker.active);
    assert.equal(a.engine.running.length, 1);
    assert.equal(b.engine.started.length, 0, 'a is there, and is heard');
    a.peers.line = 'cut';
    await until('b runs it', () => b.engine.running.length === 1);
    a.registry.connected = true;
    a.peers.line = 'up';
    await until('a has stopped it', () => a.engine.running.length === 0);
    assert.equal(a.worker.active, false);
  });

  test('one that could not start is over: it neither takes the lease later nor says that it is there', async () => {
    const clock = new SimClock();
    const bucket = new MemoryBucket(clock);
    const registry = new MemoryRegistry(bucket);
    const worker = new Worker({
      ...{
        me: { name: 'a', instance: 'a1', formers: [] },
        address: null,
        registry,
        peers: new PeerExchange({ clock }).client('a'),
        clock,
        observer: silent,
      },
      ...{ engine: new FakeEngine(), clear: new FakeClearing().clear },
    });
    registry.connected = false;
    const started = assert.rejects(worker.start(), { code: 'BROKER_UNAVAILABLE' });
    await clock.runThrough(started);
    registry.connected = true;
    await clock.run(60_000);
    assert.equal(worker.active, false);
    assert.deepEqual(bucket.keys(), []);
  });

  test('a stop that hangs is left behind at the deadline', async () => {
    const a = cluster.worker('a');
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => a.engine.running.length === 1);
    a.engine.running[0]!.stop = () => new Promise(() => {});
    await a.worker.stop({ deadlineMs: 20 });
    assert.deepEqual(a.observer.events.at(-1), {
      event: 'worker.stopped',
      level: 'warn',
      worker: 'a',
      inTime: false,
    });
  });

  test('an engine that is gone is no failure of what ran in it: it runs in the next one, and the lease is kept', async () => {
    const a = cluster.worker('a', { leaseMs: 60_000 });
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await a.commands.deploy(fakeBundle('q'), { dryRun: false });
    await until('both run', () => a.engine.running.length === 2);
    a.engine.become('the engine is started anew');
    await until('both are known to be gone', () =>
      ['p', 'q'].every(name => a.worker.status(name).state === 'starting'),
    );
    assert.equal(a.worker.status('p').reason, 'the engine is started anew');
    assert.equal(a.engine.running.length, 0);
    a.engine.become(null);
    await until('both run again', () => a.engine.running.length === 2);
    assert.ok(a.worker.active);
    assert.ok(!a.observer.names().includes('lease.lost'));
    assert.ok(!a.observer.names().includes('pipeline.failed'));
  });

  test('what is not wanted any more is not started again in the next engine, and a delete needs none', async () => {
    const a = cluster.worker('a');
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await a.commands.deploy(fakeBundle('q'), { dryRun: false });
    await until('both run', () => a.engine.running.length === 2);
    a.engine.become('the engine is started anew');
    await a.commands.pause('p');
    assert.equal((await a.commands.delete('q', { purge: false })).done, true);
    a.engine.become(null);
    await a.commands.deploy(fakeBundle('r'), { dryRun: false });
    await until('the third runs', () => a.worker.status('r').state === 'running');
    assert.deepEqual(
      a.engine.running.map(({ name }) => name),
      ['r'],
    );
  });

  test('an engine that is lost while a pipeline starts is no failure either', async () => {
    const a = cluster.worker('a');
    a.engine.startErrors.push(new MillraceError('ENGINE_LOST', 'it crashed'));
    await a.worker.start();
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => a.worker.status('p').state === 'running');
    assert.ok(!a.observer.names().includes('pipeline.failed'));
  });
});

describe('Workers that share', () => {
  async function two() {
    const a = cluster.worker('a');
    const b = cluster.worker('b', { capacity: 1 });
    await a.worker.start();
    await b.worker.start();
    await until('they know each other', () => [a, b].every(({ observer }) => observer.count('member.joined') === 2));
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('both run it', () => [a, b].every(({ engine }) => engine.running.length === 1));
    return { a, b };
  }

  test('have nothing deleted before the last of them has left it', async () => {
    const { a, b } = await two();
    let left = () => {};
    const stop = b.engine.running[0]!.stop.bind(b.engine.running[0]);
    b.engine.running[0]!.stop = () =>
      new Promise<void>(resolve => {
        left = resolve;
      }).then(stop);
    const deleted = a.commands.delete('p', { purge: true });
    await until('a has left it', () => a.engine.running.length === 0);
    await until('a has asked b again', () => a.worker.status('p', 2).state === 'stopping');
    await new Promise(resolve => setTimeout(resolve, 1_200));
    assert.deepEqual(a.clearing.cleared, []);
    left();
    assert.equal((await deleted).done, true);
    assert.equal(a.clearing.cleared.length, 1);
    assert.deepEqual(b.clearing.cleared, [], 'only whoever leads deletes');
  });

  test('are all followed before a pipeline is said to run, or to be paused', async () => {
    const { a, b } = await two();
    await until('all is known', () => a.worker.status('p').state === 'running');
    b.engine.running[0]!.stopDelayMs = 1_500;
    const revision = await a.commands.pause('p');
    await until('a has stopped', () => a.engine.running.length === 0);
    const { status } = await a.commands.get('p');
    assert.equal(status.state, 'stopping');
    assert.match(status.reason!, /revision 1 makes room for 2 on b/);
    await until('b has', async () => (await a.commands.get('p')).status.state === 'paused');
    assert.equal(b.engine.running.length, 0);
    b.engine.start = () => new Promise(() => {});
    await a.commands.resume('p');
    await until('a runs it', () => a.engine.running.length === 1);
    const { state, reason } = a.worker.status('p', revision + 1);
    assert.ok(state === 'restoring' || state === 'starting', `${state}: ${reason}`);
  });

  test('are named while they do not answer, in the status of what they have', async () => {
    const { a, b } = await two();
    await until('all is known', () => a.worker.status('p').state === 'running');
    b.peers.line = 'cut';
    await until('it is named', () => a.worker.status('p').state === 'waiting');
    assert.match(a.worker.status('p').reason!, /^worker b, which has 2 parts of it, does not answer/);
    b.peers.line = 'up';
    await until('all is well', () => a.worker.status('p').state === 'running');
    assert.equal(a.worker.status('p').reason, null);
  });

  test('are taken out of service and put back by name, whoever is asked, and each says what it has', async () => {
    const { a, b } = await two();
    assert.deepEqual((await b.commands.get('p')).workers, ['b'], 'what it knows itself');
    await until('a knows of both', async () => (await a.commands.get('p')).workers.join() === 'a,b');
    await assert.rejects(a.commands.drain('nobody'), { code: 'NOT_FOUND' });
    await assert.rejects(a.commands.uncordon('nobody'), { code: 'NOT_FOUND' });
    assert.equal(await a.commands.drain('b'), true);
    assert.equal(await a.commands.drain('b'), false);
    const ofB = async () => (await b.commands.workers()).find(({ name }) => name === 'b')!;
    await until('b has nothing', async () => (await ofB()).pipelines === 0);
    assert.equal((await ofB()).cordoned, true);
    assert.equal((a.engine.running[0]!.assignments.at(-1) as Assignment).parts.length, 4);
    assert.equal(await b.commands.uncordon('b'), true);
    await until('b knows', async () => !(await ofB()).cordoned);
    assert.equal(await b.commands.uncordon('b'), false);
    await until('something would go back', () => a.commands.moves().length > 0);
    assert.deepEqual(
      a.commands.moves().map(({ from, to, why }) => [from, to, why]),
      [
        ['a', 'b', 'balance'],
        ['a', 'b', 'balance'],
      ],
    );
  });
});
