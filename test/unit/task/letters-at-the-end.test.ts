/**
 * Records for the next stage that turn out too large for a frame when the commit is made. Their letters take the
 * places of records that were counted, so none is left out, whatever the batch had left to make.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSERT } from '../../../lib/change/change.ts';
import { pipeline } from '../../../lib/index.ts';
import { LETTERS } from '../../../lib/journal/outbox.ts';
import { encodeKey } from '../../../lib/record/key.ts';
import { originOf } from '../../../lib/record/origin.ts';
import { Pace } from '../../../lib/task/pace.ts';
import { Processor } from '../../../lib/task/processor.ts';
import { planned } from '../topology/broker.ts';

test('each record that no frame can carry has a letter', async () => {
  const made = pipeline('p', ({ from }) => {
    from<{ id: string }>('in.a')
      .keyBy('id')
      .process<number, { to: string; pad: string }>({
        name: 'many',
        onRecord(_record, context) {
          for (let i = 0; i < 6; i++) context.emit({ to: `${i}`, pad: 'x'.repeat(24_000) });
        },
      })
      .keyBy('to')
      .process<number, { n: number }>({ name: 'last', onRecord: (_record, context) => context.emit({ n: 1 }) })
      .to('out.{partition}');
  });
  const plan = await planned(made);
  const stage = plan.stages.find(({ program }) => program.nodes.some(({ name }) => name === 'many'))!;
  const pace = new Pace({ commitBytesMax: 10_000, recordBytesMax: 150_000 });
  const processor = new Processor({ plan, stage, partition: 0, messageBytesMax: 20_000, pace });
  processor.cursor.origin = originOf(0, 1);
  processor.entries[0]!.receive(encodeKey('k'), { id: 'k' }, 1_000, INSERT);
  assert.equal(processor.hasMadeTooMuch, false);
  await processor.execute(1_000, null);
  assert.equal(processor.hasOutgrown, false, 'the batch goes into a commit');
  const { outbox } = processor.take(1, 1_000);
  const letters = outbox.rows
    .filter(({ sink }) => sink === LETTERS)
    .reduce((sum, rows) => sum + rows.lengths.length, 0);
  assert.equal(outbox.frames.length, 0);
  assert.equal(processor.dead, 6);
  assert.equal(letters, 6);
});
