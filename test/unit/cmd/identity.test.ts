/** What a data folder says of its worker: a name that stays, and who has had the folder. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { identify, workerName } from '../../../cmd/identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-identity-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a folder keeps its name, and every process finds all that were there before it', async () => {
  const dataDir = join(folder, 'kept');
  const name = await workerName(dataDir);
  assert.match(name, /^[\w-]+$/);
  const first = await identify(dataDir);
  const second = await identify(dataDir);
  const third = await identify(dataDir);
  assert.equal(await workerName(dataDir), name);
  assert.deepEqual(first.formers, []);
  assert.deepEqual(third.formers, [first.instance, second.instance]);
  assert.notEqual(third.instance, second.instance);
});

test('of a loop of crashes the last sixteen are known', async () => {
  const dataDir = join(folder, 'loop');
  await workerName(dataDir);
  const instances: string[] = [];
  for (let i = 0; i < 20; i++) instances.push((await identify(dataDir)).instance);
  assert.deepEqual((await identify(dataDir)).formers, instances.slice(-16));
});

test('what a crash has left of the file is passed over', async () => {
  const dataDir = join(folder, 'damaged');
  await workerName(dataDir);
  const { instance } = await identify(dataDir);
  writeFileSync(join(dataDir, 'worker-instances'), `\u0000\u0000\n${instance}\nhalf`);
  assert.deepEqual((await identify(dataDir)).formers, [instance]);
});
