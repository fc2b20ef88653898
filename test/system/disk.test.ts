/**
 * The disk of a worker: a folder that cannot be used ends the worker with the reason; a disk that is full, or damaged, under
 * a worker that runs costs the cache and never a row.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Event } from '../../lib/observe/events.ts';
import { beginCommand } from '../rig/command.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { startEngine } from './engine.ts';
import { Rounds } from './rounds.ts';
import { eventually, Scene } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
before(async () => {
  scene = await Scene.open();
  worker = scene.worker();
  await worker.start();
});
after(() => scene.close());

const mount = (folder: string, options: string) =>
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { stdio: 'ignore' });
const unmount = (folder: string) => execFileSync('umount', ['-l', folder], { stdio: 'ignore' });

/** Only root may mount: for anybody else there is no disk that can be filled without harm. */
async function canMount(folder: string): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  try {
    mount(folder, 'size=1m');
  } catch {
    return false;
  }
  unmount(folder);
  return true;
}

async function refused(dataDir: string): Promise<string> {
  const flags = ['worker', '--nats', scene.server.url, '--data', dataDir, '--listen', '127.0.0.1:0'];
  const one = beginCommand(flags, { env: { MILLRACE_METRICS: 'off' } });
  const code = await one.ended;
  assert.equal(code, 1, one.said.text);
  assert.match(one.said.text, /^error: [^\n]+$/m);
  return one.said.text;
}

describe('a data folder ends its worker with the reason', { concurrency: 2 }, () => {
  test('when another worker uses it, whose process is named', async () => {
    const text = await refused(join(scene.folder, 'worker'));
    assert.match(
      text,
      new RegExp(`is used by another process \\(pid ${worker.pid} on .*\\): give each worker a folder`),
    );
  });

  test('when it is a file', async () => {
    await writeFile(join(scene.folder, 'file'), '');
    assert.match(await refused(join(scene.folder, 'file')), /opening the data folder .*: EEXIST.*check free space/);
  });

  test('when its disk is read-only, or full', async () => {
    const folder = join(scene.folder, 'mounted');
    if (!(await canMount(folder))) return;
    mount(folder, 'ro');
    assert.match(await refused(folder), /opening the data folder .*: EROFS.*mount of the data folder/);
    unmount(folder);
    mount(folder, 'size=64k');
    await writeFile(join(folder, 'ballast'), Buffer.alloc(128 << 10)).catch(() => 'as full as it gets');
    assert.match(await refused(folder), /No space left on device|ENOSPC/);
    unmount(folder);
  });
});

describe('a disk under an engine', () => {
  test('that is full is waited for, and with room again every row is right', async () => {
    const folder = join(scene.folder, 'small');
    if (!(await canMount(folder))) return;
    mount(folder, 'size=16m');
    scene.closing.add(() => unmount(folder));
    const events: Event[] = [];
    const rounds = await Rounds.open(scene, 5);
    const engine = await startEngine({
      natsUrl: scene.server.url,
      dataDir: join(folder, 'state'),
      limits: { checkpointBytes: 12_000, batchRecordsMax: 64 },
      emit: event => events.push(event),
    });
    scene.closing.add(() => engine.stop());
    await rounds.publish({ orders: 200, lengthMs: 300 });
    await eventually('it runs', () => engine.pipeline.status().state === 'running');
    await writeFile(join(folder, 'ballast'), Buffer.alloc(16 << 20)).catch(() => 'as full as it gets');
    const full = async () => {
      await rounds.publish({ orders: 200, lengthMs: 200 });
      return events.some(event => event.event === 'task.failed' && event.code === 'STORE_UNAVAILABLE');
    };
    await eventually('a task fails', full);
    const reason = () => engine.pipeline.status().reason ?? '';
    await eventually('it is in the status', () => /check free space/.test(reason()), reason);
    assert.equal(engine.pipeline.status().state, 'waiting');
    await rm(join(folder, 'ballast'));
    await rounds.publish({ orders: 200, lengthMs: 200 });
    await rounds.judge();
    await engine.stop();
  });

  test('with stores that are damaged rebuilds them from the journal, and every row is right', async () => {
    // The same damage, killed processes included, many times over: kill.test.ts. Here the whole folder of every store.
    const folder = join(scene.folder, 'damaged');
    const run = (events: Event[]) =>
      startEngine({
        natsUrl: scene.server.url,
        dataDir: folder,
        limits: { checkpointBytes: 12_000, batchRecordsMax: 64 },
        emit: event => events.push(event),
      });
    const first: Event[] = [];
    const engine = await run(first);
    await eventually('it runs', () => engine.pipeline.status().state === 'running');
    await engine.stop();
    const names = await readdir(folder, { recursive: true });
    for (const name of names.filter(one => /\.db\/(CURRENT|MANIFEST-\d+|\d+\.log|\d+\.ldb)$/.test(one))) {
      await writeFile(join(folder, name), 'damaged');
    }
    const events: Event[] = [];
    const again = await run(events);
    scene.closing.add(() => again.stop());
    await eventually('it runs again', () => again.pipeline.status().state === 'running');
    const restored = events.filter(event => event.event === 'task.restored');
    assert.ok(restored.length > 0 && restored.every(event => event.from !== 'store'), 'no store was trusted');
    await again.stop();
  });
});
