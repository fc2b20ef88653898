/**
 * What one pipeline's functions do to their thread is that pipeline's alone: one that is slow gets a thread of its own, and so
 * does one that takes all memory, or ends its thread. What runs beside it is interrupted once at most, and goes on at its pace.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AdminClient } from '../../lib/control/client.ts';
import { freePort } from '../rig/worker-process.ts';
import { eventually, pause, running, Scene, statusOf } from './scene.ts';

let scene: Scene;
let client: AdminClient;
let metrics = '';
/** All that the worker has said. */
let said = '';
before(async () => {
  scene = await Scene.open();
  metrics = `127.0.0.1:${await freePort()}`;
  // So little memory that one that has none left is there soon.
  const env = { NODE_OPTIONS: '--max-old-space-size=200', MILLRACE_STUCK_SECONDS: '20' };
  const worker = scene.worker('worker', ['--metrics', metrics], env, text => {
    said += text;
  });
  await worker.start();
  // A delete waits until what it deletes has stopped.
  client = new AdminClient({ address: worker.address, timeoutMs: 60_000 });
  scene.closing.add(() => client.close());
  await scene.log.ensureStream({ name: 'things', subjects: ['things.*'] });
  await scene.deploy(client, { text: mapping('innocent', '') });
  await running(client, 'innocent');
});
after(() => scene.close());

/** A pipeline whose function does `what` with each thing. */
function mapping(name: string, what: string): string {
  return `import { pipeline } from 'millrace';
const hold: unknown[] = [];
export default pipeline('${name}', ({ from }) => {
  from<{ n: number; atMs: number }>('things.${name}').map(thing => { ${what} return { ...thing, held: hold.length }; }, { name: 'work' })
    .to('${name}.{partition}');
});
`;
}

let published = 0;
async function publish(subject: string, count = 1): Promise<void> {
  for (let i = 0; i < count; i++) {
    scene.connection.publish(`things.${subject}`, JSON.stringify({ n: published++, atMs: Date.now() }));
  }
  await scene.connection.flush();
}

const epochOf = async (pipeline: string) => (await client.get(pipeline)).status.tasks[0]?.epoch ?? 0;
const quarantined = (pipeline: string, because: RegExp) =>
  statusOf(client, pipeline, ({ status }) => because.test(status.quarantine ?? ''));

/** How long each of some things took through the innocent pipeline, at most, ms. */
async function slowest(count: number): Promise<number> {
  const out = scene.output('innocent', 'innocent.*');
  const before = (await out.rows()).length;
  for (let i = 1; i <= count; i++) {
    await publish('innocent');
    await pause(100);
  }
  await eventually('all are out', async () => (await out.rows()).length === before + count);
  const messages = (await out.read()).slice(before);
  return Math.max(
    ...messages.map(
      message => message.timeMs - (JSON.parse(Buffer.from(message.data).toString()) as { atMs: number }).atMs,
    ),
  );
}

test('a function that takes 4.5 s for each record has a thread of its own within seconds, and others go on as if it were not there', async () => {
  await scene.deploy(client, {
    text: mapping('slow', 'const untilMs = Date.now() + 4_500; while (Date.now() < untilMs);'),
  });
  await running(client, 'slow');
  const epoch = await epochOf('innocent');
  const sinceMs = Date.now();
  await publish('slow', 2);
  await quarantined('slow', /^functions of work hold their thread for more than a second a call$/);
  assert.ok(Date.now() - sinceMs < 25_000, 'within seconds');
  await running(client, 'innocent');
  const out = scene.output('slow', 'slow.*');
  await eventually('it goes on, slowly', async () => (await out.rows()).length === 2);
  await publish('slow', 20);
  // Several calls of the slow one go by.
  const tookMs = await slowest(100);
  assert.ok(tookMs <= 2_000, `the slowest took ${tookMs} ms`);
  assert.equal(await epochOf('innocent'), epoch + 1, 'interrupted once');
  assert.match(said, /"event":"pipeline\.quarantined".*"pipeline":"slow"/);
  assert.doesNotMatch(said, /engine\.(?:stuck|crashed)/);
  const text = await (await fetch(`http://${metrics}/metrics`)).text();
  assert.match(text, /^millrace_pipeline_quarantined\{pipeline="slow"\} 1$/m);
  assert.match(text, /^millrace_pipeline_quarantined\{pipeline="innocent"\} 0$/m);
  // It is in the middle of a call, with many to come: its thread is ended when its time to stop is over.
  await client.delete('slow');
  await eventually('it has stopped', () => /"event":"pipeline\.stopped".*"pipeline":"slow"/.test(said));
});

test('a pipeline that takes all memory, and again in a thread of its own, interrupts others once', async () => {
  await scene.deploy(client, {
    text: mapping('hoarder', 'for (let i = 0; i < 40; i++) hold.push(new Array(10_000).fill(i + 0.5));'),
  });
  await running(client, 'hoarder');
  const epoch = await epochOf('innocent');
  const crashes = () => said.split('"event":"engine.crashed"').length - 1;
  const before = crashes();
  await publish('hoarder', 400);
  await quarantined('hoarder', /^a function of work ran when it crashed \(.*memory/);
  await eventually('it crashes again by itself', () => crashes() >= before + 2);
  await running(client, 'innocent');
  const tookMs = await slowest(30);
  assert.ok(tookMs <= 2_000, `the slowest took ${tookMs} ms`);
  assert.equal(await epochOf('innocent'), epoch + 1, 'interrupted once');
  await client.delete('hoarder');
});

test('a function that ends its thread ends its own from the second time on, and mended code is among others again', async () => {
  await scene.deploy(client, { text: mapping('leaver', 'if (thing.n >= 0) process.reallyExit(7);') });
  await running(client, 'leaver');
  const epoch = await epochOf('innocent');
  await publish('leaver');
  await quarantined('leaver', /^a function of work ran when it crashed \(its thread ended with code 7\)$/);
  await running(client, 'innocent');
  assert.ok((await slowest(10)) <= 2_000);
  assert.equal(await epochOf('innocent'), epoch + 1, 'interrupted once');
  await scene.deploy(client, { text: mapping('leaver', '') });
  await statusOf(client, 'leaver', ({ status }) => status.state === 'running' && status.quarantine === null);
  const out = scene.output('leaver', 'leaver.*');
  await eventually('its row is out', async () => (await out.rows()).length === 1);
  assert.equal(await epochOf('innocent'), epoch + 1);
});
