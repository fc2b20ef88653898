/**
 * Records that end what runs them: the thread, for want of memory, or the whole process. Whoever has died of one often enough
 * makes a letter of it and goes on; of an innocent record none is made. And functions that are slow hold nobody else up.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, pause, running, Scene, statusOf } from './scene.ts';

let scene: Scene;
/** One worker runs all that is deployed, so each test has a cluster of its own. */
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

async function publish(subject: string, values: readonly unknown[]): Promise<void> {
  for (const value of values) scene.connection.publish(subject, JSON.stringify(value));
  await scene.connection.flush();
}

/** A worker that is started again whenever it dies; how often it was is counted. */
async function started(env: NodeJS.ProcessEnv = {}) {
  const worker: WorkerProcess = scene.worker('worker', [], env);
  const seen = { deaths: 0 };
  worker.onDeath = () => {
    seen.deaths++;
    worker.start().catch(() => {});
  };
  await worker.start();
  return { worker, client: scene.client(worker), seen };
}

/** Ends what runs it, in the way that is asked for, when it is given the seventh record. */
const program = (name: string, { way, onPoison = 'deadLetter' }: { way: string; onPoison?: string }) => `
import { execSync } from 'node:child_process';
import { pipeline } from 'millrace';
type Turn = { n: number };
function live(turn: Turn): Turn {
  if (turn.n === 7) { ${way} }
  return turn;
}
export default pipeline('${name}', ({ from }) => {
  const turns = from<Turn>('${name}', { onPoison: '${onPoison}' });
  turns.keyBy(({ n }) => n % 3).process({ onRecord: (turn, { emit }) => emit(live(turn)) }).to('${name}.out.{partition}');
}, { partitions: 2 });
`;
const OF_MEMORY = 'const kept = []; for (;;) kept.push(new Array(50_000).fill(turn.n + 0.5));';
/** Past what a thread may do to its process by itself. */
const OF_PROCESS = "execSync('kill -9 ' + process.pid); for (;;);";

const NUMBERS = Array.from({ length: 20 }, (_, n) => ({ n }));

async function begin(client: AdminClient, name: string, text: string): Promise<void> {
  await scene.log.ensureStream({ name, subjects: [name] });
  await scene.deploy(client, { text });
  await running(client, name);
  await publish(name, NUMBERS);
}

/** Each of the starts that it takes may be a matter of many seconds, with the pauses before them. */
async function sometime(holds: () => Promise<boolean>): Promise<void> {
  for (let waits = 1_000; waits > 0 && !(await holds()); waits--) await pause(100);
  await eventually('it has died often enough', holds);
}

async function isCareful(client: AdminClient, name: string): Promise<void> {
  await sometime(async () => {
    const info = await client.get(name).catch(() => null);
    return /a few records are taken at a time/.test(info?.status.reason ?? '');
  });
}

async function isOneLetter(name: string): Promise<void> {
  const rows = scene.output(`${name}_out`, `${name}.out.*`);
  const dead = scene.output(`MR_${name}_letters`, `millrace.${name}.dead.*`);
  await sometime(async () => (await dead.read()).length > 0);
  await eventually('the rest is there', async () => (await rows.rows()).length >= NUMBERS.length - 1);
  const [letter, ...more] = await dead.read();
  assert.deepEqual(more, []);
  assert.equal(letter?.headers?.['Millrace-Error'], 'RECORD_DEADLY');
  assert.match(letter.headers['Millrace-Message'] ?? '', /3 times what it ran in ended with this record in hand/);
  assert.deepEqual(JSON.parse(Buffer.from(letter.data).toString()), { n: 7 });
  const numbers = (await rows.rows()).map(row => (JSON.parse(row) as { n: number }).n).sort((a, b) => a - b);
  assert.deepEqual(
    numbers,
    NUMBERS.map(({ n }) => n).filter(n => n !== 7),
  );
}

test('a record that ends the process each time becomes one letter, and the rest is right', async () => {
  const { client, seen } = await started();
  await begin(client, 'ended', program('ended', { way: OF_PROCESS }));
  await isCareful(client, 'ended');
  await isOneLetter('ended');
  assert.ok(seen.deaths >= 6 && seen.deaths <= 8, `it died ${seen.deaths} times`);
});

test('a record that takes all memory each time becomes one letter, and the process is the same', async () => {
  const { client, worker, seen } = await started({ NODE_OPTIONS: '--max-old-space-size=128' });
  const { pid } = worker;
  await begin(client, 'eaten', program('eaten', { way: OF_MEMORY }));
  await isCareful(client, 'eaten');
  await isOneLetter('eaten');
  assert.deepEqual([worker.pid, seen.deaths], [pid, 0]);
});

test('where its source says so, the pipeline stops at such a record, with the reason', async () => {
  const { client } = await started();
  await begin(client, 'stopped', program('stopped', { way: OF_PROCESS, onPoison: 'stop' }));
  const stopped = ({ status }: { status: { state: string } }) => status.state === 'failed';
  await isCareful(client, 'stopped');
  const { status } = await statusOf(client, 'stopped', stopped);
  assert.match(status.reason ?? '', /source stopped stops at a bad record, as its onPoison says: 3 times/);
  assert.deepEqual(await scene.output('MR_stopped_letters', 'millrace.stopped.dead.*').read(), []);
});

test('a slow function holds up its own pipeline, and no other', async () => {
  const { client } = await started();
  for (const name of ['crawling', 'brisk']) await scene.log.ensureStream({ name, subjects: [name] });
  const crawling = `import { pipeline } from 'millrace';
export default pipeline('crawling', ({ from }) => {
  from<{ n: number }>('crawling').keyBy(({ n }) => n % 3).process({ onRecord(turn, { emit }) {
    for (const until = performance.now() + 20; performance.now() < until; );
    emit(turn);
  } }).to('crawling.out.{partition}');
}, { partitions: 1 });
`;
  const brisk = `import { pipeline } from 'millrace';
export default pipeline('brisk', ({ from }) => {
  from<{ n: number }>('brisk').keyBy(({ n }) => n % 3).map(turn => turn).to('brisk.out.{partition}');
}, { partitions: 1 });
`;
  await scene.deploy(client, { text: crawling });
  await scene.deploy(client, { text: brisk });
  await running(client, 'crawling');
  await running(client, 'brisk');
  // Forty seconds of work.
  await publish(
    'crawling',
    Array.from({ length: 2_000 }, (_, n) => ({ n })),
  );
  const slow = scene.output('crawling_out', 'crawling.out.*');
  const rows = scene.output('brisk_out', 'brisk.out.*');
  await eventually('it crawls', async () => (await slow.rows()).length > 0);
  for (let n = 1; n <= 3; n++) {
    const sinceMs = performance.now();
    await publish('brisk', [{ n }]);
    await eventually('its row is there', async () => (await rows.rows()).length >= n);
    assert.ok(performance.now() - sinceMs < 2_000, `row ${n} took ${performance.now() - sinceMs} ms`);
  }
  assert.ok((await slow.rows()).length < 2_000, 'all of that was meanwhile');
});
