/**
 * An application that may write to the registry's bucket, on a real broker: where workers have deploy keys it cannot have
 * code of its own run, nor an older revision of ours, and what runs goes on.
 */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { beginCommand } from '../rig/command.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

const PLACE = '$KV.millrace.pipelines.orders';

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

test('what runs is what the API was asked for, whatever is written to the bucket', async () => {
  const keys = join(scene.folder, 'deploy-keys.pem');
  const made = beginCommand(['keys', '--out', keys]);
  assert.equal(await made.ended, 0);
  assert.match(made.said.text, /the private key [0-9a-f]{16}/);
  assert.equal((await stat(keys)).mode & 0o777, 0o600);
  const again = beginCommand(['keys', '--out', keys]);
  assert.deepEqual([await again.ended, /cannot be written.*exists/.test(again.said.text)], [2, true]);

  let log = '';
  const worker = scene.worker('signed', ['--deploy-keys', keys], {}, text => {
    log += text;
  });
  await worker.start();
  const client = scene.client(worker);
  const text = (version: number) => `import { pipeline } from 'millrace';
export default pipeline('orders', ({ from }) => {
  from<{ n: number }>('in.orders', { capture: true }).map(({ n }) => ({ n, version: ${version} })).to('out.orders');
});
`;
  await scene.deploy(client, { text: text(1) });
  await running(client, 'orders');
  const bucket = await scene.connection.jetstreamManager().then(manager => manager.streams.get('KV_millrace'));
  const first = await bucket.getMessage({ last_by_subj: PLACE });
  await scene.deploy(client, { text: text(2) });
  await statusOf(client, 'orders', ({ revision, status }) => revision === 2 && status.state === 'running');
  const second = await bucket.getMessage({ last_by_subj: PLACE });

  const signed = Buffer.from(second.data).toString();
  const [, json] = signed.split('\n') as [string, string];
  const forged: readonly (readonly [why: RegExp, value: Uint8Array | string])[] = [
    [/put back over revision 2/, first.data],
    [
      /is not signed/,
      JSON.stringify({
        ...JSON.parse(json),
        revision: 3,
        bundle: JSON.parse(Buffer.from(first.data).toString().split('\n')[1]!).bundle,
      }),
    ],
    [/was altered after it was signed/, signed.replace('"running"', '"deleted"')],
  ];
  const js = scene.connection.jetstream();
  for (const [why, value] of forged) {
    await js.publish(PLACE, value);
    await eventually(`it is told: ${why}`, async () => why.test(log));
    const [view] = await client.list();
    assert.equal(view!.status.state, 'running');
    assert.match(view!.status.reason!, why);
  }
  const out = scene.output((await scene.log.streamsOf('out.orders'))[0]!, 'out.orders');
  await js.publish('in.orders', '{"n":1}');
  await eventually('the row comes', async () => (await out.rows()).length === 1);
  assert.deepEqual(await out.rows(), ['{"n":1,"version":2}']);

  await scene.deploy(client, { text: text(3) });
  await statusOf(client, 'orders', ({ revision, status }) => revision === 3 && status.state === 'running');
});
