/** Which code a revision runs, since when, and which ran before it: kept with the spec, and loaded again when it is asked for. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { nextProgram, type PipelineSpec, Specs } from '../../../lib/cluster/specs.ts';
import { isWanted } from '../../../lib/host/sweep.ts';
import { bundleBlob } from '../../../lib/host/worker.ts';
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
      engine.programs.map(({ present }) => present),
      bundles.map(({ hash }, i) => ({ since: i + 1, bundle: hash })),
    );
  });

  test('is the same after a pause, a restart, and a delete that leaves its state', async () => {
    const { spec, commands, engine } = await ran(one, two);
    await commands.restart('p');
    await commands.pause('p');
    await commands.resume('p');
    await until('it runs', () => engine.programs.length >= 3 && engine.running.length === 1);
    await commands.delete('p', { purge: false });
    const { revision } = await commands.deploy(two, { dryRun: false });
    const { program, former } = await spec();
    assert.ok(revision > 5);
    assert.deepEqual([program, former], [2, [one.hash]]);
    await until('it runs again', () => engine.running.length === 1);
    assert.deepEqual(engine.programs.at(-1)!.present, { since: 2, bundle: two.hash });
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

describe('former code', () => {
  test('is kept by the sweep, and loaded again when it is asked for', async () => {
    const { spec, engine } = await ran(one, two);
    assert.ok(isWanted([await spec()], bundleBlob(one.hash)));
    assert.ok(!isWanted([await spec()], bundleBlob(three.hash)));
    const plan = await engine.programs.at(-1)!.planOf({ since: 1, bundle: one.hash });
    assert.equal(plan.pipeline, 'p');
  });

  test('that is gone, not known or does not load any more says what to do: PROGRAM_MISSING', async () => {
    const { engine } = await ran(one, two);
    const { planOf } = engine.programs.at(-1)!;
    const isMissing = (why: RegExp) => (error: unknown) =>
      isMillraceError(error, 'PROGRAM_MISSING') &&
      error.fate === 'stop' &&
      why.test(error.message) &&
      /code of revision 1 .*Deploy that code again, and then this; or delete the pipeline with --purge/.test(
        error.message,
      );
    await assert.rejects(planOf({ since: 1, bundle: '' }), isMissing(/not known/));
    await cluster.blobs.delete(bundleBlob(one.hash));
    await assert.rejects(planOf({ since: 1, bundle: one.hash }), isMissing(/is gone from the cluster's blobs/));
    engine.planError = new MillraceError('PLAN_INVALID', 'no such name');
    await assert.rejects(planOf({ since: 2, bundle: two.hash }), (error: unknown) =>
      isMillraceError(error, 'PROGRAM_MISSING'),
    );
    engine.planError = new MillraceError('BROKER_UNAVAILABLE', 'no answer');
    await assert.rejects(planOf({ since: 2, bundle: two.hash }), error => isMillraceError(error, 'BROKER_UNAVAILABLE'));
  });
});
