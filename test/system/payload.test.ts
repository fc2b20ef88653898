/** A server whose max_payload is lowered under a pipeline: what is on its way is cut anew, and each row arrives once. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker({ maxPayloadBytes: 1 << 20 }));
});
after(() => scene.close());

/** Frames of the reader, frames from stage to stage, and messages of many rows. */
const PIPELINE = `import { pipeline } from 'millrace';
interface Row { id: string; n: number; pad: string }
export default pipeline('lower', ({ from }) => {
  from<Row>('lower.in')
    .keyBy('id').dedupe({ id: row => String(row.n), within: '1h', name: 'first' })
    .keyBy('n', { name: 'second' }).dedupe({ id: row => String(row.n), within: '1h', name: 'again' })
    .to('lower.out.{partition}');
}, { partitions: 2 });
`;

test('frames and rows that wait are cut to what the server takes by now', async () => {
  await scene.log.ensureStream({ name: 'lower', subjects: ['lower.in'] });
  await scene.deploy(client, { text: PIPELINE });
  await running(client, 'lower');
  const pad = 'x'.repeat(2_000);
  let n = 0;
  const send = (count: number) =>
    scene.log.appendAll(
      Array.from({ length: count }, () => {
        const row = { id: `${n % 3}`, n: n++, pad };
        return { stream: 'lower', subject: 'lower.in', data: Buffer.from(JSON.stringify(row)) };
      }),
    );
  await send(6_000);
  await scene.server.restart({ maxPayloadBytes: 16 << 10 });
  await send(500);
  const output = scene.output('lower_out', 'lower.out.*');
  const found = async () => (await output.rows()).map(row => (JSON.parse(row) as { n: number }).n);
  await eventually(
    'all rows are there',
    async () => (await found()).length >= n,
    async () => `${(await found()).length} of ${n}: ${worker.said()}`,
  );
  assert.deepEqual(
    (await found()).sort((a, b) => a - b),
    Array.from({ length: n }, (_, i) => i),
  );
});
