/**
 * Several workers on a real broker, under load all the while: one is told to stop, another comes, the one that leads is killed,
 * and one is frozen. Every row is there once, and any of them answers for all.
 *
 *   worker a   leads ──────────────────────── SIGKILL · starts again ──────────── part of it
 *   worker b   ──────────────────────────────────────── SIGSTOP 5 s · SIGCONT: fenced, joins again ─ part of it
 *   worker c   ── SIGTERM: hands over ·
 *   worker d                           starts ─ part of it ──────────────────────
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { DecodedKey } from '../../lib/record/key.ts';
import type { TaskView, WorkerView } from '../../lib/service/views.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { Rounds, STORY } from './rounds.ts';
import { eventually, pause, running, Scene } from './scene.ts';

const FROZEN_MS = 5_000;

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

interface One {
  readonly worker: WorkerProcess;
  readonly client: AdminClient;
  /** As the cluster knows it. */
  readonly name: string;
  /** All that it has written. */
  said: string;
}

async function begin(folder: string): Promise<One> {
  const heard = { said: '' };
  const worker = scene.worker(folder, ['--log-format', 'json'], {}, text => {
    heard.said += text;
  });
  await worker.start();
  const client = scene.client(worker);
  const { name } = await client.worker();
  return Object.assign(heard, { worker, client, name });
}

/** Waits until each of these, and nobody else, has tasks and readers, and all of it runs. */
async function spreadOver(workers: readonly One[]): Promise<void> {
  const names = workers.map(({ name }) => name).sort();
  let seen: readonly TaskView[] = [];
  const { client } = workers[0]!;
  await eventually(
    `${names.join(', ')} have tasks`,
    async () => {
      seen = await client.tasks({ pipeline: 'story' }).catch(() => []);
      const owners = [...new Set(seen.map(({ worker }) => worker))].sort();
      return owners.join() === names.join();
    },
    () =>
      [
        JSON.stringify(seen.map(({ worker, status }) => [status.stage, status.partition, worker])),
        ...workers.map(({ said }) => said),
      ].join('\n'),
  );
  await running(client, 'story');
  const tasks = (await client.tasks({ pipeline: 'story' })).map(({ status }) => `${status.stage}/${status.partition}`);
  assert.equal(new Set(tasks).size, tasks.length, `each task is there once: ${tasks.join(' ')}`);
}

async function leaderOf(workers: readonly One[]): Promise<One> {
  let views: readonly WorkerView[] = [];
  await eventually('somebody leads', async () => {
    views = await workers[0]!.client.workers().catch(() => []);
    return views.some(({ active }) => active);
  });
  return workers.find(({ name }) => views.some(view => view.active && view.name === name))!;
}

test('three workers and a fourth, of which one is stopped, one killed and one frozen, give every row once, and each answers for all', async () => {
  const rounds = await Rounds.open(scene, 23);
  const [first, second, third] = await Promise.all(['a', 'b', 'c'].map(begin));
  const three = [first!, second!, third!];
  await scene.deploy(three[0]!.client, { file: STORY });
  await spreadOver(three);
  let isOver = false;
  const load = (async () => {
    while (!isOver) await rounds.publish({ orders: 120, lengthMs: 4_000 });
  })();

  const killed = await leaderOf(three);
  const [frozen, stopped] = three.filter(one => one !== killed) as [One, One];
  await stopped.worker.stop();
  assert.match(killed.said, new RegExp(`"event":"part.moved".*"from":"${stopped.name}".*"why":"draining"`));
  const fourth = await begin('d');
  await spreadOver([frozen, killed, fourth]);

  await killed.worker.kill();
  await spreadOver([frozen, fourth]);
  await killed.worker.start();

  process.kill(frozen.worker.pid, 'SIGSTOP');
  const sinceMs = performance.now();
  await eventually('what it had is elsewhere', async () => {
    const tasks = await fourth.client.tasks({ pipeline: 'story' }).catch(() => []);
    return tasks.length > 0 && tasks.every(({ worker }) => worker !== frozen.name);
  });
  await pause(FROZEN_MS - (performance.now() - sinceMs));
  process.kill(frozen.worker.pid, 'SIGCONT');
  await eventually(
    'the one that was frozen is fenced, and says so',
    () => /"event":"(task|reader)\.fenced"/.test(frozen.said),
    () => frozen.worker.said(),
  );
  const there = [killed, frozen, fourth];
  await spreadOver(there);

  isOver = true;
  await load;
  const { rows } = await rounds.judge();
  assert.ok(rows > 1_000, `${rows} rows prove little`);
  await answersAlike(there);
});

/** The state of some keys, read through each worker: whoever has it. */
async function answersAlike(workers: readonly One[]): Promise<void> {
  const { client } = workers[0]!;
  const [table] = (await client.tables('story')).filter(({ entries }) => entries > 0);
  assert.ok(table !== undefined, 'something is remembered');
  const { operator } = table;
  const { items } = await client.scan('story', { operator, table: table.table, pageSize: 200 });
  const partitions = new Map(items.map(entry => [entry.partition, entry]));
  for (const { key } of partitions.values()) {
    const answers = await Promise.all(
      workers.map(one => one.client.entries({ pipeline: 'story', operator, key: key as DecodedKey })),
    );
    assert.ok(answers[0]!.length > 0, `something is remembered of ${JSON.stringify(key)}`);
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
  }
}
