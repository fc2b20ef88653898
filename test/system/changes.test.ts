/**
 * A changelog in the author's own shape, through a worker process and a real broker: what each record does to its table
 * arrives with the row it has become, on owned and shared subjects, in frames and alone, past stages and without any.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { StoredMessage } from '../../lib/port/log.ts';
import { msgpack } from '../../lib/record/msgpack.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, textOf } from './scene.ts';

type Op = 'insert' | 'before' | 'after' | 'delete';
interface Row {
  readonly op: Op;
  readonly id: number;
  readonly site: string;
  readonly open: boolean;
}

const OPS: readonly Op[] = ['insert', 'before', 'after', 'delete'];
/** As the service codes them, and as headers of several rows do. */
const CODES: Readonly<Record<string, Op>> = { i: 'insert', b: 'before', a: 'after', d: 'delete' };
const COUNT = 2_000;
/** The first half has every change, the second half inserts alone. */
const rows = Array.from({ length: COUNT }, (_, id): Row => {
  return { op: id < COUNT / 2 ? OPS[(id * 7) % 4]! : 'insert', id, site: `s${id % 5}`, open: id % 3 !== 0 };
});
const expected = rows.filter(({ open }) => open).map(({ id, op }) => `${id} ${op}`);
const packed = msgpack({ many: true });

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker());
});
after(() => scene.close());

const TEXT = `import { pipeline } from 'millrace';

type Row = { op: 'insert' | 'before' | 'after' | 'delete'; id: number; site: string; open: boolean };
const CODES = { i: 'insert', b: 'before', a: 'after', d: 'delete' } as const;

export default pipeline('changes', ({ from }) => {
  const rows = from<{ code: keyof typeof CODES; id: number; site: string; open: boolean }>('crm.row', {
    capture: { maxBytes: 2 ** 24 },
    change: row => CODES[row.code],
  }).filter(row => row.open);
  rows.map(({ id }) => ({ id })).to('direct.{partition}');
  const keyed = rows.map(({ id, site }) => ({ id, site })).keyBy('site');
  keyed.to('owned.{partition}', { frame: 'none' });
  keyed.to('framed.{partition}', { frame: 'ndjson' });
  keyed.to('shared.{site}');
  keyed.to('runs.{site}', { frame: 'msgpack', format: 'msgpack' });
  keyed.keyBy('id').flatMap(row => [row]).to('second.{partition}');
  keyed.to('loose.{site}', { mode: 'at-least-once' });
}, { partitions: 3 });
`;

async function say(some: readonly Row[]): Promise<void> {
  for (const { op, ...row } of some) scene.connection.publish('crm.row', JSON.stringify({ code: op[0], ...row }));
  await scene.connection.flush();
}

/** The rows of a message, each with what its header says of it. */
function told(message: StoredMessage): string[] {
  const values: unknown[] = [];
  if (message.headers?.['Content-Type']?.includes('msgpack'))
    packed.decode(message, values, ({ cause }) => assert.fail(cause));
  else
    values.push(
      ...textOf(message)
        .split('\n')
        .filter(Boolean)
        .map(line => JSON.parse(line)),
    );
  const header = message.headers?.['Millrace-Change'];
  const changes =
    header === undefined
      ? values.map(() => 'insert')
      : values.length === 1
        ? [header]
        : [...header].map(letter => CODES[letter]);
  assert.equal(changes.length, values.length, header);
  assert.ok(header === undefined || changes.some(change => change !== 'insert'), 'of inserts alone nothing is said');
  return values.map((value, i) => `${(value as Row).id} ${changes[i]}`);
}

test('what each record does to its table arrives with its row, by every way out and after kill -9', async () => {
  assert.equal(await scene.deploy(client, { text: TEXT }), 'changes');
  await running(client, 'changes');
  await say(rows.slice(0, COUNT / 4));
  const outputs = ['direct', 'owned', 'framed', 'shared', 'runs', 'second', 'loose'].map(name => ({
    name,
    messages: scene.output(name, `${name}.*`),
  }));
  const first = outputs[2]!.messages;
  await eventually('some rows are there', async () => (await first.read()).length > 0);
  await worker.kill();
  await say(rows.slice(COUNT / 4));
  await worker.start();
  for (const { name, messages } of outputs) {
    const got = async () => (await messages.read()).flatMap(told);
    await eventually(`all rows are in ${name}`, async () => (await got()).length >= expected.length);
    assert.deepEqual((await got()).sort(), [...expected].sort(), name);
  }
  const several = (await first.read()).filter(({ headers }) => (headers?.['Millrace-Change']?.length ?? 0) > 6);
  assert.ok(several.length > 0, 'some frames have rows of several changes');
});

test('what is no change is a dead letter, and what dies on its way says what it was', async () => {
  const bad = { id: 1, site: 'a b', open: true };
  scene.connection.publish('crm.row', JSON.stringify({ code: 'x', ...bad }));
  scene.connection.publish('crm.row', JSON.stringify({ code: 'd', ...bad }));
  await scene.connection.flush();
  const letters = scene.output('MR_changes_letters', 'millrace.changes.dead.*');
  await eventually('the letters are there', async () => (await letters.read()).length >= 5);
  const said = (await letters.read()).map(({ headers }) => [headers?.['Millrace-Error'], headers?.['Millrace-Change']]);
  assert.deepEqual(said.sort(), [
    ['RECORD_INVALID', undefined],
    ['RECORD_INVALID', undefined],
    ['RECORD_SUBJECT', 'delete'],
    ['RECORD_SUBJECT', 'delete'],
    ['RECORD_SUBJECT', 'delete'],
  ]);
});
