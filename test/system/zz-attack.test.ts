/** x */
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { askOrThrow } from '../../lib/nats/api.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { pause, Scene } from './scene.ts';
import { appendFileSync } from 'node:fs';

let scene: Scene; let worker: WorkerProcess; let client: AdminClient;
const out = (...args: unknown[]) => appendFileSync('/tmp/l14/attack.txt', args.map(a => typeof a === 'string' ? a : JSON.stringify(a)).join(' ') + '\n');
before(async () => {
  scene = await Scene.open();
  worker = scene.worker('worker', ['--stuck-seconds', '3']);
  await worker.start();
  client = scene.client(worker);
});
after(() => scene.close());
const make = (name: string, config: object = {}) => askOrThrow(scene.link, `STREAM.CREATE.${name}`, { name, storage: 'file', num_replicas: 1, ...config });
async function edit(name: string, change: object) {
  const { config } = await askOrThrow<{ config: object }>(scene.link, `STREAM.INFO.${name}`);
  await askOrThrow(scene.link, `STREAM.UPDATE.${name}`, { ...config, ...change });
}
const deploy = async (name: string, body: string, head = '') => {
  try { await scene.deploy(client, { text: `import { pipeline, count, sum, tumbling, hopping, session, aggregate } from 'millrace';\n${head}\nexport default pipeline('${name}', ({ from, table }) => {\n${body}\n}, { partitions: 2 });\n` }); return true; }
  catch (e) { out(name, 'REFUSED', String((e as Error).message).slice(0, 500)); return false; }
};
const put = (stream: string, subject: string, rows: readonly string[]) => scene.log.appendAll(rows.map(r => ({ stream, subject, data: Buffer.from(r) })));
async function report(name: string, waitMs = 0) {
  await pause(waitMs);
  const info = await client.get(name).catch(e => ({ status: { state: String(e), reason: '', counts: {} } }));
  const s = info.status as any;
  const stream = await scene.streamOf(`${name}.out.>`);
  const rows = stream === null ? [] : await scene.output(stream, `${name}.out.>`).read();
  const letters = await client.letters({ pipeline: name }, { content: true }).catch(() => ({ total: -1, items: [] }));
  out('==', name, s.state, (s.reason ?? '').slice(0, 400), s.counts);
  out('   rows', rows.length, rows.slice(0, 24).map(m => `${m.subject} ${Buffer.from(m.data).toString().slice(0, 110)}`));
  out('   letters', letters.total, letters.items.slice(0, 12).map((l: any) => `${l.code} ${(l.message ?? '').slice(0, 90)} <- ${Buffer.from(l.content ?? '').toString().slice(0, 60)}`));
}
const cases: Record<string, () => Promise<void>> = {
  async keys() {
    await make('keys', { subjects: ['keys.in'] });
    if (!await deploy('keys', `from<any>('keys.in').keyBy('id').to('keys.out.{id}');`)) return;
    await put('keys', 'keys.in', ['{"id":1.0,"v":"1.0"}', '{"id":1}', '{"id":1e400}', '{"id":-0}', '{"id":1E21}', '{"id":9007199254740993}', '{"id":0.1000000000000000055511151231257827}', '{"id":1,"id":2}', '{"__proto__":{"id":"p"},"id":"q"}', '{"id":"\\ud800"}', '{"id":"a b"}', '{"id":"a.b"}', '{"id":"*"}', '{"id":">"}', '{"id":""}', '{"id":"\\u0000"}', '{"id":"' + 'k'.repeat(300) + '"}', '{"id":null}', '{"id":[1]}', '{"id":{}}', '{"id":true}', '{"constructor":1,"id":"toString"}', '[]', '7', 'null', '""']);
    await report('keys', 4000);
  },
  async times() {
    await make('times', { subjects: ['times.in'] });
    if (!await deploy('times', `from<any>('times.in', { time: (r: any) => r.t }).map(r => r).to('times.out.{n}');`)) return;
    await put('times', 'times.in', ['"2024-02-29T24:00:00Z"', '"2016-12-31T23:59:60Z"', '"2024-02-30T00:00:00Z"', '"9999-12-31T23:59:59Z"', '-1', '1e20', '"12/01/2024"', '"2024-W01"', '1700000000', '"1700000000000"', '"2024-01-01"', '"2024-01-01T00:00:00+25:00"', '" 2024-01-01T00:00:00Z "', '"2024-01-01T00:00:00.123456789Z"', 'null', '1.5', '"infinity"'].map((t, n) => `{"n":${n},"t":${t}}`));
    await report('times', 4000);
  },
  async weird() {
    await make('weird', { subjects: ['weird.in'] });
    if (!await deploy('weird', `from<any>('weird.in').map((r: any) => {
      switch (r.k) {
        case 'null': throw null; case 'undef': return undefined; case 'promise': return Promise.resolve(1) as any; case 'recur': { const f = (): any => f() + 1; return f(); }
        case 'symbol': return { a: Symbol('x') }; case 'fn': return { a: () => 1 }; case 'cycle': { const o: any = {}; o.o = o; return o; }
        case 'proxy': { const p = Proxy.revocable({}, {}); p.revoke(); return p.proxy; } case 'throwproxy': { const p = Proxy.revocable({}, {}); p.revoke(); throw p.proxy; }
        case 'getter': return { get a() { throw new Error('g'); } }; case 'bigstr': return { s: 'x'.repeat(3e6) }; case 'regex': return /^(a+)+$/.test('a'.repeat(40) + '!');
        case 'freeze': Object.freeze(Object.prototype); return r; case 'exit': process.exit(3); case 'kill': process.kill(process.pid, 'SIGUSR2'); return r; case 'date': return { d: new Date(NaN) };
        case 'timer': setTimeout(() => { throw new Error('late'); }, 10); return r; case 'reject': void Promise.reject(new Error('unhandled')); return r; case 'emoji': return { '\\ud800': '\\udc00' };
        default: return r; } }).to('weird.out.{partition}', { frame: 'none' });`)) return;
    const ks = ['ok1', 'null', 'undef', 'promise', 'recur', 'symbol', 'fn', 'cycle', 'proxy', 'throwproxy', 'getter', 'bigstr', 'date', 'emoji', 'timer', 'reject', 'ok2'];
    await put('weird', 'weird.in', ks.map(k => `{"k":"${k}"}`));
    await report('weird', 8000);
    await put('weird', 'weird.in', ['regex', 'ok3', 'exit', 'ok4'].map(k => `{"k":"${k}"}`));
    await report('weird', 25000);
  },
  async sessions() {
    await make('sess', { subjects: ['sess.in'] });
    if (!await deploy('sess', `from<any>('sess.in', { time: (r: any) => r.t }).keyBy('id').window(session({ gap: '10s' })).aggregate({ all: aggregate<any, number[], number>({ init: () => [], add: (a, v) => { a.push(v.t); return a; }, merge: (l, r) => [...l, ...r], result: a => a.length }) }).to('sess.out.{partition}');`)) return;
    const t0 = 1_700_000_000_000;
    await put('sess', 'sess.in', Array.from({ length: 8000 }, (_, i) => `{"id":"a","t":${t0 + i * 20000}}`));
    await put('sess', 'sess.in', Array.from({ length: 8000 }, (_, i) => `{"id":"a","t":${t0 + 10000 + i * 20000}}`));
    await report('sess', 8000);
  },
  async hop() { await make('hop', { subjects: ['hop.in'] }); await deploy('hop', `from<any>('hop.in').keyBy('id').window(hopping({ size: '30d', advance: '1ms' })).aggregate({ n: count() }).to('hop.out.{partition}');`) && await report('hop', 1000); },
  async flood() { await make('flood', { subjects: ['flood.in'] }); if (!await deploy('flood', `from<any>('flood.in').flatMap((r: any) => Array.from({ length: r.n }, (_, i) => ({ i }))).keyBy('i').dedupe({ id: (r: any) => String(r.i), within: '1h' }).to('flood.out.{partition}');`)) return; await put('flood', 'flood.in', ['{"n":300000}', '{"n":3}']); await report('flood', 12000); },
  async recreate() { await make('rec', { subjects: ['rec.in'] }); if (!await deploy('rec', `from<any>('rec.in').to('rec.out.{partition}');`)) return; await put('rec', 'rec.in', ['{"a":1}']); await pause(1500); await scene.log.deleteStream('rec'); await make('rec', { subjects: ['rec.in'] }); await put('rec', 'rec.in', ['{"a":2}', '{"a":3}']); await report('rec', 6000); },
  async resgone() { await make('rg', { subjects: ['rg.in'] }); if (!await deploy('rg', `from<any>('rg.in').to('rg.out.{partition}');`)) return; await put('rg', 'rg.in', ['{"a":1}']); await pause(2500); await scene.log.deleteStream((await scene.streamOf('rg.out.>'))!); await put('rg', 'rg.in', ['{"a":2}']); await report('rg', 8000); },
  async respurge() { await make('rp', { subjects: ['rp.in'] }); if (!await deploy('rp', `from<any>('rp.in').to('rp.out.{partition}');`)) return; await put('rp', 'rp.in', ['{"a":1}']); await pause(2500); await askOrThrow(scene.link, `STREAM.PURGE.${(await scene.streamOf('rp.out.>'))!}`, {}); await put('rp', 'rp.in', ['{"a":2}']); await report('rp', 6000); },
  async subjectsmoved() { await make('sm', { subjects: ['sm.in'] }); if (!await deploy('sm', `from<any>('sm.in').to('sm.out.{id}');`)) return; await put('sm', 'sm.in', ['{"id":1}']); await pause(2500); const s = (await scene.streamOf('sm.out.>'))!; await edit(s, { subjects: ['sm.out.1', '_mr.sm.m.>'] }); await put('sm', 'sm.in', ['{"id":2}', '{"id":1}']); await report('sm', 8000); },
  async kv() {
    await askOrThrow(scene.link, 'STREAM.CREATE.KV_kvb', { name: 'KV_kvb', subjects: ['$KV.kvb.>'], storage: 'file', num_replicas: 1, max_msgs_per_subject: 1, allow_rollup_hdrs: true, discard: 'new' });
    await make('kvp', { subjects: ['kvp.in'] });
    await scene.log.appendAll(['a', 'b', 'c.d', 'e=/f'].map(k => ({ stream: 'KV_kvb', subject: `$KV.kvb.${k}`, data: Buffer.from(`{"row":"${k}"}`) })));
    if (!await deploy('kvp', `from<any>('kvp.in').keyBy('id').leftJoin(table('kvb'), (l: any, r: any) => ({ ...l, r })).to('kvp.out.{partition}', { frame: 'none' });`)) return;
    await pause(3000);
    const ask = () => put('kvp', 'kvp.in', ['a', 'b', 'c.d', 'e=/f'].map(id => JSON.stringify({ id })));
    await ask(); await pause(2000);
    const last = await scene.log.last({ stream: 'KV_kvb', subject: '$KV.kvb.b' });
    await askOrThrow(scene.link, 'STREAM.MSG.DELETE.KV_kvb', { seq: last!.seq });
    await pause(8000); await ask(); await report('kvp', 4000);
    await scene.log.deleteStream('KV_kvb');
    await askOrThrow(scene.link, 'STREAM.CREATE.KV_kvb', { name: 'KV_kvb', subjects: ['$KV.kvb.>'], storage: 'file', num_replicas: 1, max_msgs_per_subject: 1, allow_rollup_hdrs: true, discard: 'new' });
    await pause(9000); await ask(); await report('kvp', 4000);
  },
  async lessons() {
    for (const [n, c] of Object.entries({ pedantic: { max_msgs_per_subject: 1 }, tinybytes: { max_bytes: 3000, discard: 'new' }, tinyold: { max_bytes: 3000, discard: 'old' }, aged: { max_age: 1_000_000_000, duplicate_window: 100_000_000 }, perms: { deny_delete: true, deny_purge: true }, smallmsg: { max_msg_size: 1200 } })) {
      await make(n, { subjects: [`${n}.in`] }); await make(`${n}_OUT`, { subjects: [`${n}.out.>`], ...c });
      if (await deploy(n, `from<any>('${n}.in').to('${n}.out.{partition}', { frame: 'none' });`)) await put(n, `${n}.in`, Array.from({ length: 20 }, (_, i) => JSON.stringify({ i, pad: 'x'.repeat(100) })));
    }
    await pause(4000);
    for (const n of ['pedantic', 'tinybytes', 'tinyold', 'aged', 'perms', 'smallmsg']) await put(n, `${n}.in`, ['{"i":99}']);
    for (const n of ['pedantic', 'tinybytes', 'tinyold', 'aged', 'perms', 'smallmsg']) await report(n, 1500);
    await client.restart('aged'); await client.restart('tinyold'); await pause(5000); await put('aged', 'aged.in', ['{"i":100}']); await put('tinyold', 'tinyold.in', ['{"i":100}']);
    await report('aged', 4000); await report('tinyold', 10);
  },
};
test('attack', { timeout: 550_000 }, async () => {
  for (const [name, run] of Object.entries(cases)) {
    out('\n#### ' + name);
    await run().catch(e => out('THREW', name, String(e).slice(0, 400)));
  }
  const api = await client.list?.().catch((e: unknown) => String(e));
  out('alive', typeof api);
  out(worker.said().slice(-6000));
});
