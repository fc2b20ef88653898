/**
 * SIGKILL at any moment: twenty lives of an engine on a real broker and a real disk, each ended without a word, some
 * before they were up, some with the disk lost or damaged in between. Afterwards every row equals the batch answer.
 *
 *   publish   ──────────round──────────┐  ──────────round──────────┐
 *   engine      start ········ SIGKILL     start ·· SIGKILL            …
 *   disk                               kept | deleted | bytes flipped
 *
 * The limits are small, so that snapshots are taken, journals cut and state evicted many times a life.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Random } from '../../lib/base/random.ts';
import { EngineProcess } from './engine.ts';
import { Rounds } from './rounds.ts';
import { pause, Scene } from './scene.ts';

const SEED = Number(process.env.SYSTEM_SEED ?? 1);
const LIVES = 20;
const LIMITS = {
  checkpointBytes: 12_000,
  checkpointSliceEntries: 20,
  stateBytesMax: 40_000,
  batchRecordsMax: 64,
  commitBytesMax: 16_000,
};

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

test(`${LIVES} lives that end by SIGKILL, with disks kept, lost and damaged, lose nothing and double nothing`, async () => {
  const random = new Random(SEED);
  const rounds = await Rounds.open(scene, SEED);
  const dataDir = join(scene.folder, 'state');
  const engine = new EngineProcess({ natsUrl: scene.server.url, dataDir, limits: LIMITS });
  scene.closing.add(() => engine.kill());
  let damaged = 0;
  for (let life = 0; life < LIVES; life++) {
    const from = engine.events.length;
    engine.start();
    const published = rounds.publish({ orders: 60 + random.int(120), lengthMs: 1_500 });
    // Some are long enough for a checkpoint on any machine, and keep their disk.
    const isLong = life % 5 === 4;
    if (isLong) await engine.until('task.checkpointed', from);
    else if (random.chance(0.3)) await pause(random.int(1_200));
    else {
      await engine.until('task.restored', from);
      await pause(random.int(900));
    }
    await engine.kill();
    await published;
    const fate = isLong ? 1 : random.next();
    if (fate < 0.2) await rm(dataDir, { recursive: true, force: true });
    else if (fate < 0.55) damaged += await damage(dataDir, random);
  }
  engine.start();
  await rounds.judge();
  const restored = engine.events.filter(event => event.event === 'task.restored');
  const from = (what: string) => restored.filter(event => event.from === what).length;
  assert.ok(from('store') > 0, 'some lives went on from the disk');
  assert.ok(from('snapshot') > 0, 'some lives went on from a snapshot');
  assert.ok(damaged > 0, 'some bytes were flipped');
});

/** Flips bits in some of the LevelDB files. Returns how many. */
async function damage(folder: string, random: Random): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => [] as string[]);
  let flipped = 0;
  for (const name of names.sort()) {
    const path = join(folder, name);
    if (!name.includes('.db') || !(await stat(path)).isFile() || random.chance(0.5)) continue;
    const bytes = await readFile(path);
    if (bytes.length === 0) continue;
    for (let i = random.int(3); i >= 0; i--) bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    await writeFile(path, bytes);
    flipped++;
  }
  return flipped;
}
