/** Both ends of the seam on a real channel between threads, the engine's end with a real engine on a broker in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type Clock, systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { bundleBlob } from '../../../lib/bundle/stored.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { CallWatch, type Site } from '../../../lib/operator/call-watch.ts';
import { EngineEnd, withSince } from '../../../lib/seam/engine-end.ts';
import { HostEnd } from '../../../lib/seam/host-end.ts';
import type { ToEngine, ToHost } from '../../../lib/seam/messages.ts';
import type { Plan } from '../../../lib/topology/plan.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { Recorder, until } from '../host/fakes.ts';

const cars = pipeline(
  'cars',
  ({ from }) => {
    const rows = from<{ car: string }>('in').keyBy('car', { name: 'by-car' });
    rows.dedupe({ id: ({ car }) => car, within: '1h', name: 'once' }).to('out.{partition}', { name: 'out' });
  },
  { partitions: 2 },
);

const ORDER = {
  pipeline: 'cars',
  life: 'aaaaaaaaaa',
  revision: 3,
  bundle: 'hash',
  file: 'cars.ts',
  program: 2,
  since: {},
  assignment: { number: 1, parts: 'all' },
} as const;

/** Its timers do not keep the process: what has stopped may have asked to be called much later. */
const clock: Clock = {
  ...systemClock,
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs).unref();
    return () => clearTimeout(timer);
  },
};
let broker: MemoryBroker;
let stores: MemoryStores;
let host: HostEnd;
let observer: Recorder;
let ports: MessagePort[];
let sites: Site[];
let said: ToHost[];
let read: { source: string; records: number }[];
let planned: (plan: Plan) => Plan;
beforeEach(async () => {
  broker = new MemoryBroker({ clock });
  broker.create({ name: 'in', subjects: ['in'] });
  const log = broker.client('engine');
  const blobs = new MemoryBlobs({ clock });
  await blobs.put(bundleBlob('hash'), Buffer.from('code'));
  stores = new MemoryStores({ clock });
  observer = new Recorder();
  [sites, said, read] = [[], [], []];
  planned = plan => plan;
  const { port1: near, port2: far } = new MessageChannel();
  ports = [near, far];
  const engine = new EngineEnd({
    port: far,
    around: { log, blobs, stores, clock, random: new Random(1) },
    plan: async () => planned(await planOrThrow(cars, log)),
    callWatch: new CallWatch({
      named: (number, site) => far.postMessage({ kind: 'site', number, site } satisfies ToHost),
    }),
  });
  far.on('message', (message: ToEngine) => engine.hear(message));
  const meter = {
    ...{ sent() {}, committed() {}, delivered() {}, ended() {}, restarted() {} },
    read: (source: string, { records }: { records: number }) => void read.push({ source, records }),
  };
  host = new HostEnd({ port: near, observer, meter: () => meter });
  near.on('message', (message: ToHost) => {
    said.push(message);
    if (message.kind === 'site') sites.push(message.site);
    else host.hear(message);
  });
});
afterEach(async () => {
  // Also what the host has lost.
  const runs = said.flatMap(message => (message.kind === 'started' ? [message.run] : []));
  said = [];
  for (const run of runs) ports[0]!.postMessage({ kind: 'stop', run, deadlineMs: 1_000 } satisfies ToEngine);
  await until('all has ended', () => said.filter(({ kind }) => kind === 'stopped').length >= runs.length);
  ports[0]!.postMessage({ kind: 'close' } satisfies ToEngine);
  for (const port of ports) port.close();
});

async function publish(...cars: string[]): Promise<void> {
  const log = broker.client('publisher');
  for (const car of cars) await log.append({ subject: 'in', data: Buffer.from(JSON.stringify({ car })) });
}

const rows = () => broker.stream('out')?.lastSeq ?? 0;

describe('a pipeline behind the seam', () => {
  test('runs, says how it is, is asked for its state, and hands everything over', async () => {
    const running = await host.start(ORDER);
    await until('it runs', () => running.status().state === 'running');
    await publish('a', 'b', 'a');
    await until('both are out', () => rows() === 2);
    await until(
      'it says so',
      () => running.status().counts.in === 3 && running.status().counts.dropped.duplicate === 1,
    );
    assert.equal(running.status().tasks.length, 2);
    const [table] = await running.state.tables();
    assert.deepEqual([table!.operator, table!.entries], ['once', 2]);
    const { items } = await running.state.scan({
      ...{ operator: 'once', table: null, partition: null, pageSize: 10, pageToken: null },
    });
    assert.deepEqual(items.map(({ key }) => key).sort(), ['a', 'b']);
    assert.equal((await running.state.get({ operator: 'once', key: 'a' })).length, 1);
    await running.stop({ deadlineMs: 1_000 });
    assert.ok(observer.names().includes('reader.opened'));
    assert.deepEqual([...new Set(sites.map(site => `${site.pipeline} ${site.revision}`))], ['hash 0', 'cars 3']);
  });

  test('has all that it counted told before its end', async () => {
    const running = await host.start(ORDER);
    await publish('a', 'b');
    await until('both are out', () => rows() === 2);
    await running.stop({ deadlineMs: 1_000 });
    assert.equal(
      read.reduce((sum, { records }) => sum + records, 0),
      2,
    );
    assert.equal(said.at(-1)!.kind, 'stopped');
  });

  test('says nothing twice', async () => {
    const running = await host.start(ORDER);
    await until('it runs', () => running.status().state === 'running');
    // Several looks go by.
    await new Promise(resolve => setTimeout(resolve, 1_000));
    const statuses = said.flatMap(message => ('status' in message ? [JSON.stringify(message.status)] : []));
    assert.deepEqual(
      statuses.filter((status, i) => status === statuses[i - 1]),
      [],
    );
    await running.stop({ deadlineMs: 1_000 });
  });

  test('takes nothing on its output subjects for its own that was there before its deploy', async () => {
    const plan = await planOrThrow(cars, broker.client('test'));
    assert.equal(withSince(plan, { out: 42, gone: 7 }).sinks[0]!.target.sinceSeq, 42);
    assert.equal(withSince(plan, {}).sinks[0]!.target.sinceSeq, undefined);
    assert.equal(plan.sinks[0]!.target.sinceSeq, undefined);
  });

  test('that cannot start says why, by its code, and nothing of it is left', async () => {
    planned = () => {
      throw new MillraceError('PLAN_INVALID', 'cars.ts:1:1: no', { cause: new Error('why') });
    };
    const isInvalid = (error: unknown) => isMillraceError(error, 'PLAN_INVALID') && error.cause instanceof Error;
    await assert.rejects(host.start(ORDER), isInvalid);
    await assert.rejects(host.start({ ...ORDER, bundle: 'other' }), error => isMillraceError(error, 'NOT_FOUND'));
  });

  test('that stops by itself says why, with the code that decides what becomes of it', async () => {
    const running = await host.start(ORDER);
    await publish('a');
    await until('it is out', () => rows() === 1);
    broker.client('person').deleteStream('in');
    const error = await running.failed;
    assert.deepEqual([error.code, error.fate], ['STREAM_MISSING', 'stop']);
  });

  test('answers a question that is wrong with the error, by its code', async () => {
    const running = await host.start(ORDER);
    const nobody = running.state.get({ operator: 'nobody', key: 'a' });
    await assert.rejects(nobody, error => isMillraceError(error, 'NOT_FOUND'));
    await running.stop({ deadlineMs: 1_000 });
    await assert.rejects(running.state.tables(), error => isMillraceError(error, 'WORKER_UNAVAILABLE'));
  });
});

describe('an engine that is gone', () => {
  test('loses what ran in it, which has not failed by itself, and answers nobody', async () => {
    const running = await host.start(ORDER);
    const asked = running.state.tables();
    const starting = host.start({ ...ORDER, pipeline: 'other' });
    host.lose('the engine is started anew');
    assert.equal((await running.failed).code, 'ENGINE_LOST');
    await assert.rejects(starting, error => isMillraceError(error, 'ENGINE_LOST'));
    await assert.rejects(asked, error => isMillraceError(error, 'WORKER_UNAVAILABLE'));
    await assert.rejects(running.state.tables(), error => isMillraceError(error, 'WORKER_UNAVAILABLE'));
    await assert.rejects(host.start(ORDER), error => isMillraceError(error, 'ENGINE_LOST'));
    await running.stop({ deadlineMs: 60_000 });
  });

  test('ends a stop that waits for it, and that is no failure', async () => {
    const running = await host.start(ORDER);
    let failed = false;
    void running.failed.then(() => {
      failed = true;
    });
    const stopped = running.stop({ deadlineMs: 60_000 });
    host.lose('the engine is started anew');
    await stopped;
    await new Promise(resolve => setImmediate(resolve));
    assert.equal(failed, false);
  });

  test('that does not answer is waited for, and the status says for what', async () => {
    const running = await host.start(ORDER);
    await until('it runs', () => running.status().state === 'running');
    host.stall = 'a function of once does not return';
    host.silentMs = 3_000;
    const { state, reason } = running.status();
    assert.deepEqual([state, reason], ['waiting', 'a function of once does not return']);
    assert.equal(running.status().ageMs, 3_000, 'what is told of it is older than it looks');
    host.stall = null;
    assert.equal(running.status().state, 'running');
  });
});
