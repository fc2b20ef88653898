/**
 * What nobody of us has written: the broker's acknowledgement of a publish goes to whatever subject its publisher names for
 * answers, and that may be one of the registry's. It is passed over, and written over.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Assignments, type PartAssignment, shareOf } from '../../../lib/cluster/assignments.ts';
import { type MemberSays, readSays, writeSays } from '../../../lib/cluster/says.ts';
import { MemoryRegistry } from '../../../lib/memory/registry.ts';
import { NOTHING, WireWriter } from '../../../lib/nats/wire-writer.ts';
import { FakeCluster, fakeBundle, until } from '../host/fakes.ts';

const ACK = Buffer.from('{"stream":"in","seq":7}');
let cluster: FakeCluster;
let registry: MemoryRegistry;
beforeEach(() => {
  cluster = new FakeCluster();
  registry = new MemoryRegistry(cluster.bucket);
});
afterEach(() => cluster.stop());

async function overwrite(key: string): Promise<void> {
  await until(`${key} is written over`, async () => {
    const entry = await registry.get(key);
    return entry !== null && (await registry.put(key, ACK, { expect: entry.revision })) !== null;
  });
}

describe('an entry that an acknowledgement was written over', () => {
  test('of a worker ends no worker', async () => {
    const { worker } = cluster.worker('a');
    let failed: unknown = null;
    void worker.fatal.then(error => {
      failed = error;
    });
    await worker.start();
    await overwrite('workers.a');
    await worker.stop({ deadlineMs: 100 });
    const next = cluster.worker('a');
    await overwrite('workers.a').catch(() => {});
    await next.worker.start();
    assert.equal(failed, null);
  });

  test('of assignments moves nothing, and is written anew', async () => {
    const { worker, engine, commands } = cluster.worker('a');
    await worker.start();
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => engine.running.length === 1);
    await overwrite('assignments.p');
    const isMended = async () => Buffer.compare((await registry.get('assignments.p'))!.value, ACK) !== 0;
    await until('it is mended', isMended);
    assert.deepEqual([engine.started.length, engine.running.length], [1, 1]);
  });

  test('of a pipeline is mended by a deploy of what it was', async () => {
    const { worker, commands, engine } = cluster.worker('a');
    await worker.start();
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => engine.running.length === 1);
    await overwrite('pipelines.p');
    const { outcome } = await commands.deploy(fakeBundle('p'), { dryRun: false });
    assert.equal(outcome, 'updated');
    assert.equal((await commands.get('p')).spec.revision, 2);
    assert.equal((await commands.deploy(fakeBundle('p'), { dryRun: false })).outcome, 'unchanged');
  });
});

test('what an older document says counts until a damaged one is written anew, at its own revision', async () => {
  let changes = 0;
  const assignments = new Assignments(registry, () => changes++);
  const watch = await assignments.watch();
  const part: PartAssignment = { owner: 'a', followers: ['b'], from: null };
  assert.ok(await assignments.put('p', new Map([['s/0', part]])));
  await overwrite('assignments.p');
  await until('it is heard of', () => !assignments.isStored('p'));
  assert.deepEqual(shareOf(assignments.of('p')!, 'a')?.parts, ['s/0']);
  assert.ok(await assignments.put('p', new Map([['s/0', { ...part, owner: 'b' }]])));
  assert.deepEqual(shareOf(assignments.of('p')!, 'a'), null);
  assert.ok(assignments.isStored('p') && changes >= 3);
  await watch.stop();
});

test('a member’s name is a token of subjects, or nobody has said it', () => {
  const says: MemberSays = {
    ...{ name: 'vm-1', instance: 'i', term: 1, zone: '', capacity: 1, busy: 0, owned: 0, warm: 0 },
    ...{ draining: false, version: '1' },
  };
  assert.equal(readSays(writeSays(says))?.name, 'vm-1');
  for (const name of ['', 'a b', 'a.b', 'a\r\nPUB x 0\r\n\r\n', '*', '>', 'x'.repeat(129)]) {
    assert.equal(readSays(writeSays({ ...says, name })), null, JSON.stringify(name));
  }
});

test('nothing is published on what would be read as more than a subject', () => {
  const writer = new WireWriter();
  const message = { data: NOTHING, lines: '', commonLines: NOTHING };
  for (const subject of ['a b', 'a\r\nPUB b 0', 'a\0', 'a\tb', '']) {
    assert.throws(() => writer.add({ ...message, subject }, ''), { code: 'INVALID_ARGUMENT' }, JSON.stringify(subject));
  }
  writer.add({ ...message, subject: 'in.größe' }, '');
  assert.equal(Buffer.concat(writer.take()).toString(), 'PUB in.größe 0\r\n\r\n');
});
