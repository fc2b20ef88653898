import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../lib/base/clock.ts';
import { Random } from '../../lib/base/random.ts';
import { LevelStores } from '../../lib/level/stores.ts';
import { MemoryStores } from '../../lib/memory/store.ts';
import { storeContract } from './store.ts';

for (const slowChance of [0, 0.3]) {
  storeContract(slowChance > 0 ? 'memory, slow at times' : 'memory', async () => {
    const random = new Random(7);
    const stores = new MemoryStores({ clock: systemClock, random, faults: { slowChance, slowMsMax: 2 } });
    return {
      stores,
      crash: async () => {
        stores.crash();
        return stores;
      },
      reboot: async () => {
        stores.reboot();
        return stores;
      },
      remove: async () => undefined,
    };
  });
}

storeContract('LevelDB', async () => {
  const folders = [await mkdtemp(join(tmpdir(), 'millrace-store-'))];
  /** A copy of the files under an open store is what the next process would find after a crash. */
  const copied = async (bootId: string) => {
    const root = await mkdtemp(join(tmpdir(), 'millrace-store-'));
    folders.push(root);
    await cp(folders[0]!, root, { recursive: true });
    return new LevelStores({ root, bootId });
  };
  return {
    stores: new LevelStores({ root: folders[0]!, bootId: 'first' }),
    crash: () => copied('first'),
    reboot: () => copied('second'),
    remove: async () => {
      for (const folder of folders) await rm(folder, { recursive: true });
    },
  };
});
