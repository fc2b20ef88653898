/** Pausing, resuming, looking at workers and tasks, and deletes that only say what they would do. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { FakeCluster, fakeBundle, until } from '../host/fakes.ts';

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(() => cluster.stop());

function refused(code: string, text: RegExp) {
  return (error: unknown) => isMillraceError(error) && error.code === code && text.test(error.message);
}

async function deployed() {
  const a = cluster.worker('a', { address: 'host-a:1' });
  await a.worker.start();
  await a.commands.deploy(fakeBundle('p'), { dryRun: false });
  await until('it runs', () => a.engine.running.length === 1);
  return a;
}

describe('pause and resume', () => {
  test('stop and start the pipeline, the status says since when and how to go on, and both may be repeated', async () => {
    const { commands, engine, clearing } = await deployed();
    assert.equal(await commands.pause('p'), 2);
    await until('it has stopped', () => engine.running.length === 0);
    await until('it says so', async () => (await commands.get('p')).status.state === 'paused');
    assert.match((await commands.get('p')).status.reason!, /^since 20\d\d-.*millrace resume p$/);
    assert.equal(await commands.pause('p'), 2);
    assert.equal(await commands.resume('p'), 3);
    await until('it runs', () => engine.running.length === 1);
    assert.equal((await commands.get('p')).status.state, 'running');
    assert.equal(await commands.resume('p'), 3);
    assert.deepEqual(clearing.cleared, []);
  });

  test('a pause outlives workers and takeovers, and needs no worker', async () => {
    const a = await deployed();
    await a.commands.pause('p');
    await until('it has stopped', () => a.engine.running.length === 0);
    await a.worker.stop({ deadlineMs: 500 });
    const b = cluster.worker('b');
    assert.equal((await b.commands.get('p')).status.state, 'paused');
    await b.worker.start();
    await until('b is active', () => b.worker.active);
    assert.equal((await b.commands.get('p')).status.state, 'paused');
    assert.equal(b.engine.started.length, 0);
    await b.commands.resume('p');
    await until('it runs there', () => b.engine.running.length === 1);
  });

  test('a deploy to a paused pipeline changes what will be resumed, and says that it stays paused', async () => {
    const { commands, engine } = await deployed();
    await commands.pause('p');
    await until('it has stopped', () => engine.running.length === 0);
    const same = await commands.deploy(fakeBundle('p'), { dryRun: false });
    assert.deepEqual(same, { name: 'p', revision: 2, outcome: 'unchanged', paused: true, notices: [] });
    const next = await commands.deploy(fakeBundle('p', { salt: '2' }), { dryRun: false });
    assert.deepEqual(next, { name: 'p', revision: 3, outcome: 'updated', paused: true, notices: [] });
    await assert.rejects(
      commands.deploy(fakeBundle('p', { shape: 'b' }), { dryRun: false }),
      refused('PLAN_INCOMPATIBLE', /shape/),
    );
    assert.equal((await commands.get('p')).status.state, 'paused');
    assert.equal(await commands.resume('p'), 4);
    await until('the new one runs', () => engine.running.at(0)?.revision === 4);
  });

  test('a restart of a paused pipeline is refused, a delete is carried out, and then there is nothing to pause', async () => {
    const { commands } = await deployed();
    await commands.pause('p');
    await assert.rejects(commands.restart('p'), refused('INVALID_ARGUMENT', /millrace resume p/));
    assert.equal((await commands.delete('p', { purge: false })).done, true);
    await assert.rejects(commands.pause('p'), refused('NOT_FOUND', /no pipeline is named p/));
    await assert.rejects(commands.resume('q'), refused('NOT_FOUND', /q/));
  });
});

describe('a delete that only says what it would do', () => {
  test('changes nothing, whatever the pipeline does', async () => {
    const { commands, engine, clearing } = await deployed();
    const would = (purge: boolean) => commands.delete('p', { purge, dryRun: true });
    assert.deepEqual(await would(false), { done: false, kept: ['state'], deleted: [] });
    assert.deepEqual(await would(true), { done: false, kept: [], deleted: ['stream MR_p_journal'] });
    assert.equal(engine.running.length, 1);
    assert.deepEqual(clearing.cleared, []);
    assert.equal((await commands.get('p')).spec.revision, 1);
    await commands.delete('p', { purge: false });
    assert.deepEqual((await would(true)).deleted, ['stream MR_p_journal']);
    await assert.rejects(would(false), refused('NOT_FOUND', /p/));
  });
});

describe('workers and tasks', () => {
  test('every worker is seen, with what it runs, and one that stops is gone at once', async () => {
    const a = await deployed();
    const b = cluster.worker('b', { address: 'host-b:1' });
    await b.worker.start();
    const [first, second] = await a.commands.workers();
    assert.deepEqual(
      { ...first, version: '', startedAtMs: 0, seenAtMs: 0 },
      {
        name: 'a',
        address: 'host-a:1',
        version: '',
        active: true,
        startedAtMs: 0,
        seenAtMs: 0,
        pipelines: 1,
        tasks: 1,
        ...{ zone: '', capacity: 1, draining: false, cordoned: false, silent: false, follows: 0 },
      },
    );
    assert.deepEqual([second!.name, second!.active, second!.pipelines], ['b', false, 0]);
    assert.match(second!.version, /^\d+\.\d+/);
    assert.ok(second!.startedAtMs > 0 && second!.seenAtMs >= second!.startedAtMs);
    assert.equal((await b.commands.worker(null)).name, 'b');
    assert.equal((await b.commands.worker('a')).address, 'host-a:1');
    await assert.rejects(b.commands.worker('c'), refused('NOT_FOUND', /there are: a, b/));
    await b.worker.stop({ deadlineMs: 500 });
    assert.deepEqual(
      (await a.commands.workers()).map(({ name }) => name),
      ['a'],
    );
  });

  test('tasks are listed where they run, one is found by its place, and state is read there', async () => {
    const { commands } = await deployed();
    const [task] = await commands.tasks(null);
    assert.deepEqual(
      [task!.pipeline, task!.worker, task!.status.stage, task!.status.partition],
      ['p', 'a', 'join-1', 3],
    );
    assert.deepEqual(await commands.tasks('p'), [task]);
    assert.deepEqual(await commands.task({ pipeline: 'p', stage: 'join-1', partition: 3 }), task);
    await assert.rejects(
      commands.task({ pipeline: 'p', stage: 'join-1', partition: 4 }),
      refused('NOT_FOUND', /its stages are: join-1/),
    );
    await assert.rejects(commands.tasks('q'), refused('NOT_FOUND', /q/));
    assert.equal((await (await commands.state('p')).tables())[0]?.operator, 'join-1');
    const b = cluster.worker('b');
    await assert.rejects(b.commands.state('p'), refused('WORKER_UNAVAILABLE', /nothing of pipeline p runs/));
    await assert.rejects(b.commands.state('q'), refused('NOT_FOUND', /q/));
  });
});
