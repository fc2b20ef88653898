/**
 * Workers, tasks, state, letters and events through the client, and what becomes of streams that nobody reads or that are
 * left.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { type ErrorCode, isMillraceError } from '../../../lib/base/errors.ts';
import { bundlePipeline, type EventInfo } from '../../../lib/client.ts';
import { aboutHandlers } from '../../../lib/control/about.ts';
import { Caller } from '../../../lib/control/roles.ts';
import { methodSchema } from '../../../lib/control/schema.ts';
import { ClusterEvents } from '../../../lib/host/cluster-events.ts';
import { PeerExchange } from '../../../lib/memory/peers.ts';
import { EventMemory } from '../../../lib/observe/history.ts';
import { fakeBundle, until } from '../host/fakes.ts';
import { FakeHistory, likelyFreeAddress, Serving } from './serving.ts';

let serving: Serving;
beforeEach(() => {
  serving = new Serving();
});
afterEach(() => serving.stop());

function refused(code: ErrorCode, text: RegExp) {
  return (error: unknown) => isMillraceError(error, code) && text.test(error.message);
}

/** A worker that leads and runs pipeline `p`. */
async function running(options: Parameters<Serving['worker']>[1] = {}) {
  const a = await serving.worker('a', { leaseMs: 60_000, ...options });
  await a.worker.start();
  await a.client.deploy(fakeBundle('p'));
  await until('it runs', () => a.engine.running.length === 1);
  return a;
}

async function firstOf<T>(stream: AsyncGenerator<T>, count: number): Promise<T[]> {
  const seen: T[] = [];
  for await (const one of stream) {
    if (seen.push(one) === count) break;
  }
  return seen;
}

describe('workers and tasks', () => {
  test('are listed, looked at and watched', async () => {
    const { client } = await running();
    const [worker] = await client.workers();
    assert.deepEqual([worker?.name, worker?.active], ['a', true]);
    assert.equal((await client.worker()).name, 'a');
    assert.equal((await client.worker('a')).name, 'a');
    await assert.rejects(client.worker('nobody'), refused('NOT_FOUND', /nobody/));
    const [task] = await client.tasks();
    assert.deepEqual(
      [task?.pipeline, task?.worker, task?.status.stage, task?.status.watermarkMs],
      ['p', 'a', 'join-1', null],
    );
    assert.deepEqual(await client.tasks({ pipeline: 'p' }), await client.tasks());
    const { status } = await client.task({ pipeline: 'p', stage: 'join-1', partition: 3 });
    assert.equal(status.partition, 3);
    await assert.rejects(client.task({ pipeline: 'p', stage: 'join-1', partition: 4 }), refused('NOT_FOUND', /./));
    await assert.rejects(client.tasks({ pipeline: 'q' }), refused('NOT_FOUND', /no pipeline is named q/));
    assert.equal((await firstOf(client.watchWorkers({ intervalMs: 100 }), 2)).length, 2);
    assert.equal((await firstOf(client.watchTasks({ pipeline: 'p', intervalMs: 100 }), 2))[1]![0]!.pipeline, 'p');
  });

  test('pause and resume, and say what a delete would do', async () => {
    const { client } = await running();
    assert.equal(await client.pause('p'), 2);
    assert.equal((await client.get('p')).paused, true);
    assert.equal(await client.resume('p'), 3);
    assert.equal((await client.get('p')).paused, false);
    const would = await client.delete('p', { purge: true, dryRun: true });
    assert.deepEqual(would, { done: false, kept: [], deleted: ['stream MR_p_journal'] });
    assert.equal((await client.list()).length, 1);
  });

  test('are asked of the worker that leads, not answered by one that does not know', async () => {
    const address = likelyFreeAddress();
    const a = await running({ address });
    const b = await serving.worker('b', { leaseMs: 60_000 });
    await b.worker.start();
    await until('it knows who leads', () => b.worker.holder?.name === 'a');
    assert.equal((await b.client.tasks()).length, 1);
    assert.equal((await b.client.worker()).name, 'b');
    assert.equal((await b.client.tables('p'))[0]?.table, 'left');
    assert.deepEqual(await b.client.moves(), []);
    await until('what a runs is known', async () => (await b.client.workers())[0]?.pipelines === 1);
    assert.deepEqual(
      (await b.client.workers()).map(({ name, active, pipelines }) => [name, active, pipelines]),
      [
        ['a', true, 1],
        ['b', false, 0],
      ],
    );
    await a.server.stop({ deadlineMs: 200 });
    await assert.rejects(b.client.tasks(), refused('WORKER_UNAVAILABLE', /no worker answers/));
  });
});

describe('a leader that tells nobody its address', () => {
  test('is named to those who ask another one for what only it knows', async () => {
    const worker = { name: 'b', active: false, holder: { name: 'a', address: null } };
    const { address } = await serving.server({ ...serving.options(), worker });
    const client = serving.client(address);
    const known = refused('WORKER_UNAVAILABLE', /only the worker that leads knows, a: .*--advertise/);
    await assert.rejects(client.tasks(), known);
    await assert.rejects(client.tables('p'), known);
    await assert.rejects(client.moves(), known);
    assert.deepEqual(await client.list(), []);
  });
});

describe('state', () => {
  test('is read by key and by page, with keys of every type', async () => {
    const { client, engine } = await running();
    const asked: unknown[] = [];
    const entry = { operator: 'join-1', table: 'left', partition: 3, bucket: 0 };
    Object.assign(engine.running[0]!.state, {
      get: async (options: { key: string }) => {
        asked.push(options);
        return [{ ...entry, key: options.key, value: { name: 'é', at: [1, null] } }];
      },
      scan: async (options: object) => {
        asked.push(options);
        return { items: [{ ...entry, key: ['de', 7n], value: null }], nextPageToken: 'more' };
      },
    });
    assert.deepEqual(await client.tables('p'), [
      { operator: 'join-1', table: 'left', stage: 'join-1', entries: 9, bytes: 100 },
    ]);
    for (const key of ['e1', 7, -0.5, 12345678901234567890n, true, ['de', [1, 2n], null]]) {
      const [found] = await client.entries({ pipeline: 'p', operator: 'join-1', key });
      assert.deepEqual(asked.pop(), { operator: 'join-1', key });
      assert.deepEqual(found, { ...entry, key, value: { name: 'é', at: [1, null] } });
    }
    const page = await client.scan('p', { operator: 'join-1', partition: 0, pageToken: 'here' });
    assert.deepEqual(page, { items: [{ ...entry, key: ['de', 7n], value: null }], nextPageToken: 'more' });
    const wanted = { operator: 'join-1', table: null, partition: 0, pageSize: 100, pageToken: 'here' };
    assert.deepEqual(asked.pop(), wanted);
    await client.scan('p', { operator: 'join-1' });
    assert.deepEqual(asked.pop(), { ...wanted, partition: null, pageToken: null });
    await assert.rejects(client.tables('q'), refused('NOT_FOUND', /no pipeline is named q/));
    await assert.rejects(
      client.scan('p', { operator: '', pageSize: 2_000 }),
      refused('INVALID_ARGUMENT', /operator is missing.*\npage_size/),
    );
  });
});

describe('letters', () => {
  test('are listed and looked at, null where there is nothing', async () => {
    const { client, letters } = await serving.worker('a');
    const page = await client.letters({ pipeline: 'p', kind: 'dead', numbers: [7] }, { content: true });
    assert.equal(page.total, 12);
    assert.equal(page.nextPageToken, 'more');
    assert.deepEqual(page.items, [{ ...letters.letter, headers: null }]);
    const filter = { pipeline: 'p', kind: 'dead', operator: null, code: null, numbers: [7], sinceMs: null };
    assert.deepEqual(letters.asked.pop(), { filter, options: { pageSize: 100, pageToken: null, content: true } });
    const without = await client.letters({ pipeline: 'p' }, { pageToken: 'more' });
    assert.deepEqual([without.items[0]!.content, without.nextPageToken], [null, null]);
    assert.deepEqual(await client.letter('p', 7), letters.letter);
    letters.letter = { ...letters.letter, kind: 'late', code: null, subject: null };
    assert.deepEqual(await client.letter('p', 7), letters.letter);
    await assert.rejects(client.letter('p', 8), refused('NOT_FOUND', /no letter 8/));
  });

  test('are replayed and discarded, with the progress as it is made', async () => {
    const { client, letters } = await serving.worker('a');
    letters.progress = [
      { seen: 1, replayed: 1, skipped: 0, total: 2, reasons: [] },
      { seen: 2, replayed: 1, skipped: 1, total: 2, reasons: ['it is truncated'] },
    ];
    const replay = client.replayLetters({ pipeline: 'p' }, { toSubject: 'orders.again', keep: true });
    assert.deepEqual(await firstOf(replay, 99), letters.progress);
    assert.deepEqual(letters.asked.pop()!.options, { toSubject: 'orders.again', dryRun: false, keep: true });
    const discard = await firstOf(client.discardLetters({ pipeline: 'p', code: 'USER_CODE' }, { dryRun: true }), 99);
    assert.deepEqual(discard.at(-1), { seen: 2, discarded: 2, total: 2 });
    const wild = client.replayLetters({ pipeline: 'p' }, { toSubject: 'orders.>' });
    await assert.rejects(wild.next(), refused('INVALID_ARGUMENT', /^to_subject is no subject to publish on/));
  });

  test('stop being replayed when the caller leaves', async () => {
    const { client, letters } = await serving.worker('a');
    letters.progress = Array.from({ length: 100 }, (_, seen) => ({
      seen,
      replayed: 0,
      skipped: 0,
      total: 9,
      reasons: [],
    }));
    let release = () => {};
    letters.until = new Promise(resolve => (release = resolve));
    assert.equal((await firstOf(client.replayLetters({ pipeline: 'p' }), 1)).length, 1);
    release();
    await until('it is broken off', () => letters.broken === 1);
  });

  test('do not look replayed when the server stops halfway', async () => {
    const { client, letters, server } = await serving.worker('a');
    letters.progress = Array.from({ length: 2 }, (_, seen) => ({
      seen,
      replayed: 0,
      skipped: 0,
      total: 9,
      reasons: [],
    }));
    let release = () => {};
    letters.until = new Promise(resolve => (release = resolve));
    const replay = client.replayLetters({ pipeline: 'p' });
    await replay.next();
    await replay.next();
    const rest = assert.rejects(replay.next(), refused('WORKER_UNAVAILABLE', /the worker stops/));
    const stopped = server.stop({ deadlineMs: 5_000 });
    release();
    await rest;
    await stopped;
  });
});

describe('events', () => {
  test('come from the past and as they happen, by level and pipeline', async () => {
    const { client, events } = await serving.worker('a');
    for (const [event, level, pipeline] of [
      ['a.one', 'info', 'p'],
      ['a.two', 'debug', 'p'],
      ['a.three', 'error', 'q'],
      ['a.four', 'warn', 'p'],
    ] as const) {
      events.emit({ event, level, pipeline, message: 'm', count: 3, list: ['x'] });
    }
    const past = async (options: object) =>
      (await firstOf(client.events({ past: 10, pastOnly: true, ...options }), 99)).map(({ event }) => event);
    assert.deepEqual(await past({}), ['a.one', 'a.three', 'a.four']);
    assert.deepEqual(await past({ level: 'debug' }), ['a.one', 'a.two', 'a.three', 'a.four']);
    assert.deepEqual(await past({ level: 'warn', pipeline: 'p' }), ['a.four']);
    assert.deepEqual(await past({ past: 1 }), ['a.four']);
    assert.deepEqual(await past({ past: 0 }), []);
    const live = client.events({ past: 1 });
    const first = await live.next();
    const wanted: EventInfo = {
      atMs: 1_003,
      level: 'warn',
      event: 'a.four',
      pipeline: 'p',
      message: 'm',
      fields: { count: 3, list: ['x'] },
      worker: 'a',
    };
    assert.deepEqual(first.value, wanted);
    events.emit({ event: 'a.five', level: 'info' });
    const second = (await live.next()).value as EventInfo;
    assert.deepEqual([second.event, second.pipeline, second.fields], ['a.five', null, {}]);
    await live.return();
    await until('nobody follows any more', () => events.followers.size === 0);
  });

  test('are held for a watcher up to a bound; one that is further behind is told so', async () => {
    const history = new FakeHistory();
    const { worker, about, audit } = serving.options();
    const caller = new Caller({ name: 'n', grants: [{ role: 'read', pipelines: '*' }] }, { from: '', knownBy: '' });
    const request = { pipeline: '', level: 'EVENT_LEVEL_INFO', past: 0, pastOnly: false };
    const left = new AbortController();
    const watch = aboutHandlers({ worker, about, audit, events: history })
      .WatchEvents.answer(request, left.signal, caller)
      [Symbol.asyncIterator]();
    const first = watch.next();
    for (let i = 0; i < 5_000; i++) history.emit({ event: 'a.one', level: 'info' });
    await assert.rejects(first, refused('LIMIT_REACHED', /faster than they were read/));
    assert.equal(history.followers.size, 0);
  });

  test('that cause events when they are sent do not go round for ever', async () => {
    const memory = new EventMemory({ now: () => 5, monotonic: () => 5, setTimeout: () => () => {} } as never);
    const clock = systemClock;
    const peers = new PeerExchange({ clock }).client('a');
    const events = new ClusterEvents({ clock, peers, me: 'a', memory, others: () => [] });
    const { address } = await serving.server({ ...serving.options(), events });
    const watch = serving.client(address).events({ past: 5 });
    const next = watch.next();
    await until('it follows', async () => {
      memory.emit({ event: 'a.one', level: 'info' });
      return (await Promise.race([next, new Promise(resolve => setTimeout(resolve, 20))])) !== undefined;
    });
    await watch.return();
  });
});

describe('a watcher that does not read', () => {
  test('is sent a bounded number of snapshots, and the server answers others', async () => {
    const a = await running();
    let asked = 0;
    const { worker } = a;
    const commands = Object.assign(Object.create(a.commands) as typeof a.commands, {
      get: async (name: string) => {
        asked++;
        const view = await a.commands.get(name);
        return { ...view, status: { ...view.status, reason: 'x'.repeat(100_000) } };
      },
      as: () => commands,
    });
    const { address } = await serving.server({ ...serving.options(), commands, worker });
    // Below gRPC: the library's own client reads on, whether anybody reads from it or not.
    const session = connect(`http://${address}`);
    serving.onStop(() => session.destroy());
    const { path, requestSerialize } = methodSchema('WatchPipeline');
    const request = requestSerialize({ name: 'p', intervalMs: 100 });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(request.length, 1);
    const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    for (let i = 0; i < 20; i++) {
      const stream = session.request(headers);
      stream.on('error', () => {});
      stream.end(Buffer.concat([prefix, request]));
    }
    let before = -1;
    await until('nothing is made for them any more', async () => {
      const quiet = asked > 0 && asked === before;
      before = asked;
      if (!quiet) await new Promise(resolve => setTimeout(resolve, 400));
      return quiet;
    });
    assert.ok(asked < 20 * 100);
    assert.equal((await serving.client(address).info()).worker, 'a');
  });
});

describe('the package', () => {
  test('gives clients what they need to deploy', () => {
    assert.equal(typeof bundlePipeline, 'function');
  });
});
