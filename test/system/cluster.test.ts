/**
 * Three servers, three replicas of all that Millrace makes: the leader of the journals is killed under load, comes back, and
 * the next one is killed. And a clock that jumps: no row depends on what time a worker's machine believes it is.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { systemClock } from '../../lib/base/clock.ts';
import { connectNats, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import type { Event } from '../../lib/observe/events.ts';
import { Closing } from '../rig/closing.ts';
import { freePort, WorkerProcess } from '../rig/worker-process.ts';
import { startEngine } from './engine.ts';
import { Rounds } from './rounds.ts';
import { eventually, Output, running, Scene } from './scene.ts';

const PIPELINE = `import { pipeline } from 'millrace';
export default pipeline('trio', ({ from }) => {
  from<{ id: string }>('trio.in').keyBy('id').dedupe({ id: r => r.id, within: '1h' }).to('trio.out.{partition}');
}, { partitions: 2 });
`;

test('a cluster whose leaders are killed under load loses nothing and doubles nothing, and keeps all streams in three places', async () => {
  const closing = new Closing();
  try {
    const routes = await Promise.all([freePort(), freePort(), freePort()]);
    const peers = routes.map(port => `nats-route://127.0.0.1:${port}`).join(', ');
    const servers: NatsServer[] = await Promise.all(
      routes.map((port, i) =>
        startServer({
          config: {
            blocks: [
              `server_name: n${i}`,
              `cluster { name: trio, listen: "127.0.0.1:${port}", routes: [ ${peers} ], pool_size: -1 }`,
            ],
          },
        }),
      ),
    );
    for (const server of servers) closing.add(() => server.stop());
    const urls = servers.map(({ url }) => url);
    const connection: NatsConnection = await connect({
      servers: urls,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
    });
    closing.add(() => connection.close());
    const link: NatsLink = await connectNats({ servers: urls });
    closing.add(() => link.close());
    const log = new NatsLog(link, { replicas: 3 });
    await eventually('the cluster has a leader', async () => {
      return log.ensureStream({ name: 'trio', subjects: ['trio.in'] }).then(
        () => true,
        () => false,
      );
    });
    const scene = await Scene.open();
    closing.add(() => scene.close());
    const worker = new WorkerProcess({
      natsUrl: urls.join(','),
      dataDir: `${scene.folder}/trio`,
      flags: ['--replicas', '3'],
    });
    closing.add(() => worker.kill());
    await worker.start();
    const client = scene.client(worker);
    await scene.deploy(client, { text: PIPELINE });
    await running(client, 'trio');
    const manager = await connection.jetstreamManager();
    const journal = (await log.streamsOf('_mr.trio.j.>'))[0]!;
    const channels = (await log.streamsOf('_mr.trio.x.*.by-id.>'))[0]!;
    for (const stream of ['KV_millrace', 'MRB_millrace', journal, channels, 'trio_out']) {
      assert.equal((await manager.streams.info(stream)).config.num_replicas, 3, stream);
    }
    let sent = 0;
    const send = (rows: number) => {
      const ids = Array.from({ length: rows }, () => sent++);
      return log.appendAll(
        ids.map(id => ({
          subject: 'trio.in',
          data: Buffer.from(JSON.stringify({ id: `${id}` })),
          headers: { 'Nats-Msg-Id': `${id}` },
        })),
      );
    };
    for (let round = 0; round < 2; round++) {
      await send(200);
      let leader: NatsServer | undefined;
      await eventually('the journals have a leader', async () => {
        // While one is elected there is no answer, or one without a leader.
        const info = await manager.streams.info(journal).catch(() => null);
        leader = servers[Number(info?.cluster?.leader?.slice(1) ?? servers.length)];
        return leader !== undefined;
      });
      assert.ok(leader !== undefined);
      await leader.kill();
      await send(200);
      await leader.restart();
    }
    const output = new Output(log, 'trio_out', 'trio.out.*');
    const rows = () => output.rows().catch(() => []);
    await eventually(
      'all rows are there',
      async () => (await rows()).length >= sent,
      async () => `${(await rows()).length} of ${sent}: ${worker.said()}`,
    );
    const ids = (await rows()).map(row => Number((JSON.parse(row) as { id: string }).id));
    assert.deepEqual(
      ids.sort((a, b) => a - b),
      Array.from({ length: sent }, (_, id) => id),
    );
  } finally {
    await closing.run();
  }
});

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

test('a clock that jumps a day ahead and a month back changes no row', async () => {
  const events: Event[] = [];
  let offsetMs = 0;
  const rounds = await Rounds.open(scene, 11);
  const engine = await startEngine({
    natsUrl: scene.server.url,
    dataDir: `${scene.folder}/clock`,
    limits: { checkpointBytes: 12_000, batchRecordsMax: 64 },
    clock: { ...systemClock, now: () => systemClock.now() + offsetMs },
    emit: event => events.push(event),
  });
  scene.closing.add(() => engine.stop());
  for (const days of [0, 1, -30, 0]) {
    offsetMs = days * 24 * 3_600_000;
    await rounds.publish({ orders: 100, lengthMs: 200 });
  }
  await rounds.judge();
  assert.ok(!events.some(event => event.level === 'error'));
});
