/**
 * Deploys under load that change `keyBy`, `filter` and what a record becomes, each while the active worker lies dead by
 * SIGKILL, so that the standby finds channels at different places, made by code that is not what it is to run. Some of those
 * that take over are killed, too, before they have got far. Each record comes out once, as one version has it.
 *
 *   publish   ───────────────────────────────────────────────────────────────────
 *   worker a  v0 ─ SIGKILL  standby ············· finishes v1, then v2 ─ SIGKILL …
 *   worker b  standby · deploy v1 · finishes v0, then v1 ─ SIGKILL  standby · deploy …
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Random } from '../../lib/base/random.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, pause, running, Scene } from './scene.ts';

const DEPLOYS = 6;
const SEED = Number(process.env.SYSTEM_SEED ?? 1);
/** Records of a message: far fewer than there are channels, so that these hardly ever stand at one position. */
const RECORDS = 3;
const PAUSE_MS = 2;

/** A version sends a record to one of two stages, under one of two keys. */
const textOf = (version: number) => `
import { pipeline, ndjson } from 'millrace';
export default pipeline('p', ({ from }) => {
  const rows = from('in.rows', { name: 'rows', format: ndjson() });
  for (const [side, name] of ['left', 'right'].entries()) {
    rows
      .filter(({ n }) => (n + ${version}) % 2 === side)
      .map(row => ({ ...row, version: ${version} }))
      .keyBy('${version % 2 === 0 ? 'a' : 'b'}', { name })
      .to(name + '.{partition}');
  }
}, { partitions: 8 });
`;

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

interface Seat {
  readonly worker: WorkerProcess;
  readonly client: AdminClient;
}

interface Row {
  readonly n: number;
  readonly version: number;
}

test('six deploys under load that change the reader’s code, each after a kill, take each record once', async () => {
  const random = new Random(SEED);
  await scene.log.ensureStream({ name: 'IN', subjects: ['in.rows'] });
  let sent = 0;
  let finishing = 0;
  let isOver = false;
  scene.closing.add(() => {
    isOver = true;
  });
  const publishing = (async () => {
    while (!isOver) {
      const rows = Array.from({ length: RECORDS }, () => ({ n: sent, a: `a${sent % 97}`, b: `b${sent++ % 89}` }));
      await scene.log.append({
        subject: 'in.rows',
        data: Buffer.from(rows.map(row => JSON.stringify(row)).join('\n')),
      });
      await pause(PAUSE_MS);
    }
  })();
  const heard = (text: string) => void (finishing += text.split('"reader.finishing"').length - 1);
  // All of it is where it is until that one dies.
  const workers = ['a', 'b'].map(name => scene.worker(name, ['--capacity', '0'], {}, heard));
  const [first, second] = workers as [WorkerProcess, WorkerProcess];
  await first.start();
  const a: Seat = { worker: first, client: scene.client(first) };
  await scene.deploy(a.client, { text: textOf(0) });
  await running(a.client, 'p');
  await second.start();
  const b: Seat = { worker: second, client: scene.client(second) };
  /** The one that runs pipelines, and the other. */
  const seats = async (): Promise<[Seat, Seat]> => {
    let address: string | null = null;
    await eventually('a worker is active', async () => {
      address = (await b.client.info().catch(() => null))?.activeAddress ?? null;
      return address !== null;
    });
    return address === a.worker.address ? [a, b] : [b, a];
  };
  for (let version = 1; version <= DEPLOYS; version++) {
    const [active, standby] = await seats();
    await running(active.client, 'p');
    await pause(random.int(700));
    await active.worker.kill();
    await scene.deploy(standby.client, { text: textOf(version) });
    await eventually(
      'the standby takes over',
      async () => (await standby.client.info()).activeAddress === standby.worker.address,
    );
    await active.worker.start();
    if (version % 3 !== 1) continue;
    await pause(random.int(300));
    await standby.worker.kill();
    await standby.worker.start();
  }
  isOver = true;
  await publishing;
  const [{ client }] = await seats();
  await running(client, 'p');
  const [left, right] = [scene.output('left', 'left.*'), scene.output('right', 'right.*')];
  let rows: { left: Row[]; right: Row[] } = { left: [], right: [] };
  const count = () => rows.left.length + rows.right.length;
  await eventually(
    'all is there',
    async () => {
      rows = {
        left: (await left.rows()).map(row => JSON.parse(row)),
        right: (await right.rows()).map(row => JSON.parse(row)),
      };
      return count() >= sent;
    },
    () => `${count()} of ${sent}; ${workers.map(worker => worker.said()).join('\n')}`,
  );
  await pause(500);
  const times = new Uint8Array(sent);
  for (const [side, part] of [rows.left, rows.right].entries()) {
    for (const { n, version } of part) {
      times[n]!++;
      assert.equal((n + version) % 2, side, `record ${n} is where version ${version} sends it`);
    }
  }
  const lost = [...times].filter(count => count === 0).length;
  const doubled = [...times].filter(count => count > 1).length;
  assert.deepEqual({ lost, doubled }, { lost: 0, doubled: 0 }, `of ${sent}`);
  assert.equal((await client.get('p')).status.state, 'running');
  assert.ok(finishing > 1, `former programs had to be finished ${finishing} times`);
  const versions = new Set([...rows.left, ...rows.right].map(({ version }) => version));
  assert.ok(versions.size > DEPLOYS / 2, `versions ${[...versions]} had a part`);
});
