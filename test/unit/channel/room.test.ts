/**
 * The room of a stage's stream: it is bounded, and a full one makes writers wait. So all that nobody needs any more must go
 * from it, whatever else comes to pass, or they wait for ever.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count, pipeline, tumbling } from '../../../lib/index.ts';
import type { StreamSettings } from '../../../lib/port/log.ts';
import { channelsStream, channelsSubjects } from '../../../lib/record/names.ts';
import { inletsOf } from '../../../lib/topology/plan.ts';
import { Cluster, type Host } from '../../sim/cluster.ts';

const DEPLOYMENT = { pipeline: 'p', life: '0' };

interface Click {
  readonly k: string;
  readonly pad?: string;
}

/** A cluster that runs `made`, with streams of channels that hold so much. */
async function open(made: ReturnType<typeof pipeline>, inputs: readonly StreamSettings[], maxBytes: number) {
  const cluster = await Cluster.of(made, inputs, { messageBytesMax: 64 << 10 });
  for (const inlet of inletsOf(cluster.plan)) {
    const [name, subjects] = [channelsStream(DEPLOYMENT, inlet), channelsSubjects(DEPLOYMENT, inlet)];
    cluster.broker.create({ name, subjects: [...subjects], discard: 'new', maxBytes });
  }
  const publish = (subject: string, value: unknown) =>
    cluster.broker.land([{ subject, data: Buffer.from(JSON.stringify(value)) }], false);
  return { cluster, publish };
}

const IN = [{ name: 'in', subjects: ['in'] }];

/** Counts the clicks of each key, and says so. */
const counting = (partitions: number) =>
  pipeline(
    'p',
    ({ from }) =>
      from<Click>('in', { name: 'in' })
        .keyBy('k')
        .process<number, { n: number }>({
          name: 'counts',
          onRecord(_click, context) {
            context.state = (context.state ?? 0) + 1;
            context.emit({ n: context.state });
          },
        })
        .to('out.{partition}'),
    { partitions },
  );

const told = ({ pipeline }: Host) => `${pipeline?.status().state}: ${pipeline?.status().reason}`;

test('what writers have told all tasks goes, when they have told more', async () => {
  const made = pipeline(
    'p',
    ({ from }) =>
      from<Click>('in', { name: 'in' })
        .keyBy('k')
        .window(tumbling('10s'))
        .aggregate({ clicks: count() })
        .keyBy('clicks')
        .window(tumbling('30s'))
        .aggregate({ keys: count() })
        .to('out.{partition}'),
    { partitions: 2 },
  );
  const { cluster, publish } = await open(made, IN, 24 << 10);
  const host = cluster.addHost();
  host.start();
  for (let second = 1; second <= 300; second++) {
    publish('in', { k: `k${second % 5}` });
    await cluster.clock.run(second * 1_000);
  }
  const kept = cluster.broker
    .streams()
    .filter(({ settings }) => settings.name.startsWith('MR_p_0_x_'))
    .map(stream => `${stream.settings.name} ${stream.count('_mr.*.w.>')} of ${stream.info().messages}`);
  for (const line of kept) assert.ok(Number(line.split(' ')[1]) <= 300, `words that are kept: ${kept.join(', ')}`);
  assert.equal(host.pipeline?.status().state, 'running', told(host));
});

test('tasks that have each read a little of what fills their stream make room', async () => {
  const { cluster, publish } = await open(counting(16), IN, 4 << 20);
  const pad = 'x'.repeat(1_000);
  for (let i = 0; i < 10_000; i++) publish('in', { k: `k${i % 500}`, pad });
  const host = cluster.addHost();
  host.start();
  await cluster.clock.run(60_000);
  host.crash({ losesDisk: false });
  host.start();
  await cluster.clock.run(120_000);
  const { sources } = host.pipeline!.status();
  assert.equal(sources[0]?.lag, 0, told(host));
  assert.equal(host.pipeline?.status().state, 'running', told(host));
});

test('a table is read to its end while the stream that waits for it has filled the room they share', async () => {
  const made = pipeline(
    'p',
    ({ from, table }) =>
      from<Click>('in', { name: 'in' })
        .keyBy('k')
        .join(table<{ name: string }>('names'), (click, row) => ({ k: click.k, name: row.name }))
        .to('out.{partition}'),
    { partitions: 2 },
  );
  const inputs = [
    { name: 'in', subjects: ['in'] },
    { name: 'KV_names', subjects: ['$KV.names.>'], maxMessagesPerSubject: 1 },
  ];
  const { cluster, publish } = await open(made, inputs, 4 << 20);
  const pad = 'x'.repeat(1_000);
  const rows = 10_000;
  for (let i = 0; i < rows; i++) publish(`$KV.names.k${i}`, { name: `n${i}`, pad });
  for (let i = 0; i < rows; i++) publish('in', { k: `k${i}`, pad });
  const host = cluster.addHost();
  host.start();
  await cluster.clock.run(60_000);
  assert.equal(cluster.rows('out').length, rows, told(host));
});

test('who finds that frames are gone is fenced and not alarmed, where its successor has read and dropped them', async () => {
  const { cluster, publish } = await open(counting(1), IN, 1 << 20);
  const [first, second] = [cluster.addHost(), cluster.addHost()];
  first.start();
  publish('in', { k: 'a' });
  await cluster.clock.run(2_000);
  first.cutOff();
  second.start();
  for (let second = 3; second <= 40; second++) {
    publish('in', { k: 'a' });
    await cluster.clock.run(second * 1_000);
  }
  first.reconnect();
  publish('in', { k: 'a' });
  await cluster.clock.run(60_000);
  assert.equal(cluster.failure, null, String(cluster.failure));
  const fenced = cluster.events.filter(({ event }) => event === 'task.fenced');
  assert.ok(fenced.length > 0, 'the first learned of the second');
  assert.equal(cluster.rows('out').length, 40);
});
