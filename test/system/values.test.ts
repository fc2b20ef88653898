/**
 * Values, on a real broker with a real worker: what goes in comes out as it was, through frames, state and a kill: integers
 * of any size, dates, bytes, trace contexts, definitions that were deployed along. What cannot be as it was is a letter.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pack } from 'msgpackr';
import { headers } from 'nats';
import protobufjs from 'protobufjs';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, textOf } from './scene.ts';

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const PROTO = `syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "money.proto";
message Order { int64 id = 1; google.protobuf.Timestamp at = 2; Money total = 3; }`;
const MONEY = 'syntax = "proto3"; message Money { int64 cents = 1; }';

const PIPELINE = `import { avg, pipeline, protobuf, sum, tumbling } from 'millrace';
type Row = { id: string | number | bigint; at: string; n?: number; w?: string };
export default pipeline('values', ({ from }) => {
  const rows = from<Row>('values.in', { name: 'entries', capture: { maxBytes: 2 ** 26 }, time: 'at', maxOutOfOrder: '1000000d' });
  rows.to('values.plain.{partition}', { name: 'plain' });
  rows.map(row => ({ id: row.id })).to('values.by.{id}', { name: 'by' });
  const keyed = rows.keyBy('id');
  keyed.dedupe({ id: row => row.id, within: '1h' })
    .process<Row[], Row[]>({
      name: 'remembered',
      onRecord(row, context) { context.state = [...(context.state ?? []), row]; context.emit(context.state); },
    })
    .to('values.kept.{partition}', { name: 'kept' });
  const weighed = rows.filter(row => row.w !== undefined).keyBy('w');
  weighed.window(tumbling('1d'), { name: 'days' })
    .aggregate({ total: sum(row => row.n!) }).to('values.sums.{partition}', { name: 'sums' });
  weighed.window(tumbling('1d'), { name: 'means' })
    .aggregate({ mean: avg(row => row.n!) }).to('values.avgs.{partition}', { name: 'avgs' });
  from('values.proto', { name: 'orders', capture: { maxBytes: 2 ** 26 }, format: protobuf({ type: 'Order', file: 'order.proto' }) })
    .to('values.orders.{partition}', { name: 'orders-out' });
}, { partitions: 2 });
`;

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker());
});
after(() => scene.close());

async function say(
  body: string | Uint8Array,
  head: Readonly<Record<string, string>> = {},
  to = 'values.in',
): Promise<void> {
  const sent = headers();
  for (const [name, value] of Object.entries(head)) sent.append(name, value);
  scene.connection.publish(to, body, { headers: sent });
  await scene.connection.flush();
}

const DAY = '2026-03-01';
const row = (id: string, more = '') => `{"id":${id},"at":"${DAY}T10:00:00Z"${more}}`;

test('values come out as they went in, or are letters that say why not', async () => {
  await writeFile(join(scene.folder, 'order.proto'), PROTO);
  await writeFile(join(scene.folder, 'money.proto'), MONEY);
  await scene.deploy(client, { text: PIPELINE });
  await running(client, 'values');

  const [even, odd, huge] = ['9007199254740992', '9007199254740993', '123456789012345678901234567890'] as const;
  await say(row(even));
  await say(row(odd, ',"deep":[{"n":-18446744073709551616}],"text":"9007199254740993"'), { Traceparent: TRACE });
  await say(`${row(huge)}\n${row(odd, ',"copy":true')}\n${row('7')}`, { 'CONTENT-TYPE': 'application/x-ndjson' });
  await worker.kill();
  await worker.start();
  // A copy of what was read before the kill, in other formats.
  await say(pack({ id: 9007199254740993n, at: `${DAY}T11:00:00Z` }), { 'content-type': 'application/msgpack' });
  await say(pack({ id: 'bytes', at: DAY, raw: Buffer.from('text') }), { 'Content-Type': 'application/msgpack' });
  await say(row('1.5e300'));
  await say(row('"day"').replace(`${DAY}T10:00:00Z`, '2023-02-31'));
  await say(row('"ns"').replace(`"${DAY}T10:00:00Z"`, '1772359200000000000'));
  await say(row('"year-1"').replace(`${DAY}T10:00:00Z`, '0001-01-01 00:00:00'));
  const event = '{"specversion":"1.0","source":"/s","type":"t","id":"e1"';
  await say(`${event},"at":"${DAY}","data_base64":"!!!"}`, { 'Content-Type': 'application/cloudevents+json' });
  await say(`${event},"at":"${DAY}","data":{"n":${odd}},"data_base64":null}`, {
    'content-Type': 'application/cloudevents+json',
  });
  for (const n of ['1e308', '1e308']) await say(row(`"w-${n}"`, `,"w":"over","n":${n}`));
  for (const n of ['1e308', '1e308', '-1e308']) await say(row(`"w-${n}"`, `,"w":"within","n":${n}`));
  for (const subject of ['values.in', 'values.proto']) await say('', { 'MILLRACE-COMPLETE': 'end' }, subject);

  const { root } = protobufjs.parse(PROTO);
  protobufjs.parse(MONEY, root);
  root.addJSON(protobufjs.common.get('google/protobuf/timestamp.proto')!.nested!);
  const Order = root.lookupType('Order');
  const order = Order.fromObject({ id: odd, at: { seconds: 5, nanos: 7 }, total: { cents: '-9007199254740993' } });
  await say(Order.encode(order).finish(), {}, 'values.proto');

  const plain = scene.output('values_plain', 'values.plain.*');
  const by = scene.output('values_by', 'values.by.*');
  const kept = scene.output('values_kept', 'values.kept.*');
  const sums = scene.output('values_sums', 'values.sums.*');
  const avgs = scene.output('values_avgs', 'values.avgs.*');
  const orders = scene.output('values_orders', 'values.orders.*');
  const letters = scene.output('MR_values_letters', 'millrace.values.dead.>');
  const told = async () =>
    (await letters.read()).map(({ headers: head, data }) => {
      const { 'Millrace-Operator': operator, 'Millrace-Error': code, 'Millrace-Message': why } = head ?? {};
      return { operator, code, why: why ?? '', text: textOf({ data }) };
    });
  const lengths = async () => [
    (await plain.rows()).length,
    (await kept.rows()).length,
    (await sums.rows()).length,
    (await avgs.rows()).length,
    (await orders.rows()).length,
    (await told()).length,
  ];
  const wanted = [15, 9, 1, 2, 1, 9];
  await eventually(
    'everything has come out',
    async () => (await lengths()).every((length, i) => length >= wanted[i]!),
    async () => `${(await lengths()).join()} of ${wanted.join()} ${JSON.stringify(await told())} ${worker.said()}`,
  );
  assert.deepEqual(await lengths(), wanted);

  const passed = await plain.rows();
  assert.deepEqual(passed.slice(0, 7), [
    row(even),
    row(odd, ',"deep":[{"n":-18446744073709551616}],"text":"9007199254740993"'),
    row(huge),
    row(odd, ',"copy":true'),
    row('7'),
    `{"id":${odd},"at":"${DAY}T11:00:00Z"}`,
    `{"id":"bytes","at":"${DAY}","raw":"dGV4dA=="}`,
  ]);
  assert.ok(passed.some(text => text.includes('"id":"e1"') && text.includes(`"data":{"n":${odd}}`)));
  assert.ok(passed.includes(row('"year-1"').replace(`${DAY}T10:00:00Z`, '0001-01-01 00:00:00')));
  const subjects = new Set((await by.read()).map(({ subject }) => subject));
  for (const id of [even, odd, huge, '7']) assert.ok(subjects.has(`values.by.${id}`), id);
  const traced = (await plain.read()).filter(({ headers: head }) => head?.traceparent !== undefined);
  assert.deepEqual(
    traced.map(message => [message.headers?.traceparent, textOf(message).includes('"deep"')]),
    [[TRACE, true]],
  );
  // The copy in NDJSON and that in MessagePack are copies; the neighbour is none.
  const remembered = (await kept.rows()).filter(text => /"id":\d/.test(text));
  assert.deepEqual(remembered.sort(), [passed[0], passed[1], passed[2], passed[4]].map(text => `[${text}]`).sort());

  assert.deepEqual(
    (await sums.rows()).map(text => JSON.parse(text).total),
    [1e308],
  );
  assert.deepEqual(
    (await avgs.rows()).map(text => JSON.parse(text).mean),
    [1e308, 1e308 / 3].sort(),
  );
  assert.deepEqual(await orders.rows(), [
    `{"id":${odd},"at":{"seconds":5,"nanos":7},"total":{"cents":-9007199254740993}}`,
  ]);

  const found = (await told()).map(({ operator, code, why }) => `${operator} ${code} ${why}`).sort();
  const expected = [
    /^days LIMIT_REACHED .*1\.8e308/,
    /^entries RECORD_TIME .*1772359200000000000 is neither .*Number\(ns \/ 1_000_000n\)/,
    /^entries RECORD_TIME .*"2023-02-31" is none: there is no such day/,
    /^entries RECORD_UNREADABLE .*data_base64 is not base64/,
    /RECORD_KEY .*1\.5e\+300 may stand for several integers/,
  ];
  for (const pattern of expected)
    assert.ok(
      found.some(text => pattern.test(text)),
      `${pattern} in ${found.join('; ')}`,
    );
});
