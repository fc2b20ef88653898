/** A registry that was put back to an older copy knows an older revision than the journals. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { FakeCluster, fakeBundle } from './fakes.ts';

const cluster = new FakeCluster();
afterEach(() => cluster.stop());

test('a deploy goes on from the latest revision that is known, of the same life alone', async () => {
  const { commands, judge } = cluster.worker('a');
  await commands.deploy(fakeBundle('p', { salt: '1' }), { dryRun: false });
  const { life } = (await commands.get('p')).spec;
  Object.assign(judge, { remembered: () => Promise.resolve({ life, revision: 7, isOurs: true }) });
  assert.equal((await commands.deploy(fakeBundle('p', { salt: '2' }), { dryRun: false })).revision, 8);
  Object.assign(judge, { remembered: () => Promise.resolve({ life: 'another', revision: 20, isOurs: true }) });
  assert.equal((await commands.deploy(fakeBundle('p', { salt: '3' }), { dryRun: false })).revision, 9);
});
