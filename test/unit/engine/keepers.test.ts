/** What becomes of the streams of a pipeline's sources while it runs: what is not read any more is told, once, and what is read wrongly is a refusal. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { emptyText, Keepers, lostText, unreadText } from '../../../lib/engine/keepers.ts';
import { StreamWatch } from '../../../lib/engine/stream-watch.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import type { Event } from '../../../lib/observe/events.ts';
import { type CopiedStream, PLAIN_CONFIG, type StreamConfig } from '../../../lib/port/stream-config.ts';
import { pipeline } from '../../../lib/topology/builder.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { type KnownStream, planned } from '../topology/broker.ts';

const MINUTE_MS = 60_000;

async function watching(streams: readonly string[] = []) {
  const clock = new SimClock();
  const broker = new MemoryBroker({ clock });
  broker.create({ name: 'EU', subjects: ['orders.eu'] });
  const log = broker.client('test');
  const options = streams.length === 0 ? {} : { streams };
  const described = pipeline('p', ({ from }) => from('orders.*', { name: 'orders', ...options }).to('out.{partition}'));
  const plan = await planOrThrow(described, log);
  const told: Event[] = [];
  const observer = { emit: (event: Event) => void told.push(event) };
  const deployment = { pipeline: 'p', life: '1' };
  const watch = new StreamWatch({ plan, deployment, log, clock, observer }, error => assert.fail(error as Error));
  watch.start();
  const pass = () => clock.run(clock.monotonic() + MINUTE_MS);
  return { broker, watch, pass, told: () => told.splice(0).filter(({ event }) => event === 'source.unread') };
}

test('a stream that takes a part of the subject is told of once, with what to do', async () => {
  const { broker, pass, told, watch } = await watching();
  broker.create({ name: 'OTHER', subjects: ['other.>', '_mr.p.m.>'] });
  await pass();
  assert.deepEqual(told(), []);
  broker.create({ name: 'US', subjects: ['orders.us'] });
  await pass();
  await pass();
  const message =
    'stream US keeps orders.us by now, so what of orders.* is kept there is not read: ' +
    'let EU keep it all, or list both in streams and begin anew';
  assert.deepEqual(told(), [{ event: 'source.unread', level: 'warn', pipeline: 'p', source: 'orders', message }]);
  broker.remove('US');
  await pass();
  assert.deepEqual(told(), []);
  broker.create({ name: 'US', subjects: ['orders.us'] });
  await pass();
  assert.equal(told().length, 1);
  watch.stop();
  broker.remove('US');
  broker.create({ name: 'ASIA', subjects: ['orders.asia'] });
  await pass();
  assert.deepEqual(told(), []);
});

test('a stream that keeps the subject no more is told of', async () => {
  const { broker, pass, told } = await watching();
  broker.remove('EU');
  broker.create({ name: 'EU', subjects: ['else'] });
  await pass();
  const [event] = told();
  assert.match(
    String(event?.message),
    /^stream EU does not list orders\.\* any more, nor does another: .*nats stream edit EU$/,
  );
});

test('a stream that is told to keep the subject under another is told of', async () => {
  const source = { subject: 'orders.*', stream: 'EU' };
  const info = {
    name: 'EU',
    subjects: ['orders.*'],
    config: PLAIN_CONFIG,
    created: '',
    firstSeq: 1,
    lastSeq: 0,
    messages: 0,
    bytes: 0,
  };
  assert.equal(unreadText(source, [info]), null);
  const config = { ...PLAIN_CONFIG, subjectTransform: { src: 'orders.*', dest: 'kept.$1' } };
  assert.match(
    String(unreadText(source, [{ ...info, config }])),
    /^stream 'EU' keeps what is sent to 'orders\.\*' under 'kept\.\*'/,
  );
});

test('who lists streams has said what is read', async () => {
  const { broker, pass, told } = await watching(['EU']);
  broker.create({ name: 'US', subjects: ['orders.us'] });
  await pass();
  assert.deepEqual(told(), []);
});

test('a stream that is listed and comes to take nothing of the subject is told of', async () => {
  const { broker, pass, told } = await watching(['EU']);
  broker.remove('EU');
  broker.create({ name: 'EU', subjects: ['else'] });
  await pass();
  await pass();
  const [event, ...more] = told();
  assert.match(
    String(event?.message),
    /^stream EU takes nothing of orders\.\* any more: it lists 'else'\. nats stream edit EU, or leave it out of streams$/,
  );
  assert.deepEqual([event?.event, more], ['source.unread', []]);
});

test('a stream that copies takes what its sources have, under the subjects that these get', () => {
  const copying = (sources: readonly CopiedStream[]) => {
    const rest = { created: '', firstSeq: 1, lastSeq: 0, messages: 0, bytes: 0 };
    return { name: 'COPY', subjects: ['else'], config: { ...PLAIN_CONFIG, sources }, ...rest };
  };
  const text = (...sources: CopiedStream[]) =>
    String(emptyText({ subject: 'orders.*' }, copying(sources), name => (name === 'COPY' ? copying(sources) : null)));
  assert.equal(text({ name: 'EU', renamed: [] }), 'null');
  assert.match(text(), /^stream COPY takes nothing of orders\.\* any more: it lists 'else'\./);
  assert.match(text({ name: 'EU', filter: 'other', renamed: [] }), /and copies from 'EU' under other subjects/);
  const renamed = [{ src: 'orders.*', dest: 'away.$1' }];
  assert.match(text({ name: 'EU', renamed }), /and copies from 'EU' under other subjects/);
});

describe('streams that are edited under a plan', () => {
  const info = (name: string, subjects: readonly string[], config: Partial<StreamConfig> = {}) => ({
    ...{ name, subjects, config: { ...PLAIN_CONFIG, ...config } },
    ...{ created: '', firstSeq: 1, lastSeq: 0, messages: 0, bytes: 0 },
  });
  const copying = (name: string) => ({ sources: [{ name, renamed: [] }] });

  async function looking(known: KnownStream[], build: Parameters<typeof pipeline>[1]) {
    const plan = await planned(pipeline('p', build), known);
    const keepers = new Keepers({ plan, log: { streamsOf: async () => [], info: async () => null } });
    return async (...infos: ReturnType<typeof info>[]) => {
      const found = await keepers.look(name => infos.find(one => one.name === name) ?? null, { asks: false });
      return found.map(({ source, isRefused, message }) => `${source} ${isRefused ? 'refused' : 'told'}: ${message}`);
    };
  }

  test('so that results come back, or messages come twice, are refused as the plan would have been', async () => {
    const known = ['A', 'B', 'OUT'].map(name => ({
      name,
      atomic: true,
      subjects: name === 'OUT' ? ['out.>', '_mr.p.m.>'] : [`x.${name}`],
    }));
    const look = await looking(known, ({ from }) => {
      from('x.*', { name: 'x', streams: ['A', 'B'] }).to('out.{n}');
    });
    const [a, b, out] = known.map(({ name, subjects }) => info(name, subjects));
    assert.deepEqual(await look(a!, b!, out!), []);
    const [twice, ...others] = await look(a!, info('B', b!.subjects, copying('A')), out!);
    assert.match(String(twice), /refused: stream 'B' copies from 'A', so messages of both would come twice/);
    assert.deepEqual(others, []);
    const sources = [{ name: 'OUT', renamed: [{ src: 'out.>', dest: 'x.{{wildcard(1)}}' }] }];
    const [loop] = await look(info('A', a!.subjects, { sources }), b!, out!);
    assert.match(String(loop), /refused: 'out\.\{n\}' is read again by x.*copies from 'OUT'.*round for ever/);
  });

  test('so that the rows of a table lie elsewhere are refused', async () => {
    const known = [
      { name: 'IN', subjects: ['in.>'] },
      { name: 'KV_sites', subjects: ['$KV.sites.>'] },
    ];
    const look = await looking(known, ({ from, table }) => {
      from<{ id: string }>('in.a')
        .keyBy('id')
        .join(table('sites'), value => value)
        .to('out.{partition}');
    });
    const [input, sites] = known.map(({ name, subjects }) => info(name, subjects));
    assert.deepEqual(await look(input!, sites!), []);
    const [moved] = await look(input!, info('KV_sites', sites!.subjects, copying('KV_other')));
    assert.match(String(moved), /^sites refused: bucket 'sites' copies rows of stream 'KV_other'/);
  });

  test('that are listed and lose a part are told of, unless another that is listed has it', async () => {
    const known = [
      { name: 'A', subjects: ['x.1', 'x.2'] },
      { name: 'B', subjects: ['x.3'] },
    ];
    const look = await looking(known, ({ from }) => from('x.*', { name: 'x', streams: ['A', 'B'] }).to('out.{n}'));
    assert.deepEqual(await look(info('A', ['x.1', 'x.2']), info('B', ['x.3'])), []);
    assert.deepEqual(await look(info('A', ['x.1']), info('B', ['x.2', 'x.3'])), []);
    const [lost, ...more] = await look(info('A', ['x.1']), info('B', ['x.3']));
    assert.match(String(lost), /told: stream A does not list x\.2 any more, so not all .* nats stream edit A$/);
    assert.deepEqual(more, []);
  });

  test('that are found and lose a part are told of', () => {
    const source = { name: 'x', stream: 'A' };
    assert.equal(lostText(source, ['x.1', 'x.2'], [info('A', ['x.>'])]), null);
    assert.match(
      String(lostText(source, ['x.1', 'x.2'], [info('A', ['x.2'])])),
      /^stream A does not list x\.1 any more/,
    );
  });
});
