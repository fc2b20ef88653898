/**
 * One data folder copied to a second worker: both processes have one name. One of them stays, the other says why it does
 * not and what to do, and no row is lost or doubled meanwhile.
 *
 *   first    start ─────────────── ends with STORE_IN_USE      start ─ refused        kill     start ─ runs
 *   second          copy ─ start ──────────────────────────────────────────── stop
 */
import assert from 'node:assert/strict';
import { cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { Rounds, STORY } from './rounds.ts';
import { eventually, pause, running, Scene } from './scene.ts';

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

test('of two workers whose folders are copies one goes on and the other ends and says what to do, and every row is right', async () => {
  const rounds = await Rounds.open(scene, 5);
  const first = scene.worker('first');
  await first.start();
  await scene.deploy(scene.client(first), { file: STORY });
  await running(scene.client(first), 'story');
  await rounds.publish({ orders: 60, lengthMs: 200 });

  const ended = endOf(first);
  await cp(join(scene.folder, 'first'), join(scene.folder, 'second'), { recursive: true });
  const second = scene.worker('second');
  await second.start();
  assert.match(await ended, /code 1:/);
  const what =
    /"code":"STORE_IN_USE".*another process at 127\.0\.0\.1:\d+ is there as worker .*delete the file worker-name/;
  assert.match(first.log, what);
  await running(scene.client(second), 'story');
  await rounds.publish({ orders: 60, lengthMs: 200 });

  await assert.rejects(
    first.start(),
    /another process at 127\.0\.0\.1:\d+ is there as worker .*delete the file worker-name/,
  );
  await running(scene.client(second), 'story');
  await second.stop();
  await first.start();
  await running(scene.client(first), 'story');
  await rounds.publish({ orders: 60, lengthMs: 200 });
  await rounds.judge();
  for (const worker of [first, second]) assert.doesNotMatch(worker.log, /task\.fenced.*task\.fenced/s);
});

test('what is said to be done helps: without the file it is a worker of its own', async () => {
  const [one, copy] = [scene.worker('one'), scene.worker('copy')];
  await one.start();
  await cp(join(scene.folder, 'one'), join(scene.folder, 'copy'), { recursive: true });
  await rm(join(scene.folder, 'copy', 'worker-name'));
  await copy.start();
  const names = await Promise.all(
    ['one', 'copy'].map(folder => readFile(join(scene.folder, folder, 'worker-name'), 'utf8')),
  );
  assert.notEqual(names[0], names[1]);
  await eventually('both are there', async () => {
    const there = (await scene.client(one).workers()).map(({ name }) => `${name}\n`);
    return names.every(name => there.includes(name));
  });
});

test('a worker that is killed again and again, also before it is up, is never taken for a copy of itself', async () => {
  const worker = scene.worker('killed');
  await worker.start();
  for (const afterMs of [0, 150, 300, 450]) {
    await worker.kill();
    // It may have ended before it answered.
    const starting = Promise.allSettled([worker.start()]);
    await pause(afterMs);
    await worker.kill();
    await starting;
    await worker.start();
  }
  assert.doesNotMatch(worker.log, /STORE_IN_USE|is there as worker/);
});

function endOf(worker: WorkerProcess): Promise<string> {
  return new Promise(resolve => {
    worker.onDeath = reason => {
      worker.onDeath = null;
      resolve(reason);
    };
  });
}
