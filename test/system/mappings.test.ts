/**
 * An account whose mappings take what is sent to a subject as sent to another one: rows are not put where nobody looks for
 * them in silence, and when the mapping is gone the pipeline goes on.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { askOrThrow } from '../../lib/nats/api.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

const MAPPED = `mappings {
  "owned.out.>": "owned.away.>"
  "shared.out.>": "shared.away.>"
  "loose.out.>": "loose.away.>"
  "other.out.>": "elsewhere.>"
}`;
const SINKS = { owned: "'owned.out.{partition}'", shared: "'shared.out.{id}'", other: "'other.out.{partition}'" };

const textOf = (name: string, to: string) => `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  from<{ id: string }>('${name}.in').to(${to});
});
`;

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker({ blocks: [MAPPED] }));
});
after(() => scene.close());

test('a mapping stops what is sent there at its first message, and without it all goes on', async () => {
  const sinks = { ...SINKS, loose: "'loose.out.{id}', { mode: 'at-least-once' }" };
  const names = Object.keys(sinks);
  await scene.log.ensureStream({ name: 'ELSEWHERE', subjects: ['elsewhere.>'] });
  for (const [name, to] of Object.entries(sinks)) {
    await scene.log.ensureStream({ name, subjects: [`${name}.in`] });
    const subjects = [`${name}.out.>`, `${name}.away.>`, ...(name === 'shared' ? ['_mr.shared.m.>'] : [])];
    // For as long as its window is, what was kept elsewhere passes for a row that is sent again.
    const more = name === 'loose' ? { duplicate_window: 1_000_000_000 } : {};
    const config = { name: `${name}_OUT`, subjects, storage: 'file', num_replicas: 1, allow_atomic: true, ...more };
    await askOrThrow(scene.link, `STREAM.CREATE.${config.name}`, config);
    await scene.log.append({ stream: name, subject: `${name}.in`, data: Buffer.from('{"id":"1"}') });
    await scene.deploy(client, { text: textOf(name, to) });
  }
  for (const name of ['owned', 'shared', 'loose']) {
    const { status } = await statusOf(client, name, info => info.status.state === 'failed');
    const why = new RegExp(`what is sent to ${name}\\.out\\.\\S+ is kept as ${name}\\.away\\.\\S+ .*mapping`);
    assert.match(status.reason ?? '', why);
  }
  const { status } = await statusOf(client, 'other', info => info.status.state === 'waiting');
  assert.match(status.reason ?? '', /ELSEWHERE.*a mapping of the account/);

  await worker.kill();
  await scene.server.restart({});
  await worker.start();
  const again = scene.client(worker);
  for (const name of ['owned', 'shared', 'loose']) await again.restart(name);
  for (const name of names) {
    await running(again, name);
    await scene.log.append({ stream: name, subject: `${name}.in`, data: Buffer.from('{"id":"2"}') });
    const output = scene.output(`${name}_OUT`, `${name}.out.>`);
    const last = async () => (await output.rows()).at(-1);
    await eventually(
      `rows of ${name} are there`,
      async () => (await last()) === '{"id":"2"}',
      () => worker.said(),
    );
    // A batch has its marker: what was in the one that told of the mapping counts as sent, where it is.
    const wanted = name === 'shared' ? ['{"id":"2"}'] : ['{"id":"1"}', '{"id":"2"}'];
    assert.deepEqual(await output.rows(), wanted, name);
  }
});
