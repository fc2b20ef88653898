/**
 * User code that never returns: the worker notices, names it, its engine starts anew, and only the record is out. The
 * rest flows exactly once, other pipelines go on, and a pipeline that does it again and again is stopped with the reason.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { lettersOf } from '../rig/letters.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  scene = await Scene.open();
  process.env.MILLRACE_STUCK_SECONDS = '1.5';
  worker = scene.worker();
  await worker.start();
  client = scene.client(worker);
});
after(() => scene.close());

async function publish(subject: string, values: readonly unknown[]): Promise<void> {
  for (const value of values) scene.connection.publish(subject, JSON.stringify(value));
  await scene.connection.flush();
}

test('a record for which a function never returns becomes a dead letter, and all others are counted exactly once', async () => {
  const { pid } = worker;
  await scene.log.ensureStream({ name: 'turns', subjects: ['turns'] });
  const text = `import { count, pipeline, tumbling } from 'millrace';
export default pipeline('turning', ({ from }) => {
  const options = { time: 'at', maxOutOfOrder: '0s', idleAfter: '1s' } as const;
  const turns = from<{ n: number; at: number }>('turns', options).filter(({ n }) => {
    while (n === 7);
    return true;
  });
  turns.to('turned.all.{partition}');
  turns.keyBy(({ n }) => n % 3).process({ onRecord(turn, { emit }) {
    while (turn.n === 11);
    emit(turn);
  } }).to('turned.keyed.{partition}');
}, { partitions: 2 });
`;
  await scene.deploy(client, { text });
  await running(client, 'turning');
  await publish(
    'turns',
    Array.from({ length: 200 }, (_, n) => ({ n, at: 1_700_000_000_000 + n })),
  );
  const all = scene.output('turned_all', 'turned.all.*');
  const keyed = scene.output('turned_keyed', 'turned.keyed.*');
  await eventually(
    'the rest is there',
    async () => (await keyed.rows()).length >= 198 && (await all.rows()).length >= 199,
  );
  const numbers = (rows: readonly string[]) =>
    rows.map(row => (JSON.parse(row) as { n: number }).n).sort((a, b) => a - b);
  const but = (...without: number[]) => Array.from({ length: 200 }, (_, n) => n).filter(n => !without.includes(n));
  assert.deepEqual(numbers(await all.rows()), but(7));
  assert.deepEqual(numbers(await keyed.rows()), but(7, 11));
  const dead = scene.output('MR_turning_letters', 'millrace.turning.dead.*');
  // What stands before both branches runs for each of them.
  await eventually('their letters are there', async () => (await dead.read()).length >= 3);
  const letters = await dead.read();
  const told = letters.map(({ headers }) => `${headers?.['Millrace-Error']}: ${headers?.['Millrace-Message']}`);
  assert.equal(letters.length, 3);
  for (const text of told) assert.match(text, /^USER_CODE: .*did not return for this record/);
  assert.equal(worker.pid, pid, 'the process is the same');
});

test('a row that never says how it is written becomes a dead letter, and pipelines beside it go on', async () => {
  const { pid } = worker;
  for (const name of ['sums', 'beside']) await scene.log.ensureStream({ name, subjects: [name] });
  const beside = `import { pipeline } from 'millrace';
export default pipeline('beside', ({ from }) => { from('beside').to('besides.{partition}'); });
`;
  const text = `import { pipeline } from 'millrace';
class Money {
  constructor(readonly n: number) {}
  toJSON() {
    while (this.n === 13);
    return { n: this.n };
  }
}
/** Loops where it is read, as a field of a row. */
const row = (n: number, at: number) => ({ n, get x() { while (n === at); return 1; } });
export default pipeline('wording', ({ from }) => {
  const sums = from<{ n: number }>('sums');
  sums.map(({ n }) => new Money(n)).to('worded.json.{partition}');
  const keyed = sums.keyBy(({ n }) => n % 3).dedupe({ id: ({ n }) => String(n), within: '1d' });
  keyed.map(({ n }) => row(n, 15)).keyBy(({ n }) => n % 2, { name: 'halves' })
    .dedupe({ id: ({ n }) => String(n), within: '1d', name: 'again' }).to('worded.far.{partition}');
  sums.map(({ n }) => row(n, 12)).keyBy(({ n }) => n % 2, { name: 'near' })
    .dedupe({ id: ({ n }) => String(n), within: '1d', name: 'first' }).to('worded.near.{partition}');
  keyed.map(({ n }) => row(n, 14)).to('worded.rows.{partition}', { format: 'msgpack' });
}, { partitions: 2 });
`;
  await scene.deploy(client, { text: beside });
  await scene.deploy(client, { text });
  await running(client, 'wording');
  await running(client, 'beside');
  await publish(
    'sums',
    Array.from({ length: 30 }, (_, n) => ({ n })),
  );
  await publish('beside', [{ n: 1 }]);
  const json = scene.output('worded_json', 'worded.json.*');
  const counted = async () => (await client.get('wording')).status.counts;
  await eventually('all are rows or letters', async () => {
    const { out, dead } = await counted();
    return out === 4 * 30 - 4 && dead === 4;
  });
  const numbers = (await json.rows()).map(text => (JSON.parse(text) as { n: number }).n).sort((a, b) => a - b);
  assert.deepEqual(
    numbers,
    Array.from({ length: 30 }, (_, n) => n).filter(n => n !== 13),
  );
  const letters = lettersOf(await scene.output('MR_wording_letters', 'millrace.wording.dead.*').read());
  const told = letters.map(({ headers }) => `${headers?.['Millrace-Error']}: ${headers?.['Millrace-Message']}`);
  for (const text of told) assert.match(text, /^USER_CODE: .*did not return for this record/);
  assert.deepEqual(
    letters.map(({ data }) => Buffer.from(data).toString()).sort(),
    [12, 13, 14, 15].map(n => `{"n":${n}}`),
  );
  await running(client, 'beside');
  await publish('beside', [{ n: 2 }]);
  const others = scene.output('besides', 'besides.*');
  await eventually('the one beside it goes on', async () => (await others.rows()).length === 2);
  assert.equal(worker.pid, pid, 'the process is the same');
  for (const name of ['wording', 'beside']) await client.delete(name, { purge: true });
});

test('a promise that a function leaves behind may fail: it is told, and ends nothing', async () => {
  const text = `import { pipeline } from 'millrace';
export default pipeline('careless', ({ from }) => {
  from<{ n: number }>('turns').map(turn => {
    void Promise.reject(new Error('nobody waits for ' + turn.n));
    setTimeout(() => { throw new Error('nor for this'); }, 1);
    return turn;
  }).to('careless.{partition}');
});
`;
  await scene.deploy(client, { text });
  const out = scene.output('careless', 'careless.*');
  await eventually('all rows are there', async () => (await out.rows()).length === 200);
  assert.match(worker.said(), /"event":"user\.failed".*pipeline\.ts:\d+:\d+: nor for this/);
  await client.delete('careless', { purge: true });
});

test('a function that would end the process makes a dead letter of its record, and ends nothing', async () => {
  const text = `import { pipeline } from 'millrace';
export default pipeline('leaving', ({ from }) => {
  from<{ n: number }>('turns').map(turn => {
    if (turn.n === 3) process.exit(3);
    if (turn.n === 4) process.kill(process.pid, 'SIGKILL');
    return turn;
  }).to('leaving.{partition}');
});
`;
  const { pid } = worker;
  await scene.deploy(client, { text });
  const out = scene.output('leaving', 'leaving.*');
  const isWhole = async () =>
    (await client.get('leaving')).status.counts.dead === 2 && (await out.rows()).length === 198;
  await eventually('all are rows or letters', isWhole);
  const { items } = await client.letters({ pipeline: 'leaving' });
  for (const { code, message } of items)
    assert.match(`${code} ${message}`, /^USER_CODE .*process\.(exit|kill) would end/);
  assert.equal(worker.pid, pid, 'the process is the same');
  await client.delete('leaving', { purge: true });
});

test('what would be added to every object, a bundle is refused for and a record is a dead letter for', async () => {
  const adding = 'Object.assign(Object.prototype, { everywhere: 1 });';
  const text = (where: 'top' | 'map') => `import { pipeline } from 'millrace';
${where === 'top' ? adding : ''}
export default pipeline('adding', ({ from }) => {
  from<{ n: number }>('turns').map(turn => { ${where === 'map' ? `if (turn.n === 5) ${adding}` : ''} return turn; }).to('adding.{partition}');
});
`;
  await assert.rejects(scene.deploy(client, { text: text('top') }), /everywhere.*not extensible/);
  await scene.deploy(client, { text: text('map') });
  const out = scene.output('adding', 'adding.*');
  const isWhole = async () =>
    (await client.get('adding')).status.counts.dead === 1 && (await out.rows()).length === 199;
  await eventually('all are rows or letters', isWhole);
  await client.delete('adding', { purge: true });
});

test('a function that never returns while a bundle is loaded is a mistake of that bundle, and what runs goes on', async () => {
  const text = `import { pipeline } from 'millrace';
for (;;);
export default pipeline('endless', ({ from }) => { from('turns').to('endless.{partition}'); });
`;
  const epochs = async () => (await client.get('turning')).status.tasks.map(({ epoch }) => epoch);
  const before = await epochs();
  await assert.rejects(scene.deploy(client, { text }), /did not come to an end/);
  await running(client, 'turning');
  assert.deepEqual(await epochs(), before, 'it runs on in the same thread');
});

test('a record in 43,200 windows and one two days later are work in steps: nothing is stuck, and others go on', async () => {
  await scene.log.ensureStream({ name: 'hops', subjects: ['hops'] });
  const text = `import { count, hopping, pipeline } from 'millrace';
export default pipeline('hopping', ({ from }) => {
  from<{ at: number }>('hops', { time: 'at', maxOutOfOrder: '0s' })
    .keyBy(() => 1)
    .window(hopping({ size: '12h', advance: '1s' }))
    .aggregate({ n: count() })
    .to('hopped.{partition}');
}, { partitions: 1 });
`;
  await scene.deploy(client, { text });
  await running(client, 'hopping');
  const epochs = async () => (await client.get('turning')).status.tasks.map(({ epoch }) => epoch);
  const before = await epochs();
  const all = scene.output('turned_all', 'turned.all.*');
  const rows = (await all.rows()).length;
  const atMs = 1_700_000_000_000;
  await publish('hops', [{ at: atMs }, { at: atMs + 2 * 24 * 3_600_000 }]);
  await publish('turns', [{ n: 500, at: atMs }]);
  await eventually('the other goes on', async () => (await all.rows()).length === rows + 1);
  await eventually('all windows are out', async () => (await client.get('hopping')).status.counts.out === 43_200);
  assert.deepEqual(await epochs(), before, 'the engine is the same');
  await client.delete('hopping', { purge: true });
});

test('a pipeline whose function never returns, whatever the record, is stopped with the reason, and others go on', async () => {
  const text = `import { pipeline } from 'millrace';
export default pipeline('hopeless', ({ from }) => {
  from<{ n: number }>('turns').map(turn => { for (;;); return turn; }, { name: 'spin' }).to('hopeless.{partition}');
});
`;
  await scene.deploy(client, { text });
  await eventually('it is stopped', async () => {
    const pipeline = await client.get('hopeless').catch(() => null);
    return (
      pipeline?.status.state === 'failed' && /USER_CODE_STUCK.*spin.*deploy again/.test(pipeline.status.reason ?? '')
    );
  });
  await running(client, 'turning');
  const all = scene.output('turned_all', 'turned.all.*');
  const before = (await all.rows()).length;
  await publish('turns', [{ n: 1_000, at: 1_700_000_100_000 }]);
  await eventually('the other goes on', async () => (await all.rows()).length === before + 1);
});
