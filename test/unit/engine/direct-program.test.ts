/**
 * A stage that reads its source itself, killed with a commit that stands in the middle of a message, and deployed with other
 * operators: each record is in once, the first of the message as the former ones had it, the rest as these have.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { ndjson, pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { bytesOf, textOf, withCalls } from '../outlet/rig.ts';
import { never } from '../replica/rig.ts';

const RECORDS = 60;

const programOf = (version: number) =>
  pipeline('p', ({ from }) => {
    from<{ n: number }>('in', { name: 'in', format: ndjson() })
      .filter(({ n }) => version === 0 || n % 2 === 0)
      .flatMap(({ n }) => Array.from({ length: version + 1 }, (_, i) => ({ n, i, version })))
      .to('out.{partition}');
  });

test('a change of operators in the middle of a message takes each of its records once, by count as its format has them', async () => {
  const random = new Random(1);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork(), messageBytesMax: 1 << 20 });
  broker.create({ name: 'in', subjects: ['in'] });
  const stores = new MemoryStores({ clock });
  const blobs = new MemoryBlobs({ clock });
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  const plans = [
    await planOrThrow(programOf(0), broker.client('a')),
    await planOrThrow(programOf(1), broker.client('b')),
  ];
  const begin = async (version: number, commitsMax: number) => {
    const client = broker.client(`worker ${version}`);
    let commits = 0;
    // From some commit on nothing of the journal gets through.
    const log = withCalls(client, {
      append: message => (message.subject.includes('.j.') && commits++ > commitsMax ? never : client.append(message)),
    });
    const around = { log, clock: client.clock, random: random.fork(), observer: { emit() {} }, stores, blobs };
    const limits = { commitBytesMax: 100 };
    await new Pipeline({ plan: plans[version]!, around, limits, revision: version + 1 }).start();
    return client;
  };
  const data = bytesOf(Array.from({ length: RECORDS }, (_, n) => JSON.stringify({ n })).join('\n'));
  await broker.client('c').append({ subject: 'in', data });
  const first = await begin(0, 4);
  await pass(2_000);
  first.kill();
  stores.crash();
  await begin(1, Number.POSITIVE_INFINITY);
  await pass(20_000);
  const stream = broker.stream('out')!;
  const rows: { n: number; i: number; version: number }[] = [];
  for (let seq = 1; seq <= stream.lastSeq; seq++) {
    for (const line of textOf(stream.at(seq)!).split('\n').filter(Boolean)) rows.push(JSON.parse(line));
  }
  const former = rows.filter(({ version }) => version === 0).length;
  assert.ok(former > 0 && former < RECORDS, `${former} of ${RECORDS} were in when it was killed`);
  const wanted = Array.from({ length: RECORDS }, (_, n) => n).flatMap(n => {
    if (n < former) return [{ n, i: 0, version: 0 }];
    return n % 2 === 0 ? [0, 1].map(i => ({ n, i, version: 1 })) : [];
  });
  assert.deepEqual(rows, wanted);
});
