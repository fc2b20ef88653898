/**
 * What goes in and what comes out, byte by byte, with a worker process and a real broker: captured subjects, tables,
 * the formats that services speak, dead letters and late records, the headers of results, and a stream that may not be
 * touched.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pack } from 'msgpackr';
import { headers, type MsgHdrs } from 'nats';
import protobufjs from 'protobufjs';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, textOf } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker());
});
after(() => scene.close());

async function deploy(name: string, body: string): Promise<void> {
  const text = `import * as m from 'millrace';
// The broker sets the whole of it aside, and this test makes many.
const small = { maxBytes: 2 ** 24 };
export default m.pipeline('${name}', ({ from, table }) => {
${body}
}, { partitions: 2 });
`;
  assert.equal(await scene.deploy(client, { text }), name);
  await running(client, name);
}

/** As a service does that knows nothing of streams. */
async function say(subject: string, bodies: readonly (string | Uint8Array)[], head?: MsgHdrs): Promise<void> {
  for (const body of bodies) scene.connection.publish(subject, body, head === undefined ? {} : { headers: head });
  await scene.connection.flush();
}

const json = (values: readonly unknown[]) => values.map(value => JSON.stringify(value));

function numbered(from: number, to: number): { id: string }[] {
  return Array.from({ length: to - from }, (_, i) => ({ id: `${from + i}` }));
}

test('a subject that no stream kept is captured from the deploy on, also while the worker is down', async () => {
  await deploy('captured', `from<{ id: string }>('cap.in', { capture: small }).to('cap.out.{partition}');`);
  await say('cap.in', json(numbered(0, 100)));
  await worker.kill();
  await say('cap.in', json(numbered(100, 300)));
  await worker.start();
  await say('cap.in', json(numbered(300, 350)));
  const out = scene.output('cap_out', 'cap.out.*');
  await eventually('all rows are there', async () => (await out.rows()).length >= 350);
  assert.deepEqual(await out.rows(), json(numbered(0, 350)));
});

test('a table is read to its end before the first record is joined, and follows updates and deletions', async () => {
  const cities = await scene.connection.jetstream().views.kv('cities');
  for (const { id } of numbered(0, 200)) await cities.put(id, JSON.stringify({ name: `city ${id}` }));
  await scene.log.ensureStream({ name: 'visits', subjects: ['visits'] });
  await say('visits', json(numbered(0, 200)));
  await deploy(
    'tables',
    `from<{ id: string }>('visits').keyBy('id')
      .leftJoin(table<{ name: string }>('cities'), (visit, city) => ({ ...visit, city: city?.name ?? null }))
      .to('visited.{partition}');`,
  );
  const out = scene.output('visited', 'visited.*');
  await eventually('every visit is joined', async () => (await out.rows()).length >= 200);
  const wanted = numbered(0, 200).map(({ id }) => ({ id, city: `city ${id}` }));
  assert.deepEqual([...(await out.rows())].sort(), json(wanted).sort());

  await cities.put('1', '{"name":"renamed"}');
  await cities.delete('2');
  await cities.purge('3');
  const city = async (id: string) => {
    const seen = (await out.rows()).length;
    await say('visits', json([{ id }]));
    await eventually('the visit is joined', async () => (await out.rows()).length > seen);
    return (JSON.parse((await out.rows()).at(-1)!) as { city: string | null }).city;
  };
  await eventually('the update is seen', async () => (await city('1')) === 'renamed');
  await eventually('the deletion is seen', async () => (await city('2')) === null);
  await eventually('the purge is seen', async () => (await city('3')) === null);
  assert.equal(await city('4'), 'city 4');
});

test('CloudEvents, MessagePack, Protocol Buffers and NDJSON are read, many records of a message one by one', async () => {
  const proto = 'syntax = "proto3"; package shop; message Order { string id = 1; int64 cents = 2; }';
  await deploy(
    'formats',
    `const events = from('fmt.events', { capture: small, format: m.cloudEvents() }).map(event => ({ from: 'events', id: event.id, data: event.data }));
    const packed = from<{ id: string }>('fmt.packed', { capture: small, format: m.msgpack() }).map(({ id }) => ({ from: 'packed', id, data: null }));
    const orders = from<{ id: string; cents: number }>('fmt.orders', { capture: small, format: m.protobuf({ proto: ${JSON.stringify(proto)}, type: 'shop.Order' }) })
      .map(({ id, cents }) => ({ from: 'orders', id, data: cents }));
    const lines = from<{ id: string }>('fmt.lines', { capture: small, format: m.ndjson() }).map(({ id }) => ({ from: 'lines', id, data: null }));
    const any = from<{ id: string }>('fmt.any', { capture: small }).map(({ id }) => ({ from: 'any', id, data: null }));
    events.merge(packed, orders, lines, any).keyBy('id').to('formatted.{partition}');`,
  );
  const binary = headers();
  const attributes = { specversion: '1.0', id: 'b', source: '/shop', type: 'sold' };
  for (const [name, value] of Object.entries(attributes)) binary.set(`ce-${name}`, value);
  await say('fmt.events', ['{"price":1}'], binary);
  await say('fmt.events', json([{ ...attributes, id: 's', data: { price: 2 } }]));
  await say('fmt.packed', [pack({ id: 'm' })]);
  const order = protobufjs.parse(proto).root.lookupType('shop.Order');
  await say('fmt.orders', [order.encode({ id: 'p', cents: 1250 }).finish()]);
  await say('fmt.lines', ['{"id":"l1"}\n{"id":"l2"}\n{"id":"l3"}\n']);
  const type = headers();
  type.set('Content-Type', 'application/x-ndjson');
  await say('fmt.any', ['{"id":"a1"}\n{"id":"a2"}\n'], type);
  await say('fmt.any', ['{"id":"a3"}']);
  const out = scene.output('formatted', 'formatted.*');
  await eventually('all rows are there', async () => (await out.rows()).length >= 10);
  const row = (from: string, id: string, data: unknown = null) => ({ from, id, data });
  const wanted = [
    row('events', 'b', { price: 1 }),
    row('events', 's', { price: 2 }),
    row('packed', 'm'),
    row('orders', 'p', 1250),
    ...['l1', 'l2', 'l3'].map(id => row('lines', id)),
    ...['a1', 'a2', 'a3'].map(id => row('any', id)),
  ];
  assert.deepEqual([...(await out.rows())].sort(), json(wanted).sort());
});

test('a record that cannot be used is one dead letter with its bytes, origin and reason, also across a kill', async () => {
  await deploy(
    'letters',
    `from<{ id: string }>('dl.in', { name: 'entries', capture: small })
      .keyBy('id', { name: 'keyed' })
      .dedupe({ id: r => r.id, within: '1h', name: 'once' })
      .map(r => { if (r.id.endsWith('7')) throw new Error('no sevens'); return r; }, { name: 'judge' })
      .to('dl.out.{partition}');`,
  );
  const bodies = Array.from({ length: 400 }, (_, i) => (i % 10 === 3 ? `{"id":"${i}` : `{"id":"${i}"}`));
  await say('dl.in', bodies.slice(0, 200));
  const out = scene.output('dl_out', 'dl.out.*');
  await eventually('some rows are there', async () => (await out.rows()).length > 0);
  await say('dl.in', bodies.slice(200, 300));
  await worker.kill();
  await say('dl.in', bodies.slice(300));
  await worker.start();
  const letters = scene.output('MR_letters_letters', 'millrace.letters.dead.>');
  await eventually('rows and letters are there', async () => {
    return (await out.rows()).length >= 320 && (await letters.read()).length >= 80;
  });
  await running(client, 'letters');
  assert.equal((await out.rows()).length, 320);
  const bad = bodies.flatMap((body, i) => (i % 10 === 3 || i % 10 === 7 ? [{ body, seq: i + 1 }] : []));
  const found = [...(await letters.read())].map(letter => ({
    letter,
    seq: Number(/:(\d+)$/.exec(letter.headers?.['Millrace-Origin'] ?? '')?.[1]),
  }));
  found.sort((left, right) => left.seq - right.seq);
  assert.deepEqual(
    found.map(({ letter, seq }) => ({ body: textOf(letter), seq })),
    bad,
  );
  for (const { letter, seq } of found) {
    const unreadable = (seq - 1) % 10 === 3;
    const operator = unreadable ? 'entries' : 'judge';
    assert.equal(letter.subject, `millrace.letters.dead.${operator}`);
    const { 'Millrace-Message': message, ...rest } = letter.headers ?? {};
    assert.match(message ?? '', unreadable ? /JSON/ : /no sevens/);
    assert.equal(rest['Millrace-Operator'], operator);
    assert.equal(rest['Millrace-Error'], unreadable ? 'RECORD_UNREADABLE' : 'USER_CODE');
    assert.equal(rest['Millrace-Origin'], `dl_in:${seq}`);
    assert.equal(rest['Millrace-Subject'], 'dl.in');
    assert.equal(rest['Millrace-Index'], '0');
    assert.match(rest['Millrace-Task'] ?? '', /^letters\//);
  }
});

test('a late record is told on the late subject with its times and key, once', async () => {
  await deploy(
    'lateness',
    `from<{ site: string; at: number }>('late.in', { capture: small, time: 'at' })
      .keyBy('site').window(m.tumbling('1s'), { name: 'seconds' }).aggregate({ n: m.count() }).to('late.out.{partition}');`,
  );
  await say(
    'late.in',
    json([
      { site: 'x', at: 1_100 },
      { site: 'x', at: 5_000 },
    ]),
  );
  const out = scene.output('late_out', 'late.out.*');
  await eventually('the window has closed', async () => (await out.rows()).length === 1);
  await say(
    'late.in',
    json([
      { site: 'x', at: 1_200 },
      { site: 'x', at: 5_100 },
    ]),
  );
  const letters = scene.output('MR_lateness_letters', 'millrace.lateness.late.seconds');
  await eventually('it is told', async () => (await letters.read()).length >= 1);
  assert.deepEqual(await out.rows(), json([{ site: 'x', start: 1_000, end: 2_000, n: 1 }]));
  assert.equal((await letters.read()).length, 1);
  const [letter] = await letters.read();
  assert.deepEqual(JSON.parse(textOf(letter!)), { site: 'x', at: 1_200 });
  const head = letter!.headers ?? {};
  assert.equal(head['Content-Type'], 'application/json');
  assert.equal(head['Millrace-Operator'], 'seconds');
  assert.equal(head['Millrace-Key'], 'x');
  assert.equal(head['Millrace-Time'], '1970-01-01T00:00:01.200Z');
  assert.equal(head['Millrace-Watermark'], '1970-01-01T00:00:05.000Z');
  assert.match(head['Millrace-Late-By'] ?? '', /^\d+$/);
  assert.equal(head['Millrace-Origin'], 'late_in:3');
});

test('a sink that says at-least-once leaves the stream that it writes to as it is', async () => {
  const manager = await scene.connection.jetstreamManager();
  await manager.streams.add({ name: 'theirs', subjects: ['theirs.>'], max_msgs: 10_000, description: 'ours alone' });
  const { config } = await manager.streams.info('theirs');
  await deploy(
    'guest',
    `from<{ id: string }>('guest.in', { capture: small }).keyBy('id').to('theirs.{id}', { mode: 'at-least-once' });`,
  );
  await say('guest.in', json(numbered(0, 200)));
  const out = scene.output('theirs', 'theirs.>');
  await eventually('all rows are there', async () => (await out.read()).length >= 200);
  await worker.kill();
  await say('guest.in', json(numbered(200, 250)));
  await worker.start();
  await eventually('the others too', async () => (await out.read()).length >= 250);
  await running(client, 'guest');
  const messages = await out.read();
  assert.deepEqual(messages.map(textOf).sort(), json(numbered(0, 250)).sort());
  for (const { subject, data, headers: head } of messages) {
    assert.equal(subject, `theirs.${(JSON.parse(textOf({ data })) as { id: string }).id}`);
    assert.match(head?.['Nats-Msg-Id'] ?? '', /^guest\/.+\/\d+-[0-9a-f]+\.\d+$/);
    assert.match(head?.['Millrace-Origin'] ?? '', /^guest_in:\d+$/);
  }
  assert.deepEqual((await manager.streams.info('theirs')).config, config);
});

test('a row alone is a plain message and many are a frame; both say what they are and where they come from', async () => {
  await deploy(
    'heads',
    `const rows = from<{ ids: string[] }>('heads.in', { capture: small }).flatMap(({ ids }) => ids.map(id => ({ id })));
    rows.to('heads.owned.{partition}');
    rows.to('heads.packed.{partition}', { frame: 'msgpack' });
    rows.to('heads.shared.{id}');`,
  );
  await say('heads.in', json([{ ids: ['a'] }]));
  const owned = scene.output('heads_owned', 'heads.owned.*');
  await eventually('the row is there', async () => (await owned.read()).length === 1);
  await say('heads.in', json([{ ids: ['b', 'c', 'd'] }]));
  await eventually('the frame is there', async () => (await owned.read()).length === 2);
  const [single, frame] = await owned.read();
  assert.equal(textOf(single!), '{"id":"a"}');
  assert.equal(textOf(frame!), '{"id":"b"}\n{"id":"c"}\n{"id":"d"}\n');
  assert.equal(single!.headers?.['Content-Type'], 'application/json');
  assert.equal(frame!.headers?.['Content-Type'], 'application/x-ndjson');
  const packed = scene.output('heads_packed', 'heads.packed.*');
  await eventually('the packed ones are there', async () => (await packed.read()).length === 2);
  const types = (await packed.read()).map(({ headers: head }) => head?.['Content-Type']);
  assert.deepEqual(types, ['application/msgpack', 'application/x-msgpack-stream']);
  const shared = scene.output('heads_shared', 'heads.shared.*');
  await eventually('the shared ones are there', async () => (await shared.read()).length === 4);
  assert.deepEqual(
    (await shared.read()).map(({ subject, headers: head }) => [
      subject,
      head?.['Content-Type'],
      head?.['Millrace-Origin'],
    ]),
    ['a', 'b', 'c', 'd'].map((id, i) => [`heads.shared.${id}`, 'application/json', `heads_in:${i === 0 ? 1 : 2}`]),
  );
  for (const [i, message] of [single!, frame!].entries()) {
    assert.match(message.headers?.['Millrace-Task'] ?? '', /^heads\/[^/]+\/0$/);
    assert.match(message.headers?.['Millrace-Commit'] ?? '', i === 0 ? /^\d+\.1$/ : /^\d+\.3$/);
    assert.equal(message.headers?.['Millrace-Origin'], `heads_in:${i + 1}`);
  }
});
