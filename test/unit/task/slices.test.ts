/** What operators make and a filter drops is not in a commit's bytes, and is work all the same: a batch ends by that, too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSERT } from '../../../lib/change/change.ts';
import { aggregate, count, pipeline, session, tumbling } from '../../../lib/index.ts';
import { encodeKey } from '../../../lib/record/key.ts';
import { Pace } from '../../../lib/task/pace.ts';
import { Processor } from '../../../lib/task/processor.ts';
import { planned } from '../topology/broker.ts';

const ROOM = 1 << 30;
const roomy = () => new Pace({ commitBytesMax: ROOM, recordBytesMax: ROOM });

async function processorOf(made: Parameters<typeof pipeline>[1]): Promise<Processor> {
  const plan = await planned(pipeline('p', made));
  return new Processor({ plan, stage: plan.stages.at(-1)!, partition: 0, messageBytesMax: 20_000, pace: roomy() });
}

test('windows whose rows a filter drops close in as many batches as if they were sent', async () => {
  const processor = await processorOf(({ from }) => {
    from<{ id: string }>('in.a')
      .keyBy('id')
      .window(tumbling('1s'))
      .aggregate({ n: count() })
      .filter(({ n }) => n > 1)
      .to('out.{partition}');
  });
  for (let i = 0; i < 250_000; i++) processor.entries[0]!.receive(encodeKey(`k${i}`), { id: '' }, 0, INSERT);
  const closed: number[] = [];
  for (let done = false; !done; ) {
    done = (await processor.execute(10_000, null)) as boolean;
    const dropped = processor.dropped.get('filtered') ?? 0;
    closed.push(dropped - closed.reduce((sum, n) => sum + n, 0));
    processor.take(closed.length, 10_000);
  }
  assert.deepEqual(closed, [100_000, 100_000, 50_000]);
});

test('a batch takes no more records when what they have made is much, though nothing of it is left', async () => {
  const processor = await processorOf(({ from }) => {
    from<{ id: string }>('in.a')
      .keyBy('id')
      .process<null, number>({
        onRecord(_value, { emit }) {
          for (let i = 0; i < 1_000; i++) emit(i);
        },
      })
      .filter(() => false)
      .to('out.{partition}');
  });
  let fed = 0;
  while (!processor.full() && fed < 1_000)
    processor.entries[0]!.receive(encodeKey(`k${fed}`), { id: String(fed++) }, 0, INSERT);
  assert.equal(fed, 100);
  await processor.execute(0, null);
  processor.take(1, 0);
  assert.equal(processor.full(), false);
});

test('a batch takes no more records when much of grown accumulators was copied, and goes on with them in the next', async () => {
  const processor = await processorOf(({ from }) => {
    from<{ id: string }>('in.a')
      .keyBy('id')
      .window(session('1s'))
      .aggregate({
        times: aggregate<{ id: string }, { all: number[] }, number>({
          init: () => ({ all: [] }),
          add: ({ all }, _value, timeMs) => ({ all: [...all, timeMs] }),
          merge: (left, right) => ({ all: [...left.all, ...right.all] }),
          result: ({ all }) => all.length,
        }),
      })
      .to('out.{partition}');
  });
  const [key] = [encodeKey('k')];
  const receive = (timeMs: number) => processor.entries[0]!.receive(key, { id: 'k' }, timeMs, INSERT);
  // Each session is 1,500 ms from the next, and what comes between them makes one of all so far, and of the next.
  const SESSIONS = 3_000;
  for (let i = 0; i < SESSIONS; i++) receive(i * 1_500);
  let bridged = 0;
  const batches: number[] = [];
  let commit = 1;
  while (bridged < SESSIONS - 1) {
    await processor.execute(0, null);
    processor.take(commit++, 0);
    const before = bridged;
    while (!processor.full() && bridged < SESSIONS - 1) receive(bridged++ * 1_500 + 750);
    batches.push(bridged - before);
  }
  // Some nine million values are copied, a million to a batch.
  assert.ok(batches.length > 5 && batches.length < 30, String(batches));
  assert.ok(batches[0]! > 500 && batches.at(-2)! < batches[0]!, String(batches));
  for (let done = false; !done; processor.take(commit++, 1e9)) done = (await processor.execute(1e9, null)) as boolean;
  assert.equal(processor.rowsOut, 1);
});
