/** Statuses of disjoint parts, put together: whoever is asked, and however they were divided, the whole is the same. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mergedStatus } from '../../../lib/observe/merged.ts';
import {
  emptyStatus,
  type OperatorStatus,
  type PipelineStatus,
  type SourceStatus,
  type TaskStatus,
} from '../../../lib/observe/status.ts';

const ORDER = { stages: ['join', 'by-car', 'out'], sources: ['taxis', 'rides'] };

function source(name: string, position: number): SourceStatus {
  const nothing = { lag: null, lagMs: null, watermarkMs: null, clockMs: null, idle: false, quietMs: null };
  return { name, position, ...nothing, recordsIn: position, bytesIn: 0 };
}

function task(stage: string, partition: number, watermarkMs: number | null): TaskStatus {
  const work = { epoch: 1, commits: 1, recordsIn: 0, recordsOut: 0, stateBytes: 0, stateEntries: 0 };
  const journal = { journalBytes: 0, journalCommits: 0, backlogBytes: 0 };
  return { stage, partition, state: 'running', watermarkMs, waitsFor: null, ...work, ...journal };
}

function operator(name: string, held: number, nextMs: number | null, unit = 'windows'): OperatorStatus {
  return { stage: 'by-car', name, unit, held, more: false, watermarkMs: 100, nextMs };
}

function status(more: Partial<PipelineStatus> = {}): PipelineStatus {
  const counts = { in: 1, out: 2, late: 3, dead: 4, dropped: { filtered: 5 }, partial: false };
  return { ...emptyStatus('running', null), counts, ...more };
}

describe('put together', () => {
  test('one is itself, and none is nothing', () => {
    const one = status({ tasks: [task('out', 1, 5)] });
    assert.equal(mergedStatus([one], ORDER), one);
    assert.deepEqual(mergedStatus([], ORDER), emptyStatus('stopped', null));
  });

  test('the state is the least good one, with its reason and no other', () => {
    const waiting = status({ state: 'waiting', reason: 'no room' });
    const restoring = status({ state: 'restoring', reason: 'much to read' });
    const failed = status({ state: 'failed', reason: null });
    assert.deepEqual(
      [
        [status(), restoring],
        [restoring, waiting, status()],
        [waiting, failed],
      ].map(all => {
        const { state, reason } = mergedStatus(all, ORDER);
        return `${state} ${reason}`;
      }),
      ['restoring much to read', 'waiting no room', 'failed null'],
    );
    assert.equal(mergedStatus([failed, status({ state: 'failed', reason: 'why' })], ORDER).reason, 'why');
  });

  test('sources and tasks come in the order of the plan, what it does not know last', () => {
    const { tasks, sources } = mergedStatus(
      [
        status({
          tasks: [task('other', 0, 1), task('by-car', 2, 1), task('out', 0, 1)],
          sources: [source('rides', 1)],
        }),
        status({ tasks: [task('by-car', 1, 1), task('join', 3, 1)], sources: [source('new', 2), source('taxis', 3)] }),
      ],
      ORDER,
    );
    assert.deepEqual(
      tasks.map(({ stage, partition }) => `${stage}/${partition}`),
      ['join/3', 'by-car/1', 'by-car/2', 'out/0', 'other/0'],
    );
    assert.deepEqual(
      sources.map(({ name }) => name),
      ['taxis', 'rides', 'new'],
    );
  });

  test('what an operator holds is added up by its unit, and the first that is due counts', () => {
    const { operators } = mergedStatus(
      [
        status({ operators: [operator('count', 2, 50), operator('count', 7, null, 'late')] }),
        status({ operators: [{ ...operator('count', 3, 40), more: true, watermarkMs: 90 }] }),
        status({ operators: [operator('count', 0, null)] }),
      ],
      ORDER,
    );
    const late = operator('count', 7, null, 'late');
    assert.deepEqual(operators, [{ ...operator('count', 5, 40), more: true, watermarkMs: 90 }, late]);
  });

  test('results are complete up to where the last task is: nowhere, while one is not there or its place is not known', () => {
    const here = status({ tasks: [task('out', 0, 70)], watermarkMs: 70 });
    const behind = status({ tasks: [task('out', 1, 60)], watermarkMs: 60 });
    const reader = status({ sources: [source('rides', 1)] });
    const watermarkOf = (...all: PipelineStatus[]) => mergedStatus(all, ORDER).watermarkMs;
    assert.equal(watermarkOf(here, behind, reader), 60);
    assert.equal(watermarkOf(here, status({ tasks: [task('out', 1, null)] })), null);
    assert.equal(watermarkOf(here, emptyStatus('starting', null)), null);
    assert.equal(watermarkOf(reader, reader), null);
  });

  test('counts are sums that say when something is missing, and the oldest says how old it is', () => {
    const { counts, ageMs, quarantine } = mergedStatus(
      [status({ ageMs: 5 }), status({ ageMs: 900, quarantine: 'slow' }), emptyStatus('starting', null)],
      ORDER,
    );
    assert.deepEqual(counts, { in: 2, out: 4, late: 6, dead: 8, dropped: { filtered: 10 }, partial: true });
    assert.deepEqual([ageMs, quarantine], [900, 'slow']);
  });
});

const statusArb = fc
  .record({
    state: fc.constantFrom('running', 'restoring', 'starting', 'waiting', 'stopping', 'stopped', 'failed' as const),
    partitions: fc.array(fc.tuple(fc.constantFrom(...ORDER.stages), fc.option(fc.nat(99)))),
    held: fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.nat(9), fc.option(fc.nat(99))), { maxLength: 3 }),
    counted: fc.nat(99),
    partial: fc.boolean(),
    ageMs: fc.nat(99),
  })
  .map(({ state, partitions, held, counted, partial, ageMs }) => {
    const watermarks = partitions.map(([, watermarkMs]) => watermarkMs);
    return status({
      ...{ state, ageMs },
      tasks: partitions.map(([stage, watermarkMs]) => task(stage, 0, watermarkMs)),
      operators: [...new Map(held.map(([name, count, nextMs]) => [name, operator(name, count, nextMs)])).values()],
      watermarkMs: watermarks.length === 0 || watermarks.includes(null) ? null : Math.min(...(watermarks as number[])),
      counts: { in: counted, out: 0, late: 0, dead: 0, dropped: { filtered: counted }, partial },
    });
  });

/** Each task by a partition of its own, in whichever status it is. */
function numbered(statuses: readonly PipelineStatus[]): PipelineStatus[] {
  let partition = 0;
  return statuses.map(one => ({ ...one, tasks: one.tasks.map(of => ({ ...of, partition: partition++ })) }));
}

test('however statuses are grouped before, and in whichever order they come, the whole is the same', () => {
  fc.assert(
    fc.property(fc.array(statusArb, { minLength: 2, maxLength: 6 }), fc.nat(), (statuses, at) => {
      const all = numbered(statuses);
      const cut = 1 + (at % (all.length - 1));
      const whole = mergedStatus(all, ORDER);
      const halves = [mergedStatus(all.slice(0, cut), ORDER), mergedStatus(all.slice(cut), ORDER)];
      const sorted = (one: PipelineStatus) => ({
        ...one,
        operators: [...one.operators].sort((a, b) => (a.name < b.name ? -1 : 1)),
      });
      assert.deepEqual(sorted(mergedStatus(halves, ORDER)), sorted(whole));
      assert.deepEqual(sorted(mergedStatus(all.toReversed(), ORDER)), sorted(whole));
      assert.equal(
        whole.counts.in,
        all.reduce((sum, { counts }) => sum + counts.in, 0),
      );
    }),
  );
});
