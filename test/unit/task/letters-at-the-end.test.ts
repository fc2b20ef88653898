/**
 * Records for the next stage that turn out to fit no frame when the commit is made: too large, too deep, or not to be read.
 * Their letters take the places of records that were counted, so none is left out, whatever the batch had left to make.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSERT } from '../../../lib/change/change.ts';
import { decodeFrame } from '../../../lib/channel/frame.ts';
import { pipeline } from '../../../lib/index.ts';
import { LETTERS } from '../../../lib/journal/outbox.ts';
import { CallWatch, type WatchCalls } from '../../../lib/operator/call-watch.ts';
import { encodeKey } from '../../../lib/record/key.ts';
import { originOf } from '../../../lib/record/origin.ts';
import { Pace } from '../../../lib/task/pace.ts';
import { Processor } from '../../../lib/task/processor.ts';
import { planned } from '../topology/broker.ts';

async function processorOf(values: () => readonly unknown[], suspect?: number): Promise<Processor> {
  const made = pipeline('p', ({ from }) => {
    from<{ id: string }>('in.a')
      .keyBy('id')
      .process<number, unknown>({
        name: 'many',
        onRecord(_record, context) {
          for (const value of values()) context.emit(value);
        },
      })
      .keyBy(() => 'k')
      .process<number, { n: number }>({ name: 'last', onRecord: (_record, context) => context.emit({ n: 1 }) })
      .to('out.{partition}');
  });
  const plan = await planned(made);
  const stage = plan.stages.find(({ program }) => program.nodes.some(({ name }) => name === 'many'))!;
  const pace = new Pace({ commitBytesMax: 10_000, recordBytesMax: 150_000 });
  const site = (operator: string) => ({ pipeline: 'p', revision: 1, operator });
  const suspects = suspect === undefined ? [] : [{ ...site(plan.stages.at(-1)!.name), origin: suspect }];
  const watch = new CallWatch({ suspects });
  const watchCalls: WatchCalls = (operator, cursor) => watch.at(site(operator), cursor);
  return new Processor({ plan, stage, partition: 0, messageBytesMax: 20_000, pace, watchCalls });
}

/** A batch of one record: what its commit sends, as frames' rows and letters. */
async function batch(processor: Processor): Promise<{ rows: number; letters: string[] }> {
  processor.cursor.origin = originOf(0, 1);
  processor.entries[0]!.receive(encodeKey('k'), { id: 'k' }, 1_000, INSERT);
  assert.equal(processor.hasMadeTooMuch, false);
  await processor.execute(1_000, null);
  assert.equal(processor.hasOutgrown, false, 'the batch goes into a commit');
  const { outbox } = processor.take(1, 1_000);
  const letters = outbox.rows
    .filter(({ sink }) => sink === LETTERS)
    .flatMap(({ addresses, addressOf }) => addressOf.map(address => addresses[address]!));
  assert.equal(letters.length, processor.dead);
  return { rows: outbox.frames.reduce((sum, { bytes }) => sum + decodeFrame(bytes).columns.keys.length, 0), letters };
}

test('each record that no frame can carry has a letter', async () => {
  const many = () => Array.from({ length: 6 }, (_, i) => ({ to: `${i}`, pad: 'x'.repeat(24_000) }));
  const { rows, letters } = await batch(await processorOf(many));
  assert.deepEqual([rows, letters.length], [0, 6]);
});

/** So deep that no estimate of its size looks there. */
const below = (value: unknown) => ({ a: { b: { c: { d: { e: { f: value } } } } } });
const looping = {
  get x() {
    for (;;);
  },
};
const throwing = {
  get x() {
    throw new Error('not mine to say');
  },
};

test('a record that cannot be read, or nests too deep, has one, and its neighbours go on', async () => {
  let deep: unknown = 1;
  for (let i = 0; i < 20_000; i++) deep = [deep];
  const { rows, letters } = await batch(await processorOf(() => [{ n: 1 }, below(throwing), below(deep), { n: 2 }]));
  assert.deepEqual([rows, letters.length], [2, 2]);
  assert.match(letters[0]!, /RECORD_UNWRITABLE/);
  assert.match(letters[0]!, /cannot be read: not mine to say/);
  assert.match(letters[1]!, /nested deeper than/);
});

test('so has one that does not return when it is read, as was learned before', async () => {
  const { rows, letters } = await batch(await processorOf(() => [{ n: 1 }, below(looping), { n: 2 }], originOf(0, 1)));
  assert.deepEqual([rows, letters.length], [2, 1]);
  assert.match(letters[0]!, /USER_CODE/);
  assert.match(letters[0]!, /did not return for this record/);
});
