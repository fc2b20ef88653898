/** Which code a revision runs, since when, and which ran before it: kept with the spec, and told to the engine. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { bundleBlob } from '../../../lib/bundle/stored.ts';
import { nextProgram, type PipelineSpec, Specs } from '../../../lib/cluster/specs.ts';
import { isWanted } from '../../../lib/host/sweep.ts';
import { FakeCluster, fakeBundle, until } from './fakes.ts';

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(() => cluster.stop());

const bundles = ['one', 'two', 'three'].map(salt => fakeBundle('p', { salt }));
const [one, two, three] = bundles as [(typeof bundles)[0], (typeof bundles)[0], (typeof bundles)[0]];

async function ran(...deploys: readonly (typeof one)[]) {
  const a = cluster.worker('a');
  await a.worker.start();
  for (const [i, bundle] of deploys.entries()) {
    await a.commands.deploy(bundle, { dryRun: false });
    await until('it runs', () => a.engine.running.some(({ revision }) => revision === i + 1));
  }
  const spec = async () => (await new Specs(a.registry).get('p'))!.spec;
  return { ...a, spec };
}

describe('a program', () => {
  test('is known by the revision since which its code has run, and so are those before it, the latest first', async () => {
    const { spec, engine } = await ran(one, two, three);
    const { program, former } = await spec();
    assert.deepEqual([program, former], [3, [two.hash, one.hash]]);
    assert.deepEqual(
      engine.orders.map(({ program, bundle }) => ({ program, bundle })),
      bundles.map(({ hash }, i) => ({ program: i + 1, bundle: hash })),
    );
  });

  test('is the same after a pause, a restart, and a delete that leaves its state', async () => {
    const { spec, commands, engine } = await ran(one, two);
    await commands.restart('p');
    await commands.pause('p');
    await commands.resume('p');
    await until('it runs', () => engine.orders.length >= 3 && engine.running.length === 1);
    await commands.delete('p', { purge: false });
    const { revision } = await commands.deploy(two, { dryRun: false });
    const { program, former } = await spec();
    assert.ok(revision > 5);
    assert.deepEqual([program, former], [2, [one.hash]]);
    await until('it runs again', () => engine.running.length === 1);
    const last = engine.orders.at(-1)!;
    assert.deepEqual([last.program, last.bundle], [2, two.hash]);
  });

  test('that comes back is another one, as what ran in between began later', async () => {
    const { spec } = await ran(one, two, one);
    const { program, former } = await spec();
    assert.deepEqual([program, former], [3, [two.hash]]);
  });

  test('has none before it after a purge', async () => {
    const { spec, commands } = await ran(one, two);
    await commands.delete('p', { purge: true });
    await commands.deploy(three, { dryRun: false });
    const { program, former, revision } = await spec();
    assert.deepEqual([program, former], [revision, []]);
  });

  test('has eight before it that are kept, each once', () => {
    let spec: PipelineSpec | null = null;
    for (let revision = 1; revision <= 12; revision++) {
      const about = { life: 'l', revision, bundle: `b${revision}` };
      spec = { ...about, ...nextProgram(spec, about) } as PipelineSpec;
    }
    assert.deepEqual(spec!.former, ['b11', 'b10', 'b9', 'b8', 'b7', 'b6', 'b5', 'b4']);
  });
});

test('what ran before is kept by the sweep, and nothing else', async () => {
  const { spec } = await ran(one, two);
  assert.ok(isWanted([await spec()], bundleBlob(one.hash)));
  assert.ok(!isWanted([await spec()], bundleBlob(three.hash)));
});
