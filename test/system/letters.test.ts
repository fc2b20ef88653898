/**
 * Letters on a real broker: a flood of bad records, which share messages and are each there once, also across a kill; and what
 * somebody has forged, which is neither shown nor obeyed.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type MsgHdrs, headers as natsHeaders } from 'nats';
import type { AdminClient } from '../../lib/control/client.ts';
import { lettersOf } from '../rig/letters.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  scene = await Scene.open();
  worker = scene.worker();
  await worker.start();
  client = scene.client(worker);
});
after(() => scene.close());

async function deploy(name: string, body: string): Promise<void> {
  const text = `import * as m from 'millrace';
const small = { maxBytes: 2 ** 24 };
export default m.pipeline('${name}', ({ from }) => {
${body}
}, { partitions: 2 });
`;
  assert.equal(await scene.deploy(client, { text }), name);
  await running(client, name);
}

async function say(subject: string, body: string, given: Record<string, string> = {}): Promise<void> {
  const head: MsgHdrs = natsHeaders();
  for (const [name, value] of Object.entries(given)) head.set(name, value);
  await scene.connection.jetstream().publish(subject, body, { headers: head });
}

/** A connection of a publisher, which has a permission to publish and nothing else. */
const forge = (subject: string, given: Record<string, string>) => say(subject, '{}', given);

async function last<T>(all: AsyncIterable<T>): Promise<T> {
  let value: T | undefined;
  for await (const one of all) value = one;
  return value!;
}

test('a flood of bad records shares messages, each letter is there once across a kill, and one is deleted or replayed alone', async () => {
  await deploy(
    'flood',
    `from<{ id: string }>('flood.in', { capture: small, format: m.ndjson() }).keyBy('id')
      .dedupe({ id: r => r.id, within: '1h' }).to('flood.out.{partition}');`,
  );
  const [messages, lines] = [40, 1_000];
  const letters = scene.output('MR_flood_letters', 'millrace.flood.dead.>');
  const body = (i: number) => Array.from({ length: lines }, (_, line) => `{"id":"${i}-${line}"`).join('\n');
  for (let i = 0; i < messages / 2; i++) await say('flood.in', body(i));
  await eventually('some letters are there', async () => lettersOf(await letters.read()).length > 0);
  await worker.kill();
  for (let i = messages / 2; i < messages; i++) await say('flood.in', body(i));
  await worker.start();
  await eventually('all letters are there', async () => lettersOf(await letters.read()).length >= messages * lines);
  await running(client, 'flood');
  const found = lettersOf(await letters.read());
  const places = new Set(found.map(({ headers }) => `${headers['Millrace-Origin']} ${headers['Millrace-Index']}`));
  assert.deepEqual([found.length, places.size], [messages * lines, messages * lines]);
  const inMessages = await letters.read();
  assert.ok(inMessages.length < found.length / 50, `${inMessages.length} messages`);
  const { bytes } = (await scene.log.info('MR_flood_letters'))!;
  assert.ok(bytes / found.length < 200, `${bytes / found.length} bytes a letter`);

  const page = await client.letters({ pipeline: 'flood' }, { pageSize: 3, content: true });
  assert.equal(page.total, messages * lines);
  const [first, second, third] = page.items;
  assert.deepEqual([second!.number, third!.number], [first!.number + 1, first!.number + 2]);
  await last(client.discardLetters({ pipeline: 'flood', numbers: [second!.number] }));
  const rest = await client.letters({ pipeline: 'flood' }, { pageSize: 3 });
  assert.deepEqual(
    rest.items.map(({ number }) => number),
    [first!.number, third!.number, third!.number + 1],
  );
  assert.equal(rest.total, messages * lines - 1);
  const numbers = [third!.number];
  await last(client.replayLetters({ pipeline: 'flood', numbers }, { toSubject: 'flood.in', keep: true }));
  await eventually('what was replayed is a letter again', async () => {
    return lettersOf(await letters.read()).length === messages * lines + 1;
  });
  const again = lettersOf(await letters.read()).at(-1)!;
  assert.deepEqual(Buffer.from(again.data), Buffer.from(third!.content!));
});

test('a forged letter is not shown, and publishes nothing anywhere', async () => {
  await deploy(
    'forged',
    `from<{ id: string }>('forged.in', { capture: small }).keyBy('id').to('forged.out.{partition}');`,
  );
  await scene.log.ensureStream({ name: 'precious', subjects: ['precious'] });
  const own = { 'Millrace-Error': 'USER_CODE', 'Millrace-Content': 'message', 'Millrace-Operator': 'map-1' };
  await forge('millrace.forged.dead.map-1', { ...own, 'Millrace-Subject': '$JS.API.STREAM.DELETE.precious' });
  await forge('millrace.forged.dead.map-1', {
    ...own,
    ...{ 'Millrace-Subject': 'forged.in', 'Millrace-Header-Nats-Rollup': 'all', 'Millrace-Seal': 'A'.repeat(22) },
  });
  const page = await client.letters({ pipeline: 'forged' });
  assert.deepEqual([page.items, page.forged], [[], 2]);
  assert.equal((await last(client.replayLetters({ pipeline: 'forged' }))).replayed, 0);
  assert.ok((await scene.log.info('precious')) !== null);
  assert.equal((await scene.log.info('forged_in'))!.messages, 0);
  const told = await eventsOf('letters.forged');
  assert.equal(told, 2);
});

test('a forged replay is judged by the dedupes like any record; a true one passes them', async () => {
  await deploy(
    'again',
    `from<{ id: string; price?: number }>('again.in', { name: 'orders', capture: small }).keyBy('id')
      .dedupe({ id: r => r.id, within: '1h', name: 'once' })
      .map(r => { if (r.id === 'bad') throw new Error('no'); return r; }, { name: 'judge' })
      .to('again.out.{partition}');`,
  );
  const out = scene.output('again_out', 'again.out.*');
  await say('again.in', '{"id":"a"}');
  await say('again.in', '{"id":"bad"}');
  await eventually('the letter is there', async () => (await client.letters({ pipeline: 'again' })).items.length === 1);
  const { number } = (await client.letters({ pipeline: 'again' })).items[0]!;
  await say('again.in', '{"id":"a"}', { 'Millrace-Replay': `again/${number} again/once` });
  await say('again.in', '{"id":"a"}', {
    'Millrace-Replay': `again/${number} again/once`,
    'Millrace-Seal': 'A'.repeat(22),
  });
  await say('again.in', '{"id":"b"}');
  await eventually('what came after it is out', async () => (await out.rows()).length >= 2);
  assert.deepEqual((await out.rows()).sort(), ['{"id":"a"}', '{"id":"b"}']);
  assert.equal(await eventsOf('replay.forged'), 1);

  // It fails again, and is a letter again: that is how it is seen that the dedupe has let it pass.
  await last(client.replayLetters({ pipeline: 'again', numbers: [number] }));
  await eventually('it has failed once more', async () => {
    const { items } = await client.letters({ pipeline: 'again' });
    return items.length === 1 && items[0]!.number > number;
  });
  const stored = scene.output('again_in', 'again.in');
  const { headers = null, data } = (await stored.read()).at(-1)!;
  // Its header, on another record.
  await say('again.in', '{"id":"b" }', { ...headers, 'Nats-Msg-Id': 'mine' });
  await say('again.in', '{"id":"c"}');
  await eventually('what came after it is out', async () => (await out.rows()).length >= 3);
  assert.deepEqual((await out.rows()).sort(), ['{"id":"a"}', '{"id":"b"}', '{"id":"c"}']);
  assert.equal(Buffer.from(data).toString(), '{"id":"bad"}');
});

/** How many events of that name the worker has told. */
async function eventsOf(name: string): Promise<number> {
  let count = 0;
  for await (const event of client.events({ past: 1_000, pastOnly: true })) if (event.event === name) count++;
  return count;
}
