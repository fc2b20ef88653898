import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { pipeline } from '../../../lib/index.ts';
import type { Registry } from '../../../lib/port/registry.ts';
import { Commands } from '../../../lib/service/commands.ts';
import { summarize } from '../../../lib/topology/summary.ts';
import { FakeCluster, fakeBundle, fakeSummary, until } from '../host/fakes.ts';
import { planned } from '../topology/broker.ts';

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(() => cluster.stop());

function refused(code: string, text: RegExp) {
  return (error: unknown) => isMillraceError(error) && error.code === code && text.test(error.message);
}

describe('deploy', () => {
  test('the first creates, the same again does nothing, another one updates', async () => {
    const { commands } = cluster.worker('a');
    const deploy = (salt: string) => commands.deploy(fakeBundle('p', { salt }), { dryRun: false });
    assert.deepEqual(await deploy('1'), { name: 'p', revision: 1, outcome: 'created', paused: false, notices: [] });
    const revision = cluster.bucket.revision;
    assert.deepEqual(await deploy('1'), { name: 'p', revision: 1, outcome: 'unchanged', paused: false, notices: [] });
    assert.equal(cluster.bucket.revision, revision);
    assert.deepEqual(await deploy('2'), { name: 'p', revision: 2, outcome: 'updated', paused: false, notices: [] });
  });

  test('the first says what the streams keep that are made for sources', async () => {
    const { commands, judge } = cluster.worker('a');
    const built = pipeline('p', ({ from }) => from('in.a', { capture: true }).to('out.{partition}'));
    judge.plan = async () => ({ summary: summarize(await planned(built, [])), text: '' });
    const { notices } = await commands.deploy(fakeBundle('p'), { dryRun: false });
    assert.deepEqual(notices, [
      'stream in_a is made; it keeps messages for 7d, at most 1 GiB; otherwise by capture: { maxAge, maxBytes }, ' +
        'or later by nats stream edit in_a',
    ]);
  });

  test('is never answered with what the revision before it does: it runs on for a while, or has failed', async () => {
    const a = cluster.worker('a');
    await a.worker.start();
    const deploy = (salt: string) => a.commands.deploy(fakeBundle('p', { salt }), { dryRun: false });
    const state = async () => (await a.commands.get('p')).status.state;
    await deploy('1');
    await until('the first runs', async () => (await state()) === 'running');
    a.engine.running[0]!.stopDelayMs = 50;
    await deploy('2');
    assert.notEqual(await state(), 'running');
    await until('the second runs', async () => (await state()) === 'running');
    assert.deepEqual(
      a.engine.running.map(pipeline => pipeline.revision),
      [2],
    );
    a.engine.running[0]!.fail(new MillraceError('CHAIN_BROKEN', 'gone'));
    await until('it has failed', async () => (await state()) === 'failed');
    await deploy('3');
    assert.notEqual(await state(), 'failed');
    await until('the third runs', async () => (await state()) === 'running');
  });

  test('a dry run says what would happen and changes nothing', async () => {
    const { commands } = cluster.worker('a');
    const answer = await commands.deploy(fakeBundle('p'), { dryRun: true });
    assert.deepEqual(answer, { name: 'p', revision: 1, outcome: 'created', paused: false, notices: [] });
    assert.equal(cluster.bucket.revision, 0);
    assert.deepEqual(await cluster.blobs.list(''), []);
  });

  test('what cannot read the existing state is refused with the reasons', async () => {
    const { commands } = cluster.worker('a');
    await commands.deploy(fakeBundle('p', { shape: 'a' }), { dryRun: false });
    const other = fakeBundle('p', { shape: 'b' });
    await assert.rejects(
      commands.deploy(other, { dryRun: false }),
      refused('PLAN_INCOMPATIBLE', /shape was a, now b[\s\S]*--purge/),
    );
    const plan = await commands.plan(other);
    assert.equal(plan.outcome, 'incompatible');
    assert.deepEqual(plan.incompatibilities, ['shape was a, now b']);
    assert.equal((await commands.get('p')).spec.revision, 1);
  });

  test('a bundle that was damaged on the way is refused', async () => {
    const { commands } = cluster.worker('a');
    const bundle = { ...fakeBundle('p'), hash: '0'.repeat(64) };
    await assert.rejects(commands.deploy(bundle, { dryRun: false }), refused('INVALID_ARGUMENT', /does not match/));
  });

  test('what another pipeline’s damaged entry says is in nobody’s way but its own', async () => {
    const { worker, registry, commands } = cluster.worker('a');
    await worker.start();
    await registry.put('pipelines.other', Buffer.from('{"name":"other","revision":3}'), { expect: 0 });
    const { outcome } = await commands.deploy(fakeBundle('p'), { dryRun: false });
    assert.equal(outcome, 'created');
    await assert.rejects(commands.deploy(fakeBundle('other'), { dryRun: false }), {
      code: 'PLAN_INCOMPATIBLE',
      message: /pipeline other was written by another version/,
    });
  });

  test('is what mends an entry that no worker has written, whatever it is', async () => {
    const { worker, registry, commands, observer } = cluster.worker('a');
    await worker.start();
    for (const junk of ['null', '{bad', '7', '', '{"name":"p"}']) {
      const at = (await registry.get('pipelines.p'))?.revision ?? 0;
      await registry.put('pipelines.p', Buffer.from(junk), { expect: at });
      await until('it is told', () => observer.events.some(({ event }) => event === 'spec.unreadable'));
      const [view] = await commands.list();
      assert.match(view!.status.reason!, /the spec of pipeline p is (damaged|not JSON)/);
      await commands.deploy(fakeBundle('p', { salt: junk }), { dryRun: false });
      assert.match(String((await commands.get('p')).spec.revision), /^[1-9]/);
      observer.events.length = 0;
    }
  });

  test('many at once: each wins in turn, and revisions count them', async () => {
    const { commands } = cluster.worker('a');
    const salts = ['1', '2', '3', '4', '5'];
    const answers = await Promise.all(salts.map(salt => commands.deploy(fakeBundle('p', { salt }), { dryRun: false })));
    assert.deepEqual(answers.map(answer => answer.revision).sort(), [1, 2, 3, 4, 5]);
  });
});

describe('delete', () => {
  test('without purge stops it, keeps its state, and a later deploy reads on', async () => {
    const { worker, commands, engine, clearing } = cluster.worker('a');
    await worker.start();
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => engine.running.length === 1);
    assert.deepEqual(await commands.delete('p', { purge: false }), { done: true, kept: ['state'], deleted: [] });
    assert.equal(engine.running.length, 0);
    assert.deepEqual(clearing.cleared, [{ pipeline: 'p', purge: false, summary: fakeSummary('p', 'a') }]);
    assert.deepEqual(await commands.list(), []);
    await assert.rejects(commands.get('p'), refused('NOT_FOUND', /nothing is deployed yet/));
    await assert.rejects(
      commands.deploy(fakeBundle('p', { shape: 'b' }), { dryRun: false }),
      refused('PLAN_INCOMPATIBLE', /shape/),
    );
    const again = await commands.deploy(fakeBundle('p'), { dryRun: false });
    assert.deepEqual(again, { name: 'p', revision: 3, outcome: 'resumed', paused: false, notices: [] });
    await until('it runs again', () => engine.running.length === 1);
  });

  test('with purge nothing binds the next deploy, also when the purge comes later', async () => {
    const { worker, commands, clearing } = cluster.worker('a');
    await worker.start();
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await commands.delete('p', { purge: false });
    const answer = await commands.delete('p', { purge: true });
    assert.deepEqual(answer, { done: true, kept: [], deleted: ['stream MR_p_journal'] });
    await assert.rejects(commands.delete('p', { purge: true }), refused('NOT_FOUND', /no pipeline is named p/));
    const fresh = await commands.deploy(fakeBundle('p', { shape: 'b' }), { dryRun: false });
    assert.equal(fresh.outcome, 'created');
    assert.equal(clearing.cleared.length, 2);
  });

  test('is desired only, while no worker is active, and done when one is', async () => {
    const { worker, commands, engine } = cluster.worker('a');
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    assert.equal((await commands.delete('p', { purge: true })).done, false);
    await assert.rejects(commands.deploy(fakeBundle('p'), { dryRun: false }), refused('CONFLICT', /being deleted/));
    await worker.start();
    await until('it is gone', async () => (await commands.list()).length === 0);
    assert.equal(engine.started.length, 0);
  });

  test('needs no code of the pipeline: what is cleared is told from the spec', async () => {
    const { worker, commands, clearing, judge } = cluster.worker('a');
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    judge.planError = new MillraceError('PLAN_INVALID', 'p.ts:1:1: no');
    await worker.start();
    assert.equal((await commands.delete('p', { purge: true })).done, true);
    assert.deepEqual(clearing.cleared, [{ pipeline: 'p', purge: true, summary: fakeSummary('p', 'a') }]);
  });

  test('a clear that fails for the moment is tried again', async () => {
    const { worker, commands, clearing } = cluster.worker('a');
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await worker.start();
    clearing.errors.push(new MillraceError('BROKER_UNAVAILABLE', 'no answer'));
    await commands.delete('p', { purge: true });
    await until('it is gone', async () => (await commands.list()).length === 0);
    assert.equal(clearing.cleared.length, 1);
  });
});

describe('get', () => {
  test('a name that is not there is answered with those that are', async () => {
    const { commands } = cluster.worker('a');
    await commands.deploy(fakeBundle('orders'), { dryRun: false });
    await assert.rejects(commands.get('order'), refused('NOT_FOUND', /no pipeline is named order; there are: orders/));
    await assert.rejects(commands.get('not a name!'), refused('NOT_FOUND', /there are: orders/));
  });

  test('says when nobody leads', async () => {
    const { commands } = cluster.worker('a');
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    const view = await commands.get('p');
    assert.deepEqual(view.workers, []);
    assert.match(view.status.reason!, /no worker leads/);
  });

  test('answers from memory, and says what it waits for, while the broker is away', async () => {
    const { worker, registry, judge, commands } = cluster.worker('a');
    await worker.start();
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await commands.deploy(fakeBundle('gone'), { dryRun: false });
    await commands.delete('gone', { purge: true });
    await until('p runs', async () => (await commands.get('p')).status.state === 'running');
    const away = { ...registry, get: unanswered, keys: unanswered } as unknown as Registry;
    const { blobs, clock, log } = cluster;
    const cut = new Commands({ registry: away, blobs, log, judge, clock, worker, connected: () => false });
    const view = await cut.get('p');
    assert.equal(view.status.state, 'waiting');
    assert.match(view.status.reason!, /no connection to NATS; it goes on by itself/);
    assert.deepEqual(
      (await cut.list()).map(({ spec }) => spec.name),
      ['p'],
    );
    await assert.rejects(cut.get('gone'), refused('NOT_FOUND', /there are: p/));
  });
});

function unanswered(): Promise<never> {
  throw new Error('nobody should ask the registry now');
}
