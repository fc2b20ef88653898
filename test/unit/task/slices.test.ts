/** What operators make and a filter drops is not in a commit's bytes, and is work all the same: a batch ends by that, too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSERT } from '../../../lib/change/change.ts';
import { count, pipeline, tumbling } from '../../../lib/index.ts';
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
