/** Workers' folders: lost, damaged, copied. A folder is a cache, and costs time at most. */
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../../../lib/base/random.ts';
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const lost: Case = {
  name: 'folder-lost',
  about: 'SIGKILL of the active worker, and its folder is deleted',
  weight: 1,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    await stage.kill(active);
    stage.note(`delete the folder of ${active.name}`);
    await rm(active.folder, { recursive: true, force: true });
    await stage.start(active);
  },
};

const damaged: Case = {
  name: 'folder-damaged',
  about: 'SIGKILL of the active worker, and bits of its state on disk are flipped',
  weight: 1,
  async play(stage, random) {
    const { active } = await stage.roles(random);
    await stage.kill(active);
    stage.note(`flipped bits in ${await flipBits(join(active.folder, 'state'), random)} files of ${active.name}`);
    await stage.start(active);
  },
};

const copied: Case = {
  name: 'folder-copied',
  about:
    'the folder of the active worker is copied over that of the other one, which is then a worker of the same name',
  weight: 1,
  async play(stage, random) {
    const { active, other } = await stage.roles(random);
    const isStopped = random.chance(0.5);
    await stage.kill(other);
    if (isStopped) await stage.kill(active);
    stage.note(`copy the folder of ${active.name} to ${other.name}`);
    await rm(other.folder, { recursive: true, force: true });
    // A copy of files that change meanwhile would be another case.
    if (!isStopped) stage.freeze(active);
    await cp(active.folder, other.folder, { recursive: true });
    if (!isStopped) stage.thaw(active);
    // Whichever of them ends is started again, in vain, until somebody does what it says.
    if (isStopped) void stage.start(active);
    const starting = stage.start(other);
    await pause(random.between(3_000, 6_000));
    await stage.kill(other);
    await starting;
    stage.note(`delete the name in the folder of ${other.name}`);
    await rm(join(other.folder, 'worker-name'));
    await stage.start(other);
  },
};

/** Returns in how many files. */
async function flipBits(folder: string, random: Random): Promise<number> {
  let files = 0;
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const path = join(folder, name);
    if (!name.includes('.db') || random.chance(0.5) || !(await stat(path)).isFile()) continue;
    const bytes = await readFile(path);
    if (bytes.length === 0) continue;
    for (let bits = 1 + random.int(3); bits > 0; bits--) bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    await writeFile(path, bytes);
    files++;
  }
  return files;
}

export default [lost, damaged, copied];
