/**
 * The cut must not change what a pipeline means. Random pipelines of stateless operators, dedupes and joins are run
 * twice by naive interpreters that share no code: once as the graph that the author described, once as the plan.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type KeyedStream, pipeline, type Stream } from 'millrace';
import type { Program } from '../../../lib/operator/program.ts';
import { PARTITIONS_DEFAULT, type Pipeline } from '../../../lib/topology/builder.ts';
import { plan } from '../../../lib/topology/planner.ts';
import { brokerOf, INPUTS, planned } from './broker.ts';
import { type Event, runGraph, runPlan } from './interpreters.ts';

/** One step of a random pipeline: an operator on streams made before. */
interface Step {
  readonly operator: string;
  readonly on: number;
  readonly and: number;
  readonly by: number;
}

const OPERATORS =
  'dedupe keyBy dedupe keyBy map filter flatMap branch merge dedupe across keyBy keyedMap keyedDedupe join keyedMerge to keyedTo';
const step = fc.record({
  operator: fc.constantFrom(...OPERATORS.split(' ')),
  on: fc.nat(50),
  and: fc.nat(50),
  by: fc.nat(2),
});
const sourcesMax = 2;

function build(steps: readonly Step[]): Pipeline {
  return pipeline('random', ({ from }) => {
    const streams: Stream<Event>[] = [];
    const keyed: KeyedStream<number, Event, unknown>[] = [];
    for (let i = 0; i < sourcesMax; i++) streams.push(from<Event>(`in.${i}`, { name: `s${i}` }));
    for (const [i, { operator, on, and, by }] of steps.entries()) {
      // Some go without a name, and then may be alike.
      const named = by === 2 ? {} : { name: `${operator}-${i}` };
      // One of the last, more often than not, so that chains grow long.
      const stream = streams.at(-1 - (on % Math.min(streams.length, 1 + (on % 4)))) as Stream<Event>;
      const other = streams[and % streams.length] as Stream<Event>;
      const left = keyed[on % keyed.length];
      const right = keyed[and % keyed.length];
      const idOf = (event: Event) => `${event.id}/${event.n}`;
      switch (operator) {
        case 'map':
          streams.push(stream.map(({ id, n }) => ({ id, n: n + by + 1 })));
          break;
        case 'filter':
          streams.push(stream.filter(({ n }) => n % 3 !== by));
          break;
        case 'flatMap':
          streams.push(
            stream.flatMap(({ id, n }) => [
              { id, n },
              { id, n: n * 2 + by },
            ]),
          );
          break;
        case 'branch': {
          const arms = stream.branch({ low: ({ n }) => n % 4 === by, mid: ({ n }) => n % 2 === 0 });
          streams.push(arms.low, arms.mid, arms.rest);
          break;
        }
        case 'merge':
          streams.push(stream.merge(left === undefined || by === 0 ? other : left));
          break;
        case 'dedupe':
          streams.push(stream.dedupe({ id: idOf, within: '1d', ...named }));
          break;
        case 'across':
          streams.push(stream.dedupe({ id: idOf, within: '1d', across: 'keys', ...named }));
          break;
        case 'keyBy':
          keyed.push((by === 0 || left === undefined ? stream : left).keyBy(({ n }) => n % (3 + by), named));
          break;
        case 'keyedMap':
          if (left !== undefined) keyed.push(left.map(({ id, n }) => ({ id, n: n + 3 })));
          break;
        case 'keyedDedupe':
          if (left !== undefined) keyed.push(left.dedupe({ id: idOf, within: '1d', ...named }));
          break;
        case 'join':
          if (left !== undefined && right !== undefined)
            keyed.push(left.join(right, { within: '1h', ...named }, a => a));
          break;
        case 'keyedMerge':
          if (left !== undefined && right !== undefined) keyed.push(left.merge(right));
          break;
        case 'to':
          stream.to(`out.${streams.length}.${keyed.length}.${on}.{n}`);
          break;
        case 'keyedTo':
          left?.to(`out.${streams.length}.${keyed.length}.${and}.{n}`);
          break;
      }
    }
    for (const [i, stream] of streams.entries()) if (i < sourcesMax) stream.to(`out.all.${i}`);
    for (const [i, stream] of keyed.entries()) stream.to(`out.keyed.${i}`);
  });
}

describe('the cut', () => {
  test('lets the plan do what the author described, whatever the pipeline', async () => {
    let plans = 0;
    let carried = 0;
    const events: [number, Event][] = [];
    for (let id = 0; id < 12; id++) events.push([id % sourcesMax, { id: id % 7, n: (id * 5) % 7 }]);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 16 }), async steps => {
        const described = build(steps);
        const outcome = await plan(described, brokerOf(INPUTS));
        if (!('plan' in outcome)) {
          // Only circles between stages, unused sources and what is alike can come up here as mistakes.
          for (const { message } of outcome.mistakes) assert.match(message, /in a circle|never used|nothing tells it/);
          return;
        }
        plans++;
        const programs = [...outcome.plan.readers, ...outcome.plan.stages].map(({ program }) => program);
        if (programs.some(({ nodes }) => nodes.some(({ spec }) => spec.kind === 'carryId'))) carried++;
        const keyedSinks = new Set(
          described.graph.nodes.filter(node => node.kind === 'sink' && node.keyed).map(node => node.name),
        );
        assert.deepEqual(runPlan(outcome.plan, events, keyedSinks), runGraph(described, events));
      }),
      { numRuns: 1_500, seed: 7 },
    );
    assert.ok(plans > 700, `${plans} plans`);
    assert.ok(carried > 80, `${carried} plans with carried ids`);
  });
});

const event = { id: (e: Event) => e.id, within: '1d' } as const;

function kinds(program: Program): string[] {
  return program.nodes.map(({ name, spec }) => `${name} ${spec.kind}`);
}

describe('stages', () => {
  test('are one for all that touches through joins, called after the keyBy that comes first in the alphabet (*one key, one stage*)', async () => {
    const { readers, stages } = await planned(
      pipeline('p', ({ from, table }) => {
        const left = from<Event>('in.l').keyBy('id');
        const right = from<Event>('in.r').keyBy('n');
        left.join(right, { within: '1h' }, a => a).to('out.{id}');
        left.filter(({ n }) => n > 0).to('out.left.{id}');
        from<{ site: string }>('in.s')
          .keyBy('site')
          .join(table('sites'), a => a)
          .to('out.sites.{partition}');
      }),
    );
    assert.deepEqual(
      stages.map(stage => [stage.name, stage.partitions, stage.inputs.map(input => input.name)]),
      [
        ['by-id', PARTITIONS_DEFAULT, ['in-l', 'in-r-by-n']],
        ['by-site', PARTITIONS_DEFAULT, ['in-s', 'sites']],
      ],
    );
    assert.deepEqual(stages[0]?.program, {
      entries: [
        [
          { node: 0, port: 0 },
          { node: 1, port: 0 },
        ],
        [{ node: 0, port: 1 }],
      ],
      nodes: [
        { name: 'join-in-r', spec: stages[0]?.program.nodes[0]?.spec, targets: [{ exit: 0 }] },
        { name: 'filter-1', spec: stages[0]?.program.nodes[1]?.spec, targets: [{ exit: 1 }] },
      ],
      exits: [
        { kind: 'sink', sink: 'to-out-id' },
        { kind: 'sink', sink: 'to-out-left-id' },
      ],
    });
    assert.deepEqual(
      stages[1]?.inputs.map(input => input.bootstrap),
      [false, true],
    );
    assert.deepEqual(stages[1]?.program.entries, [[{ node: 0, port: 0 }], [{ node: 0, port: 1 }]]);
    assert.deepEqual(
      readers.map(reader => reader.name),
      ['in-l', 'in-r', 'in-s', 'sites'],
    );
    assert.deepEqual(readers[3]?.program, {
      entries: [[{ exit: 0 }]],
      nodes: [],
      exits: [{ kind: 'channel', stage: 'by-site', input: 'sites' }],
    });
  });

  test('of a table joined twice get an input each, and of one keyBy used twice are one', async () => {
    const { readers, stages } = await planned(
      pipeline('p', ({ from, table }) => {
        const sites = table<{ city: string }>('sites');
        const events = from<{ site: string; other: string }>('in.s');
        const bySite = events.keyBy('site');
        bySite.join(sites, a => a).to('out.a.{site}');
        bySite.leftJoin(sites, a => a, { name: 'again' }).to('out.b.{site}');
        events
          .keyBy('other')
          .join(sites, a => a, { name: 'other' })
          .to('out.c.{site}');
      }),
    );
    assert.deepEqual(
      stages.map(stage => stage.name),
      ['by-site', 'by-other'],
    );
    const tableExits = readers.find(({ name }) => name === 'sites')?.program.exits;
    assert.deepEqual(tableExits, [
      { kind: 'channel', stage: 'by-site', input: 'sites' },
      { kind: 'channel', stage: 'by-other', input: 'sites' },
    ]);
    const sitesInput = stages[0]?.inputs.findIndex(({ name }) => name === 'sites') ?? -1;
    assert.deepEqual(stages[0]?.program.entries[sitesInput], [
      { node: 0, port: 1 },
      { node: 1, port: 1 },
    ]);
  });

  test('without a key read their source themselves, beside the reader of the same source', async () => {
    const { readers, stages } = await planned(
      pipeline('p', ({ from }) => {
        const events = from<Event>('in.e');
        const odd = events.filter(({ n }) => n % 2 === 1);
        odd.to('out.odd.{partition}');
        odd.keyBy('id').to('out.keyed.{id}');
      }),
    );
    assert.deepEqual(
      readers.map(({ program }) => kinds(program)),
      [['filter-1 filter', 'by-id keyBy']],
    );
    const [direct, keyed] = stages;
    assert.equal(direct?.name, 'in-e-direct');
    assert.equal(direct?.partitions, 1);
    assert.equal(direct?.direct?.subject, 'in.e');
    assert.deepEqual(kinds(direct?.program as Program), ['filter-1 filter']);
    assert.equal(keyed?.direct, null);
    assert.deepEqual(keyed?.program.entries, [[{ exit: 0 }]]);
  });

  test('leave out what leads to no sink (*no dead ends*)', async () => {
    const { readers, stages } = await planned(
      pipeline('p', ({ from }) => {
        const events = from<Event>('in.e');
        events.keyBy('n').dedupe(event);
        events.map(({ n }) => n);
        events.keyBy('id').to('out.{id}');
      }),
    );
    assert.deepEqual(kinds(readers[0]?.program as Program), ['by-id keyBy']);
    assert.deepEqual(
      stages.map(({ name }) => name),
      ['by-id'],
    );
  });

  test('send to one another by key', async () => {
    const { stages } = await planned(
      pipeline('p', ({ from }) => {
        from<Event>('in.e')
          .keyBy('id')
          .dedupe(event)
          .keyBy('n')
          .dedupe({ ...event, name: 'again' })
          .to('out.{n}');
      }),
    );
    assert.deepEqual(
      stages.map(({ name, inputs }) => [name, inputs[0]?.from]),
      [
        ['by-id', { kind: 'reader', reader: 'in-e' }],
        ['by-n', { kind: 'stage', stage: 'by-id' }],
      ],
    );
    assert.deepEqual(stages[0]?.program.exits, [{ kind: 'channel', stage: 'by-n', input: 'by-id' }]);
  });
});
