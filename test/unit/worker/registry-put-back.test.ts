/** A registry that was put back to an older copy. FAILS: what is deployed then is of a revision that no journal lets in. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { FakeCluster, fakeBundle } from './fakes.ts';

const cluster = new FakeCluster();
afterEach(() => cluster.stop());

test('a deploy, and a restart, go on from the latest revision that journals know, whatever the registry says', async () => {
  const { commands, engine } = cluster.worker('a');
  await commands.deploy(fakeBundle('p', { salt: '1' }), { dryRun: false });
  const { life } = (await commands.get('p')).spec;
  Object.assign(engine, { remembered: () => Promise.resolve({ life, revision: 7 }) });
  const { revision } = await commands.deploy(fakeBundle('p', { salt: '2' }), { dryRun: false });
  assert.equal(revision, 8);
  Object.assign(engine, { remembered: () => Promise.resolve({ life, revision: 20 }) });
  assert.equal(await commands.restart('p'), 21);
});
