/** Where a dedupe before `keyBy` is judged: carried into the next stage, or in a stage of its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pipeline, type Stream } from 'millrace';
import type { Program } from '../../../lib/operator/program.ts';
import { PARTITIONS_DEFAULT } from '../../../lib/topology/builder.ts';
import { planned } from './broker.ts';
import type { Event } from './interpreters.ts';

const event = { id: (e: Event) => e.id, within: '1d' } as const;

function kinds(program: Program): string[] {
  return program.nodes.map(({ name, spec }) => `${name} ${spec.kind}`);
}

describe('a dedupe before keyBy', () => {
  test('is judged first thing in each next stage (*judged where copies meet*)', async () => {
    const { readers, stages } = await planned(
      pipeline('p', ({ from }) => {
        const once = from<Event>('in.e')
          .dedupe(event)
          .filter(({ n }) => n > 0);
        once.keyBy('id').to('out.a.{id}');
        once
          .map(e => e)
          .keyBy('n')
          .to('out.b.{n}');
      }),
    );
    assert.deepEqual(kinds(readers[0]?.program as Program), [
      'dedupe-in-e carryId',
      'filter-1 filter',
      'by-id keyBy',
      'map-1 map',
      'by-n keyBy',
    ]);
    for (const stage of stages) {
      assert.deepEqual(kinds(stage.program), ['dedupe-in-e dedupe']);
      const spec = stage.program.nodes[0]?.spec;
      assert.ok(spec?.kind === 'dedupe' && spec.id === null);
    }
  });

  test('judges copies from several sources together, and those of other dedupes apart', async () => {
    const { stages } = await planned(
      pipeline('p', ({ from }) => {
        const [a, b, c] = [from<Event>('in.a'), from<Event>('in.b'), from<Event>('in.c')];
        a.merge(b).dedupe(event).merge(c.dedupe(event)).keyBy('id').to('out.{id}');
      }),
    );
    assert.deepEqual(kinds(stages[0]?.program as Program), ['dedupe-in-a-in-b dedupe', 'dedupe-in-c dedupe']);
    assert.deepEqual(
      stages[0]?.inputs.map(({ name }) => name),
      ['in-a-dedupe-in-a-in-b', 'in-b-dedupe-in-a-in-b', 'in-c-dedupe-in-c'],
    );
    assert.deepEqual(stages[0]?.program.entries, [
      [{ node: 0, port: 0 }],
      [{ node: 0, port: 0 }],
      [{ node: 1, port: 0 }],
    ]);
  });

  test('keeps its state apart for each side of a join with itself', async () => {
    const { stages } = await planned(
      pipeline('p', ({ from }) => {
        const once = from<Event>('in.e').dedupe(event);
        once
          .keyBy('id')
          .join(once.keyBy('n'), { within: '1h' }, a => a)
          .to('out.{id}');
      }),
    );
    assert.deepEqual(kinds(stages[0]?.program as Program), [
      'dedupe-in-e-by-id dedupe',
      'dedupe-in-e-by-n dedupe',
      'join-in-e join',
    ]);
  });

  const owned: [why: string, build: (once: Stream<Event>) => void][] = [
    [
      'what follows multiplies records',
      once =>
        once
          .flatMap(e => [e, e])
          .keyBy('n')
          .to('out.{n}'),
    ],
    ['it goes to a sink', once => once.to('out.{n}')],
    [
      'another dedupe follows',
      once =>
        once
          .dedupe({ ...event, name: 'second' })
          .keyBy('n')
          .to('out.{n}'),
    ],
    [
      'its records come to one keyBy on two ways',
      once =>
        once
          .map(e => e)
          .merge(once)
          .keyBy('n')
          .to('out.{n}'),
    ],
  ];
  for (const [why, build] of owned) {
    test(`is a stage of its own, keyed by the id, where ${why}`, async () => {
      const { readers, stages } = await planned(
        pipeline('p', ({ from }) => build(from<Event>('in.e').dedupe({ ...event, name: 'once' }))),
      );
      assert.deepEqual(kinds(readers[0]?.program as Program), ['once-id keyBy']);
      const stage = stages.find(({ name }) => name === 'once');
      assert.equal(stage?.partitions, PARTITIONS_DEFAULT);
      const spec = stage?.program.nodes[0]?.spec;
      assert.ok(spec?.kind === 'dedupe' && spec.id !== null);
    });
  }

  test('is a stage of its own if copies may differ in their keys', async () => {
    const { stages } = await planned(
      pipeline('p', ({ from }) => {
        from<Event>('in.e')
          .dedupe({ ...event, across: 'keys' })
          .keyBy('n')
          .to('out.{n}');
      }),
    );
    assert.deepEqual(
      stages.map(({ name }) => name),
      ['dedupe-in-e', 'by-n'],
    );
  });

  test('is not where arms of a branch meet again, since a record takes one of them', async () => {
    const { stages } = await planned(
      pipeline('p', ({ from }) => {
        const { low, rest } = from<Event>('in.e')
          .dedupe(event)
          .branch({ low: ({ n }) => n < 5 });
        low
          .map(e => e)
          .merge(rest)
          .keyBy('n')
          .to('out.{n}');
      }),
    );
    assert.deepEqual(
      stages.map(({ name }) => name),
      ['by-n'],
    );
  });
});
