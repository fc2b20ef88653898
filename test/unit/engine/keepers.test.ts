/** Streams that come to keep a part of a source's subject while it runs are told of, once, and so is one that keeps it no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyText, Keepers, unreadText } from '../../../lib/engine/keepers.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import type { Event } from '../../../lib/observe/events.ts';
import { type CopiedStream, PLAIN_CONFIG } from '../../../lib/port/stream-config.ts';
import { pipeline } from '../../../lib/topology/builder.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

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
  const keepers = new Keepers({ plan, log, clock, observer: { emit: event => void told.push(event) } });
  keepers.start();
  const pass = () => clock.run(clock.monotonic() + MINUTE_MS);
  return { broker, keepers, pass, told: () => told.splice(0) };
}

test('a stream that takes a part of the subject is told of once, with what to do', async () => {
  const { broker, pass, told, keepers } = await watching();
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
  keepers.stop();
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
