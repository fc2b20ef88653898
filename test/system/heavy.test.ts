/**
 * More than a commit holds, from what waited while nobody ran: batches end where they are full, in the middle of anything,
 * and the process is killed there. Each row comes out once, nothing is a letter, and the pipeline runs on.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Random } from '../../lib/base/random.ts';
import { Checklist } from '../rig/checklist.ts';
import { Publisher } from '../rig/publisher.ts';
import { EngineProcess } from './engine.ts';
import { ADVANCE_MS, FAN, MANY, type Row, SIZE_MS } from './heavy.ts';
import { eventually, pause, running, Scene } from './scene.ts';

const FILE = fileURLToPath(new URL('heavy.ts', import.meta.url));
const SOURCES = ['many', 'fan', 'left', 'right', 'keys'] as const;
const START_MS = Date.UTC(2026, 0, 1);
const SEED = Number(process.env.SYSTEM_SEED ?? 1);
const KILLS = 4;
/** A hundredth of what users get: each of these outgrows it many times over. */
const LIMITS = { commitBytesMax: 40_000, recordBytesMax: 480_000, checkpointBytes: 500_000, relayBytesMax: 160_000 };

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
  for (const name of SOURCES) await scene.log.ensureStream({ name: `heavy_${name}`, subjects: [`heavy.${name}`] });
});
afterEach(() => scene.close());

async function publish(counts: Readonly<Record<string, number>>, row: (n: number) => Row): Promise<void> {
  const publisher = new Publisher(scene.connection);
  for (const [name, count] of Object.entries(counts)) {
    for (let n = 0; n < count; n++)
      if (publisher.publish(`heavy.${name}`, JSON.stringify(row(n)))) await publisher.room();
  }
  await publisher.finish();
}

/** All that waits falls due. */
async function complete(): Promise<void> {
  const publisher = new Publisher(scene.connection);
  for (const name of SOURCES) publisher.complete(`heavy.${name}`, 'end');
  await publisher.finish();
}

async function judge(wanted: Readonly<Record<string, readonly string[]>>, said: () => string): Promise<void> {
  for (const [name, rows] of Object.entries(wanted)) {
    const output = scene.output(name, `${name}.*`);
    await eventually(
      `all rows of ${name} are there`,
      async () => (await output.rows()).length >= rows.length,
      async () => `${(await output.rows()).length} of ${rows.length}: ${said()}`,
    );
  }
  await pause(500);
  for (const [name, rows] of Object.entries(wanted)) {
    const list = new Checklist(rows);
    for (const row of await scene.output(name, `${name}.*`).rows()) list.tick(row);
    assert.ok(
      list.holds,
      `${name}: ${list.verified} of ${list.expected}, ${list.surplus} too many ${list.surplusFirst}`,
    );
  }
  assert.deepEqual(await scene.output('MR_heavy_letters', 'millrace.>').read(), [], 'nothing is late or dead');
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

test(`what waited is flatMapped, fanned out, joined all with all, and closed in windows all at once, over ${KILLS} kills`, async () => {
  const counts = { many: 2_000, fan: 300, left: 250, right: 250, keys: 1_200 };
  const row = (n: number): Row => ({ n, key: `key-${n}`, at: START_MS });
  const one = (n: number): Row => ({ ...row(n), key: 'one' });
  await publish({ left: counts.left, right: counts.right }, one);
  await publish({ many: counts.many, fan: counts.fan, keys: counts.keys }, row);
  await complete();
  const dataDir = `${scene.folder}/state`;
  const engine = new EngineProcess({ natsUrl: scene.server.url, dataDir, limits: LIMITS, file: FILE });
  scene.closing.add(() => engine.kill());
  const random = new Random(SEED);
  for (let kill = 0; kill < KILLS; kill++) {
    const from = engine.events.length;
    engine.start();
    await engine.until('task.restored', from);
    await pause(random.int(900));
    await engine.kill();
  }
  engine.start();
  const windows = numbers(SIZE_MS / ADVANCE_MS).map(i => START_MS - i * ADVANCE_MS);
  await judge(
    {
      many: numbers(MANY * counts.many).map(n => JSON.stringify({ row: n })),
      fan: numbers(FAN * counts.fan).map(n => JSON.stringify({ row: n })),
      pairs: numbers(counts.left).flatMap(left => numbers(counts.right).map(right => JSON.stringify({ left, right }))),
      windows: numbers(counts.keys).flatMap(n =>
        windows.map(start => JSON.stringify({ key: `key-${n}`, start, end: start + SIZE_MS, rows: 1 })),
      ),
    },
    () => JSON.stringify(engine.events.slice(-5)),
  );
  const troubles = engine.events.filter(({ level, code }) => level === 'error' || code === 'BATCH_OUTGROWN');
  assert.deepEqual(troubles, [], 'what is made is seen as it grows');
});

test('a worker with the limits that users get takes 72 MB of rows from what waited, killed in the middle of them', async () => {
  const worker = scene.worker();
  await worker.start();
  const client = scene.client(worker);
  await scene.deploy(client, { file: FILE });
  await running(client, 'heavy');
  await worker.kill();
  const many = 1_200;
  const pad = 'x'.repeat(1_000);
  await publish({ many }, n => ({ n, key: `key-${n}`, at: START_MS, pad }));
  await worker.start();
  await eventually('some rows are out', async () => ((await scene.log.info('many'))?.lastSeq ?? 0) > 0);
  await worker.kill();
  await worker.start();
  await running(client, 'heavy');
  const wanted = numbers(MANY * many).map(row => JSON.stringify({ row, pad }));
  await judge({ many: wanted }, () => worker.said());
  await running(client, 'heavy');
  assert.doesNotMatch(worker.log, /BATCH_OUTGROWN/, 'what is made is seen as it grows');
});
