/**
 * Every wrong input, on a real broker with a real worker: what services may send and user code may do, between records
 * that are as they should be. Each is one dead letter with its code and its bytes, and everything else comes out exactly
 * once: from an owned and a shared sink, from a stage with state, and across a kill. `lib/source/README.md` has the table.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { pack } from 'msgpackr';
import { headers } from 'nats';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

const PAYLOAD_BYTES_MAX = 1 << 20;

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker({ maxPayloadBytes: PAYLOAD_BYTES_MAX }));
});
after(() => scene.close());

interface Said {
  readonly what: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** The codes of its letters from the keyless stage's source and sinks, and from the stage with state. */
  readonly keyless: readonly string[];
  readonly keyed: readonly string[];
}

const AT = Date.now() - 60_000;
const record = (more: object): string => JSON.stringify({ id: 'k', at: AT, site: 'x', ...more });
/** As `record`, with raw JSON where JSON.stringify would not write it. */
const raw = (field: string): string => `{"id":"k","at":${AT},"site":"x",${field}}`;
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

const both = (what: string, body: Said['body'], code: string, head?: Said['headers']): Said => {
  return { what, body, keyless: [code], keyed: [code], ...(head === undefined ? {} : { headers: head }) };
};
const fine = (what: string, body: Said['body'], head?: Said['headers']): Said => {
  return { what, body, keyless: [], keyed: [], ...(head === undefined ? {} : { headers: head }) };
};
const site = (value: unknown): Said => {
  const shown = JSON.stringify(value)?.slice(0, 30);
  return { what: `site ${shown}`, body: record({ site: value }), keyless: ['RECORD_SUBJECT'], keyed: [] };
};
const keyed = (what: string, body: string, code: string): Said => ({ what, body, keyless: [], keyed: [code] });

const SAID: readonly Said[] = [
  both('cut off', '{"id":', 'RECORD_UNREADABLE'),
  both('not UTF-8', Buffer.from('7b2261223a22c328227d', 'hex'), 'RECORD_UNREADABLE'),
  both('empty', '', 'RECORD_UNREADABLE'),
  both('random bytes', Buffer.from('00ff10807f', 'hex'), 'RECORD_UNREADABLE'),
  both('a NUL character', '\u0000', 'RECORD_UNREADABLE'),
  both('NaN, which is no JSON', raw('"n":NaN'), 'RECORD_UNREADABLE'),
  both('null', 'null', 'USER_CODE'),
  both('a number', '7', 'RECORD_TIME'),
  both('a list', '[]', 'RECORD_TIME'),
  both('no time', '{"id":"k","site":"x"}', 'RECORD_TIME'),
  both('a time that is a word', record({ at: 'yesterday' }), 'RECORD_TIME'),
  both('a time in 292 million years', record({ at: 2 ** 63 }), 'RECORD_TIME'),
  both('a time of 1e308', record({ at: 1e308 }), 'RECORD_TIME'),
  both('a time of −1e308', record({ at: -1e308 }), 'RECORD_TIME'),
  both('a time of tomorrow', record({ at: Date.now() + 86_400_000 }), 'RECORD_TIME'),
  both('a day that there is not', record({ at: '2023-02-31' }), 'RECORD_TIME'),
  both('a time in ns, an integer beyond 2^53', record({ id: 'ns', at: 1.7e18 }), 'RECORD_TIME'),
  fine('a time before 1970', record({ at: -1 })),
  fine('a time in seconds', record({ at: Math.floor(AT / 1000) })),
  fine('a time as text without a zone', record({ at: new Date(AT).toISOString().slice(0, -1) })),
  both('nested 200,000 deep', raw(`"deep":${nested(200_000)}`), 'RECORD_UNWRITABLE'),
  keyed('nested 120 deep', raw(`"deep":${nested(120)}`), 'RECORD_UNWRITABLE'),
  fine('nested 90 deep', raw(`"deep":${nested(90)}`)),
  fine('fields that would be prototypes', raw('"__proto__":{"x":1},"constructor":{"prototype":{"y":1}}')),
  fine('a repeated field', raw('"n":1,"n":2')),
  fine('a lone surrogate', raw('"t":"\\ud800"')),
  fine('an integer beyond 2^53', raw('"n":9007199254740993')),
  both('an integer of 1,001 digits', raw(`"n":${'9'.repeat(1_001)}`), 'RECORD_UNREADABLE'),
  fine('numbers at the edge', raw('"z":-0,"i":1e400,"t":5e-324')),
  fine('100,000 fields', record(Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`f${i}`, 1])))),
  site('a b'),
  site('a.b'),
  site('*'),
  site('>'),
  site(''),
  site('\u0000'),
  site('\ud800'),
  site(1.5),
  site(null),
  site({}),
  site('x'.repeat(2_000)),
  keyed('no key', `{"at":${AT},"site":"x"}`, 'RECORD_KEY'),
  keyed('a key that is null', record({ id: null }), 'RECORD_KEY'),
  keyed('a key that is an object', record({ id: {} }), 'RECORD_KEY'),
  keyed('a double as key that may stand for several integers', record({ id: 1e300 }), 'RECORD_KEY'),
  keyed('a huge key', record({ id: 'k'.repeat(5_000) }), 'RECORD_KEY'),
  fine('a key of control characters', record({ id: '\u0000\u0006' })),
  fine('keys named as methods', record({ id: '__proto__' })),
  fine('an unknown content type', record({ n: 1 }), { 'Content-Type': 'application/x-unheard-of' }),
  both('a content type that lies', record({}), 'RECORD_UNREADABLE', { 'Content-Type': 'application/msgpack' }),
  fine('MessagePack', pack({ id: 'k', at: AT, site: 'x' }), { 'Content-Type': 'application/msgpack' }),
  both('MessagePack that claims a billion items', Buffer.from('dd3b9aca00'.repeat(50), 'hex'), 'RECORD_UNREADABLE', {
    'Content-Type': 'application/msgpack',
  }),
  both('a CloudEvent that is none', record({}), 'RECORD_UNREADABLE', {
    'Content-Type': 'application/cloudevents+json',
  }),
  fine('gzip', gzipSync(record({})), { 'Content-Encoding': 'gzip' }),
  fine('deflate', deflateSync(record({})), { 'content-encoding': 'deflate' }),
  both('gzip that is none', record({}), 'RECORD_UNREADABLE', { 'Content-Encoding': 'gzip' }),
  both('an unknown encoding', record({}), 'RECORD_UNREADABLE', { 'Content-Encoding': 'zstd' }),
  both('a bomb', gzipSync(Buffer.alloc(200 << 20, ' ')), 'RECORD_UNREADABLE', { 'Content-Encoding': 'gzip' }),
  fine('huge headers', record({}), { 'X-Huge': 'h'.repeat(40_000), 'X-Again': Array.from({ length: 500 }, () => 'é') }),
  fine('headers named as prototypes', record({}), { __proto__: 'x', constructor: 'y' }),
  both('as large as a message may be', record({ t: 'x'.repeat(PAYLOAD_BYTES_MAX - 200) }), 'MESSAGE_TOO_LARGE'),
  ...(
    [
      ['throw-error', 'USER_CODE'],
      ['throw-text', 'USER_CODE'],
      ['throw-null', 'USER_CODE'],
      ['throw-frozen', 'USER_CODE'],
      ['throw-getter', 'USER_CODE'],
      ['promise', 'USER_CODE'],
      ['function', 'RECORD_UNWRITABLE'],
      ['symbol', 'RECORD_UNWRITABLE'],
      ['circle', 'RECORD_UNWRITABLE'],
      ['instance', 'RECORD_UNWRITABLE'],
      ['huge', 'MESSAGE_TOO_LARGE'],
    ] as const
  ).map(([act, code]) => keyed(`user code: ${act}`, record({ act }), code)),
];

const PIPELINE = (name: string, body: string) => `import * as m from 'millrace';
const small = { maxBytes: 2 ** 26 };
type Row = { id: string; site: string; act?: string };
class Hostile extends Error { get message() { throw new Error('no'); } }
class Instance {}
function act(row: Row): unknown {
  const circle = {}; circle.self = circle;
  switch (row.act) {
    case 'throw-error': throw new Error('no good');
    case 'throw-text': throw 'just text';
    case 'throw-null': throw null;
    case 'throw-frozen': throw Object.freeze({});
    case 'throw-getter': throw new Hostile();
    case 'promise': return Promise.reject(new Error('nobody waits'));
    case 'function': return { ...row, f: () => 1 };
    case 'symbol': return { ...row, s: Symbol('s') };
    case 'circle': return { ...row, circle };
    case 'instance': return { ...row, i: new Instance() };
    case 'huge': return { ...row, t: 'x'.repeat(2 ** 21) };
  }
  return row;
}
export default m.pipeline('${name}', ({ from }) => {
  const rows = from<Row>('bad.in', { name: 'entries', capture: small, time: 'at', maxOutOfOrder: '1000000d' });
${body}
}, { partitions: 2 });
`;

/** By sequence in the source stream, what became of it. */
async function lettersOf(
  pipeline: string,
): Promise<Map<number, { code: string; message: string; bytes: Uint8Array }[]>> {
  const found = new Map<number, { code: string; message: string; bytes: Uint8Array }[]>();
  for (const letter of await scene.output(`MR_${pipeline}_letters`, `millrace.${pipeline}.dead.>`).read()) {
    const head = letter.headers ?? {};
    const seq = Number(/:(\d+)$/.exec(head['Millrace-Origin'] ?? '')?.[1]);
    const { 'Millrace-Error': code = '', 'Millrace-Message': message = '' } = head;
    found.set(seq, [...(found.get(seq) ?? []), { code, message, bytes: letter.data }]);
  }
  return found;
}

test('each wrong input is a dead letter with its code, and the rest comes out once, across a kill', async () => {
  const keyless = PIPELINE(
    'keyless',
    `rows.to('bad.owned.{partition}', { name: 'owned' });
     rows.map(row => ({ site: row.site })).to('bad.shared.{site}', { name: 'shared' });`,
  );
  const stateful = PIPELINE(
    'keyed',
    `rows.keyBy('id', { name: 'keyed' })
       .process({ name: 'counted', onRecord(row, context) { context.state = (context.state ?? 0) + 1; context.emit(row); } })
       .map(act, { name: 'judge' })
       .process({ name: 'again', onRecord(row, context) { context.state = row; context.emit(row); } })
       .to('bad.kept.{partition}', { name: 'kept' });`,
  );
  for (const [name, text] of [
    ['keyless', keyless],
    ['keyed', stateful],
  ] as const) {
    assert.equal(await scene.deploy(client, { text }), name);
    await running(client, name);
  }
  const say = async (said: Pick<Said, 'body' | 'headers'>) => {
    const head = headers();
    for (const [name, values] of Object.entries(said.headers ?? {})) {
      for (const value of Array.isArray(values) ? values : [values]) head.append(name, value as string);
    }
    scene.connection.publish('bad.in', said.body, said.headers === undefined ? {} : { headers: head });
    await scene.connection.flush();
  };
  const good = (i: number) => record({ id: `good-${i % 5}`, i });
  for (const [i, said] of SAID.entries()) {
    await say({ body: good(i) });
    await say(said);
    if (i === SAID.length >> 1) await worker.kill();
  }
  await worker.start();
  await say({ body: good(SAID.length) });

  const seqOf = (i: number) => 2 * i + 2;
  const owned = scene.output('bad_owned', 'bad.owned.*');
  const kept = scene.output('bad_kept', 'bad.kept.*');
  const shared = scene.output('bad_shared', 'bad.shared.*');
  const wanted = SAID.filter(said => said.keyed.length === 0).length + SAID.length + 1;
  // What the owned sink cannot write is no matter to the shared one, which writes the site alone.
  const writable = (said: Said) => ['', 'RECORD_UNWRITABLE', 'MESSAGE_TOO_LARGE'].includes(said.keyless[0] ?? '');
  const wantedShared = SAID.filter(writable).length + SAID.length + 1;
  const told = async (pipeline: string) => [...(await lettersOf(pipeline)).values()].flat().length;
  await eventually(
    'everything has come out',
    async () =>
      (await kept.rows()).length >= wanted &&
      (await shared.rows()).length >= wantedShared &&
      (await told('keyless')) >= SAID.flatMap(said => said.keyless).length &&
      (await told('keyed')) >= SAID.flatMap(said => said.keyed).length,
    async () => {
      const lacking: string[] = [];
      for (const of of ['keyless', 'keyed'] as const) {
        const letters = await lettersOf(of);
        for (const [i, said] of SAID.entries()) {
          const codes = (letters.get(seqOf(i)) ?? []).map(({ code }) => code);
          if (codes.join() !== said[of].join()) lacking.push(`${of}: ${said.what}: ${codes.join() || 'nothing'}`);
        }
      }
      const rows = [(await kept.rows()).length, wanted, (await shared.rows()).length, wantedShared];
      return `${rows.join(' ')} ${lacking.join('; ')} ${worker.said()}`;
    },
  );

  for (const of of ['keyless', 'keyed'] as const) {
    const letters = await lettersOf(of);
    for (const [i, said] of SAID.entries()) {
      const found = letters.get(seqOf(i)) ?? [];
      assert.deepEqual(
        found.map(({ code }) => code),
        said[of],
        `${of}: ${said.what}`,
      );
      for (const { bytes, message } of found) {
        const sent = Buffer.from(said.body);
        assert.notEqual(message, '', said.what);
        assert.ok(Buffer.compare(sent.subarray(0, bytes.length), Buffer.from(bytes)) === 0, `${of}: ${said.what}`);
      }
    }
  }
  const goods = Array.from({ length: SAID.length + 1 }, (_, i) => good(i));
  const isGood = (row: string) => row.includes('"good-');
  assert.deepEqual((await owned.rows()).filter(isGood), goods);
  assert.deepEqual((await kept.rows()).filter(isGood).sort(), [...goods].sort());
  assert.equal((await kept.rows()).length, wanted);
  assert.equal((await shared.rows()).length, wantedShared);
  const special = (part: string) => kept.rows().then(rows => rows.find(row => row.includes(part)));
  assert.match((await special('"constructor"')) ?? '', /"__proto__":\{"x":1\},"constructor":\{"prototype":\{"y":1\}\}/);
  assert.match((await special('"t":5e-324')) ?? '', /"z":0,"i":null/);
  assert.ok(await special('"n":9007199254740993}'));
  assert.ok(await special('\\ud800'));
  assert.equal((await special('"n":2'))?.includes('"n":1'), false);
  for (const name of ['keyless', 'keyed']) assert.equal((await client.get(name)).status.state, 'running');
});

test('values of 10 MB pass where the broker takes them; those nested a million deep are dead letters', async () => {
  const large = await Scene.open({ maxPayloadBytes: 64 << 20 });
  try {
    const other = large.worker();
    await other.start();
    const admin = large.client(other);
    const text = `import * as m from 'millrace';
export default m.pipeline('large', ({ from }) => {
  const rows = from<{ id: string; t: string }>('large.in', { name: 'entries', capture: { maxBytes: 2 ** 28 } });
  rows.to('large.plain.{partition}', { name: 'plain' });
  rows.keyBy('id').process({ onRecord(row, context) { context.state = row; context.emit(row); } }).to('large.kept.{partition}');
}, { partitions: 2 });
`;
    await large.deploy(admin, { text });
    await running(admin, 'large');
    const bodies = [0, 1].map(i => JSON.stringify({ id: `k${i}`, t: `${i}`.repeat(10 << 20) }));
    const deep = `{"id":"deep","t":${nested(1_000_000)}}`;
    for (const body of [bodies[0]!, deep, bodies[1]!]) {
      large.connection.publish('large.in', body);
      await large.connection.flush();
    }
    const plain = large.output('large_plain', 'large.plain.*');
    const kept = large.output('large_kept', 'large.kept.*');
    const letters = large.output('MR_large_letters', 'millrace.large.dead.>');
    await eventually('all have come out', async () => {
      const rows = [(await plain.rows()).length, (await kept.rows()).length, (await letters.read()).length];
      return rows[0]! >= 2 && rows[1]! >= 2 && rows[2]! >= 2;
    });
    // Not compared as a whole: a difference of 10 MB makes no good message.
    const lengths = (rows: readonly string[]) => rows.map(row => `${row.slice(0, 20)} ${row.length}`).sort();
    assert.deepEqual(lengths(await plain.rows()), lengths(bodies));
    assert.deepEqual(lengths(await kept.rows()), lengths(bodies));
    const told = (await letters.read()).map(({ headers: head, data }) => [head?.['Millrace-Error'], data.length]);
    assert.deepEqual(told, [
      ['RECORD_UNWRITABLE', deep.length],
      ['RECORD_UNWRITABLE', deep.length],
    ]);
  } finally {
    await large.close();
  }
});
