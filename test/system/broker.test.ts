/**
 * The broker goes away, and streams change under a worker. What passes is waited out and said in the status; what would
 * lose or double rows stops the pipeline, with the reason where a user looks for it.
 */
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { Rounds, STORY } from './rounds.ts';
import { eventually, pause, running, Scene, statusOf } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker());
});
after(() => scene.close());

describe('a broker', () => {
  let rounds: Rounds;
  before(async () => {
    rounds = await Rounds.open(scene, 7);
    await scene.deploy(client, { file: STORY });
    await running(client, 'story');
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`that ends with ${signal} under load and comes back is waited for, and every row is right`, async () => {
      for (let outage = 0; outage < 2; outage++) {
        await rounds.publish({ orders: 1_000, lengthMs: 200 });
        process.kill(scene.server.pid, signal);
        const { status } = await statusOf(client, 'story', info => info.status.state !== 'running');
        assert.equal(status.state, 'waiting');
        assert.match(status.reason ?? '', /no connection to NATS/);
        assert.equal((await client.list()).length, 1, 'the list too is answered meanwhile');
        await pause(outage * 2_500);
        await scene.server.restart();
        await running(client, 'story');
      }
      await rounds.publish({ orders: 200, lengthMs: 300 });
      await rounds.judge();
    });
  }
});

describe('a stream', () => {
  /** Two pipelines on one source: one reads it through a reader, the other's only task reads it itself. */
  async function deployBoth(name: string): Promise<void> {
    await scene.log.ensureStream({ name, subjects: [`${name}.in`] });
    await fill(name, 0, 50);
    const pipelines = [
      `from<{ id: string }>('${name}.in').keyBy('id').dedupe({ id: r => r.id, within: '1h' }).to('${name}.routed.{partition}');`,
      `from<{ id: string }>('${name}.in').to('${name}.direct.{partition}');`,
    ];
    for (const [i, body] of pipelines.entries()) {
      const text = `import { pipeline } from 'millrace';\nexport default pipeline('${name}-${i}', ({ from }) => {\n${body}\n}, { partitions: 2 });\n`;
      await scene.deploy(client, { text });
      await running(client, `${name}-${i}`);
    }
    await eventually('all rows are there', async () => (await rowsOf(name)).every(rows => rows.length === 50));
  }

  async function fill(name: string, from: number, to: number): Promise<void> {
    const messages = Array.from({ length: to - from }, (_, i) => ({
      subject: `${name}.in`,
      data: Buffer.from(JSON.stringify({ id: `${from + i}` })),
    }));
    await scene.log.appendAll(messages);
  }

  async function rowsOf(name: string): Promise<string[][]> {
    const stream = await scene.streamOf(`${name}.routed.0`);
    const other = await scene.streamOf(`${name}.direct.0`);
    return [
      await scene.output(stream ?? '', `${name}.routed.*`).rows(),
      await scene.output(other ?? '', `${name}.direct.*`).rows(),
    ];
  }

  /** Both pipelines have stopped, and say why. */
  async function stopped(name: string, reason: RegExp): Promise<void> {
    for (const i of [0, 1]) {
      const { status } = await statusOf(client, `${name}-${i}`, info => info.status.state === 'failed');
      assert.match(status.reason ?? '', reason);
      assert.match(status.reason ?? '', /mend the cause, then restart or deploy it again/);
    }
  }

  test('with input that is deleted under a pipeline stops it', async () => {
    await deployBoth('gone');
    await scene.log.deleteStream('gone');
    await stopped('gone', /^STREAM_MISSING: .*gone/);
  });

  test('with input that is deleted and made anew under a pipeline stops it', async () => {
    await deployBoth('anew');
    await scene.log.deleteStream('anew');
    await scene.log.ensureStream({ name: 'anew', subjects: ['anew.in'] });
    await fill('anew', 100, 300);
    await stopped('anew', /^STREAM_(CHANGED|MISSING): .*anew/);
    assert.deepEqual(
      (await rowsOf('anew')).map(rows => rows.length),
      [50, 50],
    );
  });

  test('with input that is purged past what was read stops the pipeline, and one that was read to its end does not', async () => {
    await deployBoth('purged');
    const manager = await scene.connection.jetstreamManager();
    await manager.streams.purge('purged');
    await fill('purged', 50, 60);
    await eventually('the rows after the purge are there', async () =>
      (await rowsOf('purged')).every(rows => rows.length === 60),
    );
    await worker.kill();
    await fill('purged', 60, 70);
    await manager.streams.purge('purged');
    await fill('purged', 70, 80);
    await worker.start();
    await stopped('purged', /^STREAM_CHANGED: stream purged now starts at sequence/);
  });

  test('with results that is deleted under a pipeline stops it', async () => {
    await deployBoth('out');
    for (const kind of ['routed', 'direct']) {
      const stream = await scene.streamOf(`out.${kind}.0`);
      assert.ok(stream !== null);
      await scene.log.deleteStream(stream);
    }
    await fill('out', 50, 60);
    await stopped('out', /^STREAM_MISSING: stream out_(routed|direct) does not keep the subject out\./);
  });

  test('with input that is made anew while no worker runs stops the pipeline, however much is in it', async () => {
    await deployBoth('reborn');
    await worker.kill();
    await scene.log.deleteStream('reborn');
    await scene.log.ensureStream({ name: 'reborn', subjects: ['reborn.in'] });
    await fill('reborn', 100, 300);
    await worker.start();
    await stopped('reborn', /^STREAM_CHANGED: .*reborn.* /);
  });

  test('with input that is put back to an older copy while no worker runs stops the pipeline, also when it has grown again', async () => {
    await deployBoth('older');
    const kept = join(scene.server.dataDir, 'jetstream', '$G', 'streams', 'older');
    const copy = join(scene.folder, 'older');
    await cp(kept, copy, { recursive: true });
    await fill('older', 50, 100);
    await eventually('the rows after the copy are there', async () =>
      (await rowsOf('older')).every(rows => rows.length === 100),
    );
    await worker.stop();
    await scene.server.kill();
    await rm(kept, { recursive: true });
    await cp(copy, kept, { recursive: true });
    await scene.server.restart();
    await fill('older', 200, 300);
    await worker.start();
    await stopped('older', /^STREAM_CHANGED: .* up to 100, but another message is at 100/);
  });
});
