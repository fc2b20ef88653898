/** Two clusters of workers in one account, each with a bucket of its own: neither runs, ends or takes over what is the other's. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, running, Scene } from './scene.ts';

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

function textOf(name: string): string {
  return `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  from<{ id: string }>('in').keyBy('id').dedupe({ id: r => r.id, within: '1h' }).to('out.${name}.{id}');
}, { partitions: 2 });
`;
}

test('both run beside each other, and a name that one of them runs is not the other’s to use', async () => {
  await scene.log.ensureStream({ name: 'in', subjects: ['in'] });
  const workers = ['east', 'west'].map(bucket => scene.worker(bucket, ['--bucket', bucket]));
  for (const worker of workers) await worker.start();
  const [east, west] = workers.map(worker => scene.client(worker)) as [
    ReturnType<Scene['client']>,
    ReturnType<Scene['client']>,
  ];
  await scene.deploy(east, { text: textOf('a') });
  await scene.deploy(west, { text: textOf('b') });
  await running(east, 'a');
  await running(west, 'b');
  for (const id of ['1', '2', '2', '3']) await scene.log.append({ subject: 'in', data: Buffer.from(`{"id":"${id}"}`) });
  const outputs = ['a', 'b'].map(name => scene.output(`out_${name}`, `out.${name}.*`));
  for (const output of outputs) await eventually('each has all', async () => (await output.rows()).length === 3);
  for (const [client, name] of [
    [east, 'a'],
    [west, 'b'],
  ] as const) {
    assert.deepEqual(
      (await client.list()).map(info => info.name),
      [name],
    );
    assert.equal((await client.workers()).length, 1);
  }
  await assert.rejects(
    scene.deploy(west, { text: textOf('a') }),
    /pipeline a is there in this account, and not of the cluster/,
  );
  assert.deepEqual(
    (await west.list()).map(info => info.name),
    ['b'],
  );
  assert.equal((await running(east, 'a')).status.state, 'running');
  await east.delete('a', { purge: true });
  await scene.deploy(west, { text: textOf('a').replace('out.a', 'out.w') });
  await running(west, 'a');
});
