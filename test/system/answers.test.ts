/**
 * Strangers who answer what is published, and streams that take only small messages, on a real broker with a real worker:
 * every row arrives once, or is a letter, and the worker lives.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { askOrThrow } from '../../lib/nats/api.ts';
import { lettersStream, lettersSubjects } from '../../lib/record/names.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, statusOf, textOf } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  // Synced, streams are slower than whoever only answers.
  ({ scene, worker, client } = await Scene.withWorker({ syncAlways: true }));
});
after(() => scene.close());

const SINKS = ['owned', 'shared', 'loose'] as const;

/** From `<name>.in` by way of a channel to an owned, a shared and a loose sink. */
const PIPELINE = (name: string) => `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  const rows = from<{ id: string }>('${name}.in').keyBy('id');
  rows.to('${name}.owned.{partition}', { frame: 'ndjson', stream: '${name}_owned', name: 'owned' });
  rows.to('${name}.shared.{id}', { stream: '${name}_shared', name: 'shared' });
  rows.to('${name}.loose.{id}', { mode: 'at-least-once', stream: '${name}_loose', name: 'loose' });
}, { partitions: 2 });
`;

/** The streams that it reads from and writes to. */
async function begin(name: string, settings: object): Promise<void> {
  await scene.log.ensureStream({ name, subjects: [`${name}.in`] });
  for (const sink of SINKS) await make(name, sink, settings);
}

/** Makes or changes the stream of a sink. */
async function make(name: string, sink: string, settings: object, verb = 'CREATE'): Promise<void> {
  const markers = sink === 'shared' ? [`_mr.${name}.m.${sink}.>`] : [];
  const subjects = [`${name}.${sink}.>`, ...markers];
  const atomic = { allow_atomic: sink === 'shared' };
  const config = { name: `${name}_${sink}`, subjects, num_replicas: 1, storage: 'file', ...atomic, ...settings };
  await askOrThrow(scene.link, `STREAM.${verb}.${config.name}`, config);
}

async function send(name: string, ids: readonly string[], bytes = 0): Promise<void> {
  const pad = 'x'.repeat(bytes);
  await scene.log.appendAll(
    ids.map(id => ({ stream: name, subject: `${name}.in`, data: Buffer.from(JSON.stringify({ id, pad })) })),
  );
}

/** Each sink has exactly these rows. */
async function judge(name: string, ids: readonly string[]): Promise<void> {
  for (const sink of SINKS) {
    const output = scene.output(`${name}_${sink}`, `${name}.${sink}.>`);
    await eventually(
      `all rows are in ${name}_${sink}`,
      async () => (await output.rows()).length >= ids.length,
      async () => `${(await output.rows()).length} of ${ids.length}: ${worker.said()}`,
    );
    const found = (await output.rows()).map(row => (JSON.parse(row) as { id: string }).id);
    assert.deepEqual(found.sort(), [...ids].sort(), sink);
  }
}

const numbered = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

test('strangers who answer what a pipeline publishes are not believed, by any sink, letter or replay', async () => {
  const name = 'answers';
  await begin(name, {});
  await scene.log.ensureStream({ name: 'mended', subjects: ['mended.>'] });
  let answered = 0;
  for (const subject of [`${name}.>`, 'millrace.>', 'mended.>', '_mr.>']) {
    scene.connection.subscribe(subject, {
      callback: (_, message) => {
        if (!message.reply) return;
        for (const answer of ['OK', '{}', '{"seq":1}', '{"stream":"other","seq":1}', '{"error":{"code":503}}']) {
          answered++;
          scene.connection.publish(message.reply, answer);
        }
      },
    });
  }
  await scene.connection.flush();
  await scene.deploy(client, { text: PIPELINE(name) });
  await running(client, name);
  const ids = numbered('r', 200);
  await send(name, ids);
  await scene.log.append({ stream: name, subject: `${name}.in`, data: Buffer.from('{"broken') });
  await judge(name, ids);
  await eventually('the letter is there', async () => (await client.letters({ pipeline: name })).total === 1);
  for await (const { seen, replayed } of client.replayLetters({ pipeline: name }, { toSubject: 'mended.in' })) {
    assert.deepEqual([seen, replayed], [1, 1]);
  }
  const mended = await scene.output('mended', 'mended.>').read();
  assert.deepEqual(mended.map(textOf), ['{"broken']);
  assert.equal((await client.letters({ pipeline: name })).total, 0);
  assert.ok(answered > 0);
  await statusOf(client, name, ({ status }) => status.counts.out === 3 * ids.length && status.counts.dead === 1);
  await eventually('it is told', () => /nats\.misanswered.*no answer of JetStream's/.test(worker.said()));
});

test('streams that take small messages get smaller frames, and letters in the place of rows that they cannot hold', async () => {
  const name = 'small';
  const letters = { name: lettersStream(name), subjects: lettersSubjects(name), allow_atomic: true };
  await begin(name, { max_msg_size: 4_000 });
  await askOrThrow(scene.link, `STREAM.CREATE.${letters.name}`, { ...letters, num_replicas: 1, max_msg_size: 1_500 });
  await scene.deploy(client, { text: PIPELINE(name) });
  await running(client, name);
  const first = numbered('a', 300);
  await send(name, first, 100);
  await send(name, ['large'], 6_000);
  await judge(name, first);
  const codes = async () =>
    (await client.letters({ pipeline: name })).items.map(({ code, operator }) => `${operator} ${code}`);
  const expected = SINKS.map(sink => `${sink} MESSAGE_TOO_LARGE`).sort();
  await eventually(
    'it is a letter of each sink',
    async () => (await codes()).length === expected.length,
    async () => worker.said(),
  );
  assert.deepEqual((await codes()).sort(), expected);

  // Lowered while it runs: frames are cut anew, and nobody has to do anything.
  for (const sink of SINKS) await make(name, sink, { max_msg_size: 1_500 }, 'UPDATE');
  const second = numbered('b', 300);
  await send(name, second, 100);
  await judge(name, [...first, ...second]);

  // A row that was small enough when it was made waits until it is again; one of which that was known is a letter.
  for (const sink of SINKS) await make(name, sink, { max_msg_size: 1_100 }, 'UPDATE');
  await send(name, ['wide'], 1_050);
  const third = numbered('c', 50);
  await send(name, third, 100);
  const lettered = async () => {
    const { items } = await client.letters({ pipeline: name }, { content: true });
    return items.filter(letter => Buffer.from(letter.content!).includes('"wide"')).map(({ operator }) => operator);
  };
  const isSaid = async () => {
    const { status } = await client.get(name);
    return (status.state === 'waiting' && /max_msg_size/.test(status.reason ?? '')) || (await lettered()).length > 0;
  };
  await eventually('it is said', isSaid, async () => worker.said());
  for (const sink of SINKS) await make(name, sink, { max_msg_size: 4_000 }, 'UPDATE');
  for (const sink of SINKS) {
    const output = scene.output(`${name}_${sink}`, `${name}.${sink}.>`);
    const found = async () => {
      const ids = (await output.rows()).map(row => (JSON.parse(row) as { id: string }).id);
      return [...ids, ...(await lettered()).filter(operator => operator === sink).map(() => 'wide')].sort();
    };
    const all = [...first, ...second, ...third, 'wide'].sort();
    await eventually(
      `all are in ${sink}`,
      async () => (await found()).length >= all.length,
      () => worker.said(),
    );
    assert.deepEqual(await found(), all, sink);
  }
  await running(client, name);
});
