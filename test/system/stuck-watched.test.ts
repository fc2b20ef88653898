/**
 * User code that never returns while somebody looks on: the screen of `dev`, a `get --watch`, and a client's stream of
 * statuses are connected when its thread is ended. The process goes on, the API answers all the while, and a letter comes.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AdminClient } from '../../lib/control/client.ts';
import { Cli } from '../rig/cli.ts';
import { lettersOf } from '../rig/letters.ts';
import { eventually, Scene } from './scene.ts';

let scene: Scene;
const rig = new Cli();
before(async () => {
  scene = await Scene.open();
});
after(async () => {
  rig.stop();
  await scene.close();
});

test('who is connected while a function never returns sees it, and sees what goes on after it', async () => {
  const pipeline = `import { pipeline } from 'millrace';
export default pipeline('held', ({ from }) => {
  from<{ n: number }>('held.in', { capture: true }).map(thing => {
    while (thing.n === 2);
    return thing;
  }, { name: 'hold' }).to('held.out.{partition}');
});
`;
  writeFileSync(join(rig.folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(rig.folder, 'held.ts'), pipeline);
  const flags = ['--nats', scene.server.url, '--data', join(rig.folder, 'data'), '--listen', '127.0.0.1:0'];
  const env = { MILLRACE_STUCK_SECONDS: '2' };
  const dev = rig.begin(['dev', 'held.ts', ...flags, '--metrics', 'off'], { env });
  await eventually('it runs', async () => /held {2}running/.test(dev.said.out));
  const address = /127\.0\.0\.1:\d+/.exec(dev.said.out.replaceAll(scene.server.url, ''))![0];
  const get = rig.begin(['get', 'pipelines', '--watch', '--interval', '0.2', '--server', address]);
  const client = new AdminClient({ address, timeoutMs: 10_000 });
  scene.closing.add(() => client.close());
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { status } of client.watch('held', { intervalMs: 100 })) {
      seen.push(`${status.state} ${status.reason ?? ''}`);
      if (status.counts.dead === 1 && status.state === 'running') return;
    }
  })();
  await eventually('it is listed', async () => /held/.test(get.said.out));
  for (const n of [1, 2, 3]) scene.connection.publish('held.in', JSON.stringify({ n }));
  await scene.connection.flush();
  await eventually('it is seen', async () =>
    seen.some(text => /^waiting a function of hold .* has not returned/.test(text)),
  );
  assert.equal((await client.info()).worker !== '', true, 'the API answers meanwhile');
  await watching;
  const out = scene.output('held_out', 'held.out.*');
  await eventually('the others are out', async () => (await out.rows()).length === 2);
  assert.deepEqual(await out.rows(), ['{"n":1}', '{"n":3}']);
  const letters = lettersOf(await scene.output('MR_held_letters', 'millrace.held.dead.*').read());
  assert.deepEqual(
    letters.map(({ headers }) => headers?.['Millrace-Error']),
    ['USER_CODE'],
  );
  await eventually('dev shows it', async () => /USER_CODE/.test(dev.said.out));
  assert.equal(get.child.exitCode, null, get.said.err);
  assert.equal(dev.child.exitCode, null, dev.said.err);
  dev.child.kill('SIGINT');
  const { code, signal, err } = await dev.ended;
  assert.deepEqual([code, signal], [0, null], err);
});
