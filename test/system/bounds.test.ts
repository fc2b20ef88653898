/**
 * Messages that ask for much more than they are: each becomes letters or rows, exactly once, in a pipeline without keys and
 * in one with, while the engine lives on: nothing is started again, and what comes behind them flows.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Packr } from 'msgpackr';
import { headers as natsHeaders } from 'nats';
import type { AdminClient } from '../../lib/control/client.ts';
import { REPLAY_LENGTH_MAX } from '../../lib/record/replay.ts';
import { lettersOf } from '../rig/letters.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

/** The heap of each thread of the worker, MiB: what a small container leaves it. */
const HEAP_MB = 256;

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  scene = await Scene.open({ maxPayloadBytes: 1 << 20 });
  // However slow the machine is: only what never returns is stuck.
  worker = scene.worker('worker', [], {
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}`,
    MILLRACE_STUCK_SECONDS: '60',
  });
  await worker.start();
  client = scene.client(worker);
});
after(() => scene.close());

const PIPELINE = (name: string, body: string, options = '') => `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  const rows = from<{ n?: number }>('bounds.${name}', { name: 'entries', capture: { maxBytes: 2 ** 28 }${options} });
  ${body}
}, { partitions: 2 });
`;
const BODIES = {
  keyless: `rows.to('bounds_keyless.out.{partition}');`,
  keyed: `rows.keyBy(row => row.n ?? 0).dedupe({ id: row => String(row.n ?? 0), within: '1d' })
    .to('bounds_keyed.out.{partition}');`,
};
const NAMES = ['keyless', 'keyed'] as const;

async function say(
  name: string,
  body: string | Uint8Array,
  head: Readonly<Record<string, string>> = {},
): Promise<void> {
  const headers = natsHeaders();
  for (const [header, value] of Object.entries(head)) headers.set(header, value);
  scene.connection.publish(`bounds.${name}`, body, { headers });
  await scene.connection.flush();
}

const counts = async (name: string) => (await client.get(name)).status.counts;

/** The reasons of its letters, when so many have been sent. */
async function reasons(name: string, count: number): Promise<string[]> {
  const letters = scene.output(`MR_${name}_letters`, `millrace.${name}.dead.>`);
  await eventually(`${name} has sent ${count} letters`, async () => lettersOf(await letters.read()).length >= count);
  return lettersOf(letters.messages).map(({ headers }) => headers['Millrace-Message'] ?? '');
}

async function done(name: string, wanted: { out: number; dead: number }): Promise<void> {
  // As long as it goes on: how fast it does is no matter here.
  for (;;) {
    const { out, dead } = await counts(name);
    if (out >= wanted.out && dead >= wanted.dead) break;
    const before = out + dead;
    await eventually(
      `${name} goes on to ${JSON.stringify(wanted)}`,
      async () => {
        const now = await counts(name);
        return now.out + now.dead > before;
      },
      async () => `${JSON.stringify(await counts(name))} ${worker.said()}`,
    );
  }
  const { out, dead } = await counts(name);
  assert.deepEqual({ out, dead }, wanted, name);
}

/** 2^50 texts, once the references are followed. */
function shared(): Uint8Array {
  let value: unknown[] = ['x'];
  for (let i = 0; i < 50; i++) value = [value, value];
  return new Packr({ structuredClone: true }).pack(value);
}

test('a message of as many broken lines as fit is as many letters, each once, and what follows is a row', async () => {
  const many = 65_535;
  const broken = 'x\n'.repeat(many);
  for (const name of NAMES) {
    await scene.deploy(client, { text: PIPELINE(name, BODIES[name]) });
    await running(client, name);
  }
  for (const name of NAMES) {
    // Alone these are more than one commit holds.
    await say(name, broken, { 'Content-Type': 'application/x-ndjson', tenant: 'x'.repeat(900) });
    await say(name, '{"n":-1}');
  }
  for (const name of NAMES) await done(name, { out: 1, dead: many });
});

test('a message whose references explode, bombs of all kinds and headers that every record carries cost letters, or nothing', async () => {
  const before = { keyless: await counts('keyless'), keyed: await counts('keyed') };
  const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-${'x'.repeat(64_000)}`;
  const lines = Array.from({ length: 30_000 }, (_, n) => `{"n":${n}}`).join('\n');
  const typed = (type: string) => ({ 'Content-Type': type });
  const bombs: readonly (readonly [Uint8Array, Readonly<Record<string, string>>])[] = [
    [shared(), typed('application/msgpack')],
    [shared(), typed('application/x-msgpack-stream')],
    [Buffer.alloc(1_000_000, 0x91), typed('application/msgpack')],
    [gzipSync(`[${'{},'.repeat(5 << 20)}{}]`), { 'Content-Encoding': 'gzip' }],
    [gzipSync('{},'.repeat(5 << 20)), { 'Content-Encoding': 'gzip', ...typed('application/x-ndjson') }],
    [gzipSync(Buffer.alloc(200 << 20, 0x80)), { 'Content-Encoding': 'gzip', ...typed('application/msgpack') }],
  ];
  for (const name of NAMES) {
    for (const [bytes, head] of bombs) {
      assert.ok(bytes.length <= 1 << 20);
      await say(name, bytes, head);
    }
    await say(name, lines, { ...typed('application/x-ndjson'), traceparent: trace });
    await say(name, '{"n":-2}', { 'Millrace-Replay': 'x'.repeat(REPLAY_LENGTH_MAX + 1) });
    await say(name, lines.replaceAll(':', ':1'), {
      ...typed('application/x-ndjson'),
      'Millrace-Replay': 'x'.repeat(64_000),
    });
  }
  for (const name of NAMES) {
    const { out, dead } = before[name];
    // Those whose id came before are copies, where copies are taken out.
    const distinct = new Set(Array.from({ length: 30_000 }, (_, n) => [n, Number(`1${n}`)]).flat()).size;
    const rows = 1 + (name === 'keyless' ? 60_000 : distinct);
    await done(name, { out: out + rows, dead: dead + bombs.length });
  }
  const told = await reasons('keyed', before.keyed.dead + bombs.length);
  assert.ok(told.some(text => /an extension of type 105/.test(text)));
  assert.ok(told.some(text => /NESTING_READ_MAX/.test(text)));
  assert.equal(told.filter(text => /DECOMPRESSED_RATIO_MAX/.test(text)).length, 2);
  assert.equal(told.filter(text => /DECOMPRESSED_PAYLOADS_MAX/.test(text)).length, 1);
});

test('a source takes the formats that it names, and says so of any other', async () => {
  await scene.deploy(client, {
    text: PIPELINE('named', `rows.to('bounds_named.out.{partition}');`, `, formats: ['json', 'ndjson']`),
  });
  await running(client, 'named');
  await say('named', '{"n":1}');
  await say('named', '{"n":2}\n{"n":3}', { 'Content-Type': 'application/x-ndjson' });
  await say('named', new Packr({ useRecords: false }).pack({ n: 4 }), { 'Content-Type': 'application/msgpack' });
  await done('named', { out: 3, dead: 1 });
  assert.deepEqual(await reasons('named', 1), [
    'the source does not take application/msgpack: its formats are json, ndjson',
  ]);
});

test('in all of this the engine was started once, and no pipeline has stopped', async () => {
  for (const name of ['keyless', 'keyed', 'named']) assert.equal((await client.get(name)).status.state, 'running');
  assert.doesNotMatch(worker.log, /engine\.(stuck|crashed)|(task|reader)\.failed|INVARIANT/);
});
