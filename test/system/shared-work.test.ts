/**
 * Two workers share a pipeline, as somebody sees it who asks either of them with the command: who has what, drain and back,
 * what has happened on both, and a delete that leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../tidy/texts.ts';
import { eventually, running, Scene } from './scene.ts';

const PIPELINE = `import { pipeline } from 'millrace';
export default pipeline('shared', ({ from }) => {
  from<{ id: string }>('shared.in').keyBy('id').dedupe({ id: r => r.id, within: '1h' }).to('shared.out.{partition}');
}, { partitions: 4 });
`;

test('two workers that share a pipeline are seen, drained, followed and told of, whichever is asked', async () => {
  const scene = await Scene.open();
  try {
    await scene.log.ensureStream({ name: 'shared', subjects: ['shared.in'] });
    const [a, b] = [scene.worker('a', ['--standbys', '1']), scene.worker('b', ['--zone', 'rack-2', '--standbys', '1'])];
    await a.start();
    await b.start();
    const [atA, atB] = [scene.client(a), scene.client(b)];
    const nameOfB = (await atB.info()).worker;
    const nameOfA = (await atA.info()).worker;
    await scene.deploy(atB, { text: PIPELINE });
    await running(atB, 'shared');
    await eventually('both have tasks, and each follows the other', async () => {
      const workers = await atB.workers();
      return workers.length === 2 && workers.every(({ tasks, follows }) => tasks > 0 && follows > 0);
    });
    assert.deepEqual((await atB.get('shared')).workers, [nameOfA, nameOfB].sort());
    const cli = async (...args: string[]) => {
      const command = [join(root, 'cmd/millrace.ts'), ...args, '--server', b.address];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', ...command], {
        cwd: root,
      });
      return stdout + stderr;
    };
    assert.match(await cli('get', 'workers'), new RegExp(`${nameOfB} +worker +rack-2 +1 +\\d `));
    assert.match(await cli('get', 'tasks', 'shared'), new RegExp(`${nameOfA} +${nameOfB}`));

    assert.match(await cli('drain', nameOfB), new RegExp(`worker ${nameOfB} has nothing any more`));
    await eventually('all is on a', async () => (await atB.tasks()).every(({ worker }) => worker === nameOfA));
    assert.equal((await atB.tasks()).length, 4);
    assert.match(await cli('describe', 'worker', nameOfB), /Role: +cordoned/);
    assert.match(await cli('uncordon', nameOfB), /in service again/);
    await eventually('b has its share again', async () => (await atB.worker()).tasks > 0);
    assert.match(await cli('rebalance', '--dry-run'), /PIPELINE|nothing would move/);

    const told = new Set<string>();
    for await (const { event, worker } of atB.events({ past: 1_000, pastOnly: true })) told.add(`${worker} ${event}`);
    for (const name of [nameOfA, nameOfB]) assert.ok(told.has(`${name} worker.started`), [...told].join());
    assert.match(await cli('audit'), /DrainWorker.*done/);

    assert.match(await cli('pause', 'shared'), /is paused/);
    assert.deepEqual((await atA.get('shared')).workers, []);
    assert.match(await cli('resume', 'shared'), /runs/);
    assert.equal((await atA.get('shared')).workers.length, 2);
    assert.match(await cli('delete', 'shared', '--purge', '--yes'), /is deleted/);
    assert.deepEqual(await atA.tasks(), []);
  } finally {
    await scene.close();
  }
});
