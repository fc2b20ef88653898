/** Reports of workers that answer what no worker says: whoever answers in another's name must end nobody. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakeCluster, fakeBundle, until } from './fakes.ts';

let cluster: FakeCluster;
beforeEach(() => {
  cluster = new FakeCluster();
});
afterEach(() => cluster.stop());

const ANSWERS: readonly unknown[] = [
  ...[5, null, 'report', [], {}, { report: 5 }, { report: null }, { report: [null] }, { report: [['p']] }],
  ...[{ report: [['p', null]] }, { report: [['p', { revision: 1, status: null }]] }],
  ...[{ report: [['p', { revision: 1, status: { sources: [], tasks: [], followers: [], operators: [] } }]] }],
];

test('whoever beats, and answers what no worker says, is given nothing, and ends nobody', async () => {
  const a = cluster.worker('a');
  await a.worker.start();
  const ghost = cluster.exchange.client('ghost');
  let asked = 0;
  ghost.answer(() => Buffer.from(JSON.stringify(ANSWERS[asked++ % ANSWERS.length])));
  const says = { name: 'ghost', instance: 'g', term: 1, zone: '', capacity: 64, busy: 0, owned: 0, warm: 0 };
  const beats = setInterval(
    () => ghost.beat(Buffer.from(JSON.stringify({ ...says, draining: false, version: '1' }))),
    50,
  );
  try {
    await until('it is known', () => a.observer.count('member.joined') === 2);
    await a.commands.deploy(fakeBundle('p'), { dryRun: false });
    await until('it runs', () => a.engine.running.length === 1);
    await until('every answer was given', () => asked > ANSWERS.length);
    assert.equal(a.engine.orders[0]!.assignment.parts.length, 4, 'all of it is with who answers');
    assert.equal(a.observer.count('part.moved'), 0);
    assert.equal(a.worker.status('p').state, 'running');
  } finally {
    clearInterval(beats);
  }
});
