/** Who may say what runs, where workers have deploy keys: nobody who can only write to the registry. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { makeDeployKey, SpecKeys } from '../../../lib/cluster/spec-keys.ts';
import type { PipelineSpec } from '../../../lib/cluster/specs.ts';
import type { Registry } from '../../../lib/port/registry.ts';
import { FakeCluster, fakeBundle, until } from '../host/fakes.ts';

const KEY = makeDeployKey();
const OTHER = makeDeployKey();
const read = (...pems: string[]) => SpecKeys.read(pems.join('\n'));
const PLACE = 'pipelines.p';

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(() => cluster.stop());

const bytesOf = async (registry: Registry, place = PLACE) => (await registry.get(place))!.value;

/** As somebody who may write to the bucket, and read it, too. */
async function force(registry: Registry, value: Uint8Array | string, place = PLACE): Promise<void> {
  const at = (await registry.get(place))?.revision ?? 0;
  assert.notEqual(await registry.put(place, Buffer.from(value), { expect: at }), null);
}

type Member = ReturnType<FakeCluster['worker']>;

async function running(member: Member, revision: number): Promise<void> {
  await until(`revision ${revision} runs`, () => member.engine.running.some(one => one.revision === revision));
}

async function told(member: Member, why: RegExp): Promise<void> {
  const { events } = member.observer;
  const says = () => events.some(event => event.event === 'spec.unreadable' && why.test(String(event.message)));
  await until(`it is told: ${why}`, says);
}

/** A worker that runs revision 1 of p, as it was deployed. */
async function deployed(keys = read(KEY.pem)): Promise<Member> {
  const member = cluster.worker('a', { keys });
  await member.worker.start();
  await member.commands.deploy(fakeBundle('p'), { dryRun: false });
  await running(member, 1);
  return member;
}

const spec = (value: Uint8Array): PipelineSpec =>
  JSON.parse(
    Buffer.from(value)
      .toString()
      .replace(/^millrace.*\n/, ''),
  ) as PipelineSpec;

describe('a worker with deploy keys', () => {
  test('runs what another one with the same key has signed', async () => {
    const a = await deployed();
    const b = cluster.worker('b', { keys: read(KEY.pem) });
    assert.equal((await b.commands.get('p')).spec.revision, 1);
    assert.equal(await b.commands.pause('p'), 2);
    await until('it is paused', async () => a.engine.running.length === 0);
  });

  const CASES: readonly (readonly [what: string, why: RegExp, forge: (value: Uint8Array) => Buffer | string])[] = [
    ['is not signed', /is not signed/, value => JSON.stringify({ ...spec(value), revision: 2 })],
    [
      'was altered',
      /was altered after it was signed/,
      value => Buffer.from(value).toString().replace('"revision":1', '"revision":2'),
    ],
    [
      'is signed by a stranger',
      /is signed with the key [0-9a-f]{16}, which this worker does not know/,
      value => {
        const text = JSON.stringify({ ...spec(value), revision: 2 });
        return `${read(OTHER.pem).sign(PLACE, text)}\n${text}`;
      },
    ],
    [
      'bears a stranger’s signature under a name that is known',
      /was altered after it was signed/,
      value => {
        const text = JSON.stringify({ ...spec(value), revision: 2 });
        return `${read(OTHER.pem).sign(PLACE, text).replace(OTHER.id, KEY.id)}\n${text}`;
      },
    ],
    [
      'has half a signature',
      /has a signature that cannot be read/,
      value => `millrace-signature ${KEY.id} AAAA\n${value}`,
    ],
    ['is nothing', /is not signed/, () => ''],
  ];
  for (const [what, why, forge] of CASES) {
    test(`neither loads nor drops anything for a spec that ${what}, says so, and is mended by a deploy`, async () => {
      const a = await deployed();
      await force(a.registry, forge(await bytesOf(a.registry)));
      await told(a, why);
      assert.deepEqual(
        a.engine.running.map(one => one.revision),
        [1],
      );
      await assert.rejects(a.commands.get('p'), { code: 'SPEC_UNTRUSTED', message: why });
      await assert.rejects(a.commands.pause('p'), { code: 'SPEC_UNTRUSTED' });
      const [view] = await a.commands.list();
      assert.match(view!.status.reason!, why);
      const answer = await a.commands.deploy(fakeBundle('p', { salt: 'new' }), { dryRun: false });
      assert.equal(answer.revision, 2);
      await running(a, 2);
    });
  }

  test('does not take a spec for another pipeline’s, though it is signed', async () => {
    const a = await deployed();
    await force(a.registry, await bytesOf(a.registry), 'pipelines.q');
    await told(a, /pipeline q was altered/);
    const [p, q] = await a.commands.list();
    assert.equal(p!.status.state, 'running');
    assert.deepEqual([q!.spec.name, q!.status.state], ['q', 'failed']);
  });

  test('does not go back to an older spec, though it is signed', async () => {
    const a = await deployed();
    const first = await bytesOf(a.registry);
    await a.commands.deploy(fakeBundle('p', { salt: 'new' }), { dryRun: false });
    await running(a, 2);
    await force(a.registry, first);
    await told(a, /is revision 1, put back over revision 2/);
    await assert.rejects(a.commands.restart('p'), { code: 'SPEC_UNTRUSTED' });
    assert.deepEqual(
      a.engine.running.map(one => one.revision),
      [2],
    );
    const answer = await a.commands.deploy(fakeBundle('p', { salt: 'newer' }), { dryRun: false });
    assert.equal(answer.revision, 3);
    await running(a, 3);
  });

  test('begins with nothing that was there unsigned', async () => {
    const before = cluster.worker('a');
    await before.worker.start();
    await before.commands.deploy(fakeBundle('p'), { dryRun: false });
    await running(before, 1);
    await before.worker.stop({ deadlineMs: 500 });
    const after = cluster.worker('b', { keys: read(KEY.pem) });
    await after.worker.start();
    await told(after, /is not signed/);
    assert.deepEqual(after.engine.running, []);
    await after.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => after.engine.running.length === 1);
  });
});

test('a deploy over what is not trusted is refused where it could not read the state there, and else goes on', async () => {
  const a = await deployed();
  await a.worker.stop({ deadlineMs: 500 });
  const b = cluster.worker('b', { keys: read(OTHER.pem) });
  const other = fakeBundle('p', { shape: 'other' });
  assert.equal((await b.commands.plan(other)).outcome, 'incompatible');
  await assert.rejects(b.commands.deploy(other, { dryRun: false }), {
    code: 'PLAN_INCOMPATIBLE',
    message: /shape was[\s\S]*not trusted: if it is not yours, delete the key pipelines\.p/,
  });
  const next = fakeBundle('p', { salt: 'next' });
  assert.equal((await b.commands.plan(next)).outcome, 'updated');
  assert.equal((await b.commands.deploy(next, { dryRun: false })).outcome, 'updated');
});

describe('keys', () => {
  test('can be exchanged: the new one signs while the old one is still trusted', async () => {
    await deployed();
    const both = cluster.worker('b', { keys: read(OTHER.pem, KEY.publicPem) });
    assert.equal(await both.commands.pause('p'), 2);
    const after = cluster.worker('c', { keys: read(OTHER.publicPem) });
    assert.equal((await after.commands.get('p')).spec.desired, 'paused');
  });

  test('that are public check, and sign nothing', async () => {
    const a = await deployed();
    const b = cluster.worker('b', { keys: read(KEY.publicPem) });
    assert.equal((await b.commands.get('p')).spec.revision, 1);
    await assert.rejects(b.commands.pause('p'), { code: 'SPEC_UNTRUSTED', message: /public deploy keys only/ });
    assert.equal((await a.commands.get('p')).spec.desired, 'running');
  });

  test('that are none, or of another kind, are refused', () => {
    for (const [pem, message] of [
      ['', /holds no key/],
      ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', /cannot be read/],
    ] as const) {
      assert.throws(() => SpecKeys.read(pem), { code: 'INVALID_ARGUMENT', message });
    }
  });

  test('of nobody: a worker without keys reads what is signed', async () => {
    await deployed();
    const b = cluster.worker('b');
    assert.equal((await b.commands.get('p')).spec.revision, 1);
  });
});
