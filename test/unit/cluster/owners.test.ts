/** Whose output subjects are whose: the judgement, and what deploys and purges make of it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { judgeClaim, type Owned, Owners } from '../../../lib/cluster/owners.ts';
import type { Results } from '../../../lib/cluster/results.ts';
import type { PipelineSpec } from '../../../lib/cluster/specs.ts';
import { FakeCluster, fakeBundle, until } from '../host/fakes.ts';

function results(template: string, more: Partial<Results> = {}): Results {
  const mode = template.endsWith('{partition}') ? 'owned' : 'shared';
  const covers = template.replace(/\{\w+\}/g, '*');
  return { sink: 'out', template, mode, stream: 'OUT', covers, messages: 0, lastSeq: 0, writer: null, ...more };
}

function entry(pipeline: string, template: string, more: Partial<Owned> = {}): Owned {
  const { sink, covers, mode, stream } = results(template);
  return { pipeline, life: `${pipeline}-1`, sink, template, covers, mode, stream, sinceSeq: 0, ...more };
}

/** A spec that is deployed with sinks of these templates. */
function deployed(name: string, templates: readonly string[], more: Partial<PipelineSpec> = {}): PipelineSpec {
  return {
    ...{ name, life: `${name}-1`, purged: [], since: {}, revision: 1, bundle: '', file: '', fingerprint: '', text: '' },
    ...{ desired: 'running', purge: false, remains: null, deployedAtMs: 0 },
    summary: { sinks: templates.map(template => ({ target: { template } })) },
    ...more,
  } as PipelineSpec;
}

const mine = (...list: Results[]) => ({ pipeline: 'p', life: 'p-1', results: list });
const plain = { specs: [] as PipelineSpec[], takeOver: () => false };

describe('a deploy is judged by what others have', () => {
  const rows: [what: string, other: Owned, own: Results, said: RegExp | null][] = [
    [
      'the same owned subjects',
      entry('q', 'out.{partition}'),
      results('out.{partition}'),
      /so does pipeline q \(its sink out, 'out\.\{partition\}'\)/,
    ],
    ['shared subjects over owned ones', entry('q', 'out.{partition}'), results('out.{site}'), /so does pipeline q/],
    ['owned subjects over shared ones', entry('q', 'out.{site}'), results('out.{partition}'), /so does pipeline q/],
    [
      'a template that overlaps in part',
      entry('q', '{a}.b.{c}', { mode: 'shared' }),
      results('out.b.{partition}'),
      /so does/,
    ],
    ['shared subjects over shared ones', entry('q', 'out.{site}'), results('out.{other}'), null],
    ['subjects beside one another', entry('q', 'out.a.{partition}'), results('out.b.{partition}'), null],
    [
      'at-least-once over owned ones',
      entry('q', 'out.{partition}'),
      results('out.{site}', { mode: 'at-least-once' }),
      /so does/,
    ],
  ];
  for (const [what, other, own, said] of rows) {
    test(what, () => {
      const context = { specs: [deployed('q', [other.template])], takeOver: () => false };
      const { refusals } = judgeClaim([other], mine(own), context);
      if (said === null) assert.deepEqual(refusals, []);
      else assert.match(refusals.join('\n'), said);
      const over = judgeClaim([other], mine(own), { ...context, takeOver: () => true });
      assert.deepEqual(over.refusals, refusals, "what is written to now is nobody else's to take");
    });
  }

  test('what another has left is its own until it is purged, or given up on purpose', () => {
    const left = entry('q', 'out.{partition}');
    const cases: [specs: PipelineSpec[], said: RegExp][] = [
      [
        [deployed('q', ['elsewhere.{partition}'])],
        /so did pipeline q .*delete q with --purge first, or deploy with --take-over/,
      ],
      [[deployed('q', ['out.{partition}'], { life: 'q-2', purged: ['q-0'] })], /so did pipeline q/],
      [[], /so would pipeline q .*whose deploy has not come to its end/],
    ];
    for (const [specs, said] of cases) {
      const own = mine(results('out.{partition}', { lastSeq: 77 }));
      const { refusals } = judgeClaim([left], own, { specs, takeOver: () => false });
      assert.match(refusals.join('\n'), said);
      const over = judgeClaim([left], own, { specs, takeOver: () => true });
      assert.deepEqual(over.refusals, []);
      assert.deepEqual(
        over.owned.map(({ pipeline }) => pipeline),
        ['p'],
      );
      assert.deepEqual(over.since, { out: 77 });
    }
    const deleted = deployed('q', ['out.{partition}'], { desired: 'deleted', remains: { kept: [], deleted: [] } });
    const kept = judgeClaim([left], mine(results('out.{partition}')), { specs: [deleted], takeOver: () => true });
    assert.match(kept.refusals.join(), /so does pipeline q/, 'a later deploy of it would go on there');
  });

  test('what is on the subjects up to then is the past, once, and for whichever sink of the same life comes later', () => {
    const first = judgeClaim([], mine(results('out.{partition}', { lastSeq: 100, messages: 3 })), plain);
    assert.deepEqual(first.since, { out: 100 });
    assert.deepEqual(first.notices, ["stream OUT holds 3 messages on 'out.*' already; results come after them"]);
    const again = judgeClaim(first.owned, mine(results('out.{partition}', { lastSeq: 900, messages: 50 })), plain);
    assert.deepEqual([again.since, again.notices, again.owned], [{ out: 100 }, [], first.owned]);
    const without = judgeClaim(first.owned, mine(), plain);
    assert.deepEqual(without.owned, first.owned, 'a sink that was taken out leaves its subjects to its pipeline');
    const renamed = judgeClaim(without.owned, mine(results('out.{partition}', { sink: 'new', lastSeq: 950 })), plain);
    assert.deepEqual(renamed.since, { new: 100 });
    const moved = judgeClaim(first.owned, mine(results('out.{partition}', { stream: 'NEW', lastSeq: 5 })), plain);
    assert.deepEqual(moved.since, { out: 5 });
    const next = judgeClaim([], { ...mine(results('out.{partition}', { lastSeq: 900 })), life: 'p-2' }, plain);
    assert.deepEqual(next.since, { out: 900 });
  });

  test("a last message of a life that nobody knows is a stranger's, unless that life is known to be purged", () => {
    const found = (life: string, pipeline = 'q') =>
      mine(results('out.{partition}', { lastSeq: 9, messages: 1, writer: { pipeline, life } }));
    const specs = [deployed('q', [], { life: 'q-3', purged: ['q-1', 'q-2'] })];
    const refused = (life: string, pipeline?: string) =>
      judgeClaim([], found(life, pipeline), { specs, takeOver: () => false }).refusals.join('\n');
    assert.match(
      refused('q-9'),
      /was written by pipeline q in a life \(q-9\) that this cluster knows nothing of.*--take-over$/,
    );
    assert.match(refused('q-3'), /in a life \(q-3\)/);
    assert.match(refused('x-1', 'x'), /by pipeline x/);
    assert.equal(refused('q-1'), '');
    assert.equal(refused('p-1', 'p'), '', 'it is our own: the registry was lost');
    const over = judgeClaim([], found('q-9'), { specs, takeOver: () => true });
    assert.deepEqual([over.refusals, over.since], [[], { out: 9 }]);
    const shared = results('out.{site}', { writer: { pipeline: 'x', life: 'x-1' }, messages: 1 });
    assert.deepEqual(judgeClaim([], mine(shared), plain).refusals, [], 'a shared subject has many writers');
  });

  test('results of an earlier life of the same pipeline are told to come twice', () => {
    const writer = { pipeline: 'p', life: 'p-0' };
    const specs = [
      deployed('p', [], { life: 'p-0', purge: true, desired: 'deleted', remains: { kept: [], deleted: [] } }),
    ];
    const own = mine(results('hires.{site}', { covers: 'hires.*', messages: 307, writer }));
    assert.deepEqual(judgeClaim([], own, { specs, takeOver: () => false }).notices, [
      "stream OUT holds 307 messages on 'hires.*' already; results come after them. They are of an earlier life of p: whoever reads from the beginning finds again what is computed again",
    ]);
  });
});

describe('deploys and purges', () => {
  let cluster: FakeCluster;
  beforeEach(() => {
    cluster = new FakeCluster();
  });
  afterEach(() => cluster.stop());
  const owned = (code: string) => (error: unknown) => isMillraceError(error) && error.code === code;

  test('enter what is written before the spec is there, keep it over revisions, and give it up with the state', async () => {
    const { worker, commands, judge, registry } = cluster.worker('a');
    const owners = new Owners(registry);
    judge.found = [results('out.{partition}', { lastSeq: 42 })];
    const first = await commands.deploy(fakeBundle('p'), { dryRun: false });
    const { life, since } = (await commands.get('p')).spec;
    assert.deepEqual(since, { out: 42 });
    assert.deepEqual(
      (await owners.read()).map(one => [one.pipeline, one.life]),
      [['p', life]],
    );
    await assert.rejects(commands.deploy(fakeBundle('q'), { dryRun: false }), owned('SUBJECT_OWNED'));
    await assert.rejects(commands.deploy(fakeBundle('q'), { dryRun: true }), owned('SUBJECT_OWNED'));
    assert.match((await commands.plan(fakeBundle('q'))).refusals.join(), /pipeline p/);
    assert.deepEqual(
      (await commands.list()).map(({ spec }) => spec.name),
      ['p'],
    );
    judge.found = [results('out.{partition}', { lastSeq: 90 })];
    const second = await commands.deploy(fakeBundle('p', { salt: '2' }), { dryRun: false });
    assert.deepEqual([first.revision, second.revision], [1, 2]);
    assert.deepEqual((await commands.get('p')).spec.since, { out: 42 });
    await worker.start();
    await commands.delete('p', { purge: false });
    assert.equal((await owners.read()).length, 1, 'its state is there, and a deploy goes on from it');
    await commands.delete('p', { purge: true });
    assert.deepEqual(await owners.read(), []);
    await commands.deploy(fakeBundle('q'), { dryRun: false });
    assert.deepEqual((await commands.get('q')).spec.since, { out: 90 });
  });

  test('start the tasks with what they must not take for their own', async () => {
    const { worker, commands, engine, judge } = cluster.worker('a');
    judge.found = [results('out.{partition}', { lastSeq: 42 }), results('x.{site}', { sink: 'shared', lastSeq: 42 })];
    judge.sinks = ['out', 'shared'];
    await worker.start();
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => engine.started.length === 1);
    assert.deepEqual(engine.orders[0]!.since, { out: 42 });
  });

  test('of many at once one has the subjects, and all others are told who (*one deployment a subject*)', async () => {
    const { commands, judge, registry } = cluster.worker('a');
    judge.found = [results('out.{partition}')];
    const names = 'a b c d e f g h'.split(' ');
    const outcomes = await Promise.allSettled(names.map(name => commands.deploy(fakeBundle(name), { dryRun: false })));
    const won = outcomes.filter(({ status }) => status === 'fulfilled');
    assert.equal(won.length, 1);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') assert.ok(owned('SUBJECT_OWNED')(outcome.reason));
    assert.equal((await new Owners(registry).read()).length, 1);
  });

  test('a purge that goes on late takes nothing from the life that came after', async () => {
    const { commands, judge, registry } = cluster.worker('a');
    judge.found = [results('out.{partition}')];
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    const { life } = (await commands.get('p')).spec;
    const owners = new Owners(registry);
    await owners.giveUp({ pipeline: 'p', life: 'an earlier one' });
    assert.deepEqual(
      (await owners.read()).map(one => one.life),
      [life],
    );
  });

  test('a document that is damaged is no empty one', async () => {
    const { commands, registry } = cluster.worker('a');
    await registry.put('owners', Buffer.from('{"version":'), { expect: 0 });
    await assert.rejects(commands.deploy(fakeBundle('p'), { dryRun: false }), owned('JOURNAL_CORRUPT'));
  });
});

describe('a bundle that was lost', () => {
  test('is put back by a deploy of the same, as a revision that starts anew', async () => {
    const cluster = new FakeCluster();
    const { worker, commands, engine } = cluster.worker('a');
    await commands.deploy(fakeBundle('p'), { dryRun: false });
    const [bundle] = await cluster.blobs.list('_bundles/');
    for (const damage of ['damaged', 'lost'] as const) {
      if (damage === 'damaged') cluster.blobs.corrupt(bundle!);
      else await cluster.blobs.delete(bundle!);
      const before = (await commands.get('p')).spec.revision;
      const dry = await commands.deploy(fakeBundle('p'), { dryRun: true });
      assert.equal(dry.outcome, 'unchanged');
      const { outcome, revision } = await commands.deploy(fakeBundle('p'), { dryRun: false });
      assert.deepEqual([outcome, revision], ['updated', before + 1], damage);
      assert.equal((await commands.deploy(fakeBundle('p'), { dryRun: false })).outcome, 'unchanged');
    }
    await worker.start();
    await until('it runs', () => engine.running.length === 1);
    await cluster.stop();
  });
});
