/**
 * A stage's state cut anew: whatever the numbers of tasks, what comes out is what would have come out without it. Held here:
 * *by groups*, *merged whole*, *one moment*.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KEY_GROUPS, keyGroupOf, keyGroupsOf } from '../../../lib/base/hash.ts';
import { count, hopping, type Pipeline, pipeline, session, sum, tumbling } from '../../../lib/index.ts';
import type { Outbox, OutFrame } from '../../../lib/journal/outbox.ts';
import { aggregate } from '../../../lib/operator/own-aggregates.ts';
import { encodeKey, type Key } from '../../../lib/record/key.ts';
import { pack } from '../../../lib/record/rows.ts';
import { cutStage } from '../../../lib/savepoint/cut.ts';
import { bucketPrefix, entryKey } from '../../../lib/state/layout.ts';
import { encodeSegments, SEGMENT_BYTES_MAX } from '../../../lib/state/segment.ts';
import { type Fed, Fleet, placeOf } from './fleet.ts';

interface Value {
  /** Everything that an operator keys by is in the record, so that entries can be told. */
  readonly k: Key;
  readonly id: string;
  readonly n: number;
}

const TIMES = { within: 20, grace: 5 };
type Made = Parameters<typeof pipeline>[1];
const of = (make: (around: Parameters<Made>[0]) => void): Pipeline => pipeline('p', make);
const left = ({ from }: Parameters<Made>[0]) => from<Value>('in.a').keyBy(({ k }) => k, { name: 'left' });
const right = ({ from }: Parameters<Made>[0]) => from<Value>('in.b').keyBy(({ k }) => k, { name: 'right' });
const pair = (l: Value | null, r: Value | null) => ({ l, r });
const n = ({ n }: Value) => n;
const OUT = 'out.{partition}';

/** Every kind of operator, in each form that keeps state of its own form. */
const KINDS: Readonly<Record<string, Pipeline>> = {
  'dedupe first': of(
    b =>
      void left(b)
        .dedupe({ id: v => v.id, ...TIMES })
        .to(OUT),
  ),
  'dedupe last': of(
    b =>
      void left(b)
        .dedupe({ id: v => v.id, ...TIMES, keep: 'last' })
        .to(OUT),
  ),
  'join inner': of(b => void left(b).join(right(b), TIMES, pair).to(OUT)),
  'join left': of(b => void left(b).leftJoin(right(b), TIMES, pair).to(OUT)),
  'join right': of(b => void left(b).rightJoin(right(b), TIMES, pair).to(OUT)),
  'join outer': of(b => void left(b).outerJoin(right(b), TIMES, pair).to(OUT)),
  'join semi': of(b => void left(b).semiJoin(right(b), TIMES).to(OUT)),
  'join anti': of(b => void left(b).antiJoin(right(b), TIMES).to(OUT)),
  tumbling: of(
    b =>
      void left(b)
        .window(tumbling(20), { grace: 5 })
        .aggregate({ c: count(), s: sum(n) })
        .to(OUT),
  ),
  'hopping in panes': of(
    b =>
      void left(b)
        .window(hopping({ size: 30, advance: 10 }), { grace: 5 })
        .aggregate({ c: count(), s: sum(n) })
        .to(OUT),
  ),
  'hopping in panes, updates': of(
    b =>
      void left(b)
        .window(hopping({ size: 30, advance: 10 }), { emit: 'updates' })
        .aggregate({ c: count() })
        .to(OUT),
  ),
  'hopping in windows': of(
    b =>
      void left(b)
        .window(hopping({ size: 30, advance: 10 }))
        .aggregate({ all: aggregate<Value, number[]>({ init: () => [], add: (all, v) => [...all, v.n] }) })
        .to(OUT),
  ),
  session: of(
    b =>
      void left(b)
        .window(session(15), { grace: 5 })
        .aggregate({ c: count(), s: sum(n) })
        .to(OUT),
  ),
  'session, updates': of(b => void left(b).window(session(15), { emit: 'updates' }).aggregate({ c: count() }).to(OUT)),
  'table join': of(b => {
    const rows = b.from<Value>('in.a').keyBy(({ k }) => k as string, { name: 'left' });
    rows.leftJoin(b.table<Value>('sites'), (l, r) => ({ l, r })).to(OUT);
  }),
  process: of(
    b =>
      void left(b)
        .process<number, object>({
          onRecord({ k, n }, context) {
            context.state = (context.state ?? 0) + n;
            context.setTimer(`${n % 3}:`, context.watermarkMs > 0 ? context.watermarkMs + 30 : 40);
            if (n % 5 === 0) context.clearTimer('1:');
            if (n % 7 === 0) context.state = undefined;
            context.emit({ k, n, state: context.state ?? null });
          },
          onTimer(name, context) {
            context.emit({ k: context.key, name, state: context.state ?? null });
            if (name === '2:') context.state = undefined;
          },
        })
        .to(OUT),
  ),
};

/** Keys in the first and the last group of partitions, where a step too far shows. */
function edgeKeys(): string[] {
  const edges = [2, 3, 5].flatMap(partitions => keyGroupsOf(1, partitions).from).flatMap(first => [first - 1, first]);
  return edges.map(group => {
    let i = 0;
    while (keyGroupOf(`e${i}`) !== group) i++;
    return `e${i}`;
  });
}

/** Keys of many forms, and texts that look like what is put around keys. */
const KEYS: readonly Key[] = [
  ...edgeKeys(),
  ...Array.from({ length: 20 }, (_, i) => `k${i}`),
  ...Array.from({ length: 8 }, (_, i) => i),
  ...Array.from({ length: 4 }, (_, i) => ['é', i]),
  null,
  '',
  '*',
  '3:abc',
  '\u0000',
  '3\u0000abcd',
  'é'.repeat(200),
];

interface Part {
  readonly records: readonly Fed[];
  readonly untilMs: number;
  readonly evicts: boolean;
}

const record = fc.record({
  key: fc.nat(KEYS.length - 1),
  id: fc.nat(2),
  n: fc.nat(30),
  at: fc.nat(29),
  input: fc.nat(1),
});
const part = fc.record({ records: fc.array(record, { minLength: 20, maxLength: 60 }), evicts: fc.boolean() });
const story = fc.record({
  kind: fc.constantFrom(...Object.keys(KINDS)),
  from: fc.constantFrom(1, 2, 3, 7),
  to: fc.constantFrom(1, 2, 5, 8),
  again: fc.constantFrom(1, 3, 4),
  /** Small batches of each task at the cut; 0: it is made when nothing is under way. */
  slices: fc.array(fc.nat(4), { minLength: 7, maxLength: 7 }),
  isUnderWay: fc.boolean(),
  before: fc.array(part, { minLength: 1, maxLength: 3, size: 'max' }),
  after: fc.array(part, { minLength: 1, maxLength: 3, size: 'max' }),
});

/** Event time goes on by 20 ms with each part, and its records are spread over 30: some come late. */
function partsOf(parts: readonly (typeof part extends fc.Arbitrary<infer P> ? P : never)[], start: number): Part[] {
  return parts.map(({ records, evicts }, i) => ({
    evicts,
    untilMs: 20 * (start + i),
    records: records.map(({ key, id, n, at, input }) => {
      const k = KEYS[key]!;
      // Each key has ids that are the key itself, and some that others have too.
      const value: Value = { k, id: id === 0 && typeof k === 'string' ? k : `id${id}`, n };
      return { key: k, value, timeMs: 20 * (start + i) + at, input };
    }),
  }));
}

async function play(fleet: Fleet, part: Part): Promise<string[]> {
  const inputs = fleet.stage.inputs.length;
  // Others have no use for records without a key.
  const isDedupe = fleet.stage.program.nodes.some(({ spec }) => spec.kind === 'dedupe');
  const records = part.records.filter(({ key }) => isDedupe || key !== null);
  fleet.feed(records.map(record => ({ ...record, input: record.input % inputs })));
  return fleet.run(part.untilMs);
}

/** Whose an entry is, by the forms that the operators' headers describe. */
function keyOfEntry(kind: string): (entry: { table: string; key: string }) => Key {
  const decode = (text: string) => KEYS.find(key => encodeKey(key) === text)!;
  return ({ table, key }) => {
    if (kind.startsWith('dedupe')) {
      if (!key.startsWith('\u0000')) return decode(key);
      return key.startsWith('\u0000\u0000') ? null : decode(key.slice(2, 1 + key.charCodeAt(1)));
    }
    if (kind === 'process' && table === 'timers') return decode(key.slice(4));
    return decode(key);
  };
}

describe('a stage that is cut anew', () => {
  test('brings what it would have brought, once, and each entry is where its group is (*by groups*, *whole before cut*)', async () => {
    let underWay = 0;
    await fc.assert(
      fc.asyncProperty(story, async ({ kind, from, to, again, slices, isUnderWay, before, after }) => {
        const fleet = await Fleet.of(KINDS[kind]!, from);
        for (const part of partsOf(before, 0)) {
          await play(fleet, part);
          await fleet.checkpoint(part);
        }
        if (isUnderWay) {
          const dueMs = 20 * before.length + 200;
          await fleet.begin(dueMs, partition => slices[partition]!);
          // Tasks that are done and others that are not cannot become one: then nothing is under way.
          if (!fleet.isUnderWay) await fleet.run(dueMs);
          else underWay++;
          await fleet.checkpoint({ evicts: false });
        }
        let cut = await fleet.recut(to);
        cut.checkPlaces(keyOfEntry(kind));
        // The second one finds what the first has made of what was under way.
        cut = await cut.recut(again);
        cut.checkPlaces(keyOfEntry(kind));
        if (fleet.isUnderWay && isUnderWay) {
          const { dueMs } = fleet.tasks[0]!;
          assert.deepEqual((await cut.run(dueMs)).sort(), (await fleet.run(dueMs)).sort());
        }
        const start = before.length + (isUnderWay ? 12 : 0);
        for (const part of [...partsOf(after, start), { records: [], untilMs: 100_000, evicts: false }]) {
          const expected = await play(fleet, part);
          assert.deepEqual((await play(cut, part)).sort(), expected.sort());
        }
      }),
      { numRuns: 150 },
    );
    assert.ok(underWay > 20, `${underWay} cuts were made while much was under way`);
  });

  /**
   * windows due     1 2 3 4 5 6        the three tasks have sent so much of them, and become one, and two again
   * task 0          ■ ■ ■ ■ ▪
   * task 1          ■ ▪
   * task 2          nothing yet
   */
  test('windows from panes that are under way in all tasks, each at another one, go out once', async () => {
    for (const slices of [
      [37, 11, 0],
      [0, 25, 26],
      [3, 40, 9],
      [1, 1, 1],
    ]) {
      const fleet = await Fleet.of(KINDS['hopping in panes']!, 3);
      const records = Array.from({ length: 240 }, (_, i) => {
        const k = `k${i % 40}`;
        return { key: k, value: { k, id: 'x', n: i }, timeMs: Math.floor(i / 40) * 10, input: 0 };
      });
      fleet.feed(records);
      await fleet.run(0);
      const sent = await fleet.begin(200, partition => slices[partition]!);
      assert.ok(fleet.isUnderWay);
      await fleet.checkpoint({ evicts: false });
      const one = await fleet.recut(1);
      // It goes on for a while, and is cut before it is done.
      const more = await one.begin(200, () => 8);
      assert.ok(one.isUnderWay);
      await one.checkpoint({ evicts: false });
      const two = await one.recut(2);
      const all = [...sent, ...more, ...(await two.run(200))];
      assert.deepEqual(all.sort(), [...sent, ...(await fleet.run(200))].sort());
      assert.equal(new Set(all).size, all.length);
      assert.equal(two.tasks.map(({ processor }) => processor.state.entries).join(), '0,0', 'nothing stays behind');
    }
  });

  test('a large state comes a segment at a time, and others have their turn meanwhile', async () => {
    const fleet = await Fleet.of(KINDS.session!, 2);
    const pad = 'x'.repeat(1_000);
    fleet.feed(
      Array.from({ length: 6_000 }, (_, i) => {
        const k = `${pad}${i}`;
        return { key: k, value: { k, id: 'x', n: i }, timeMs: i % 10, input: 0 };
      }),
    );
    await fleet.run(0);
    await fleet.checkpoint({ evicts: false });
    let segments = 0;
    let turns = 0;
    for (const task of fleet.cut(1)) {
      for await (const step of task.segments()) {
        if (step === null) turns++;
        else {
          segments++;
          assert.ok(step.length <= SEGMENT_BYTES_MAX);
        }
      }
    }
    assert.ok(segments >= 6 && turns >= 12, `${segments} segments, ${turns} turns`);
    const cut = await fleet.recut(3);
    assert.equal((await cut.run(1_000)).length, 6_000);
  });
});

describe('snapshots that cannot be cut as they are', () => {
  const tables = [{ name: 'op.t', key: 'key', kind: 'values' }] as const;
  const at = { watermarkMs: 10, dueMs: 10 };
  const task = (place = placeOf(at), segments: Uint8Array[] = []) => ({ place, segments: () => segments });
  const refused = (message: RegExp) => ({ code: 'INVALID_ARGUMENT', message });

  test('have results that wait to be sent', () => {
    const outbox: Outbox = { rows: [], frames: [{} as OutFrame] };
    const waiting = { place: placeOf(at, outbox), segments: () => [] };
    const cut = () => cutStage({ tables, tasks: [task(), waiting], partitions: 3 });
    assert.throws(cut, refused(/task 1 has results that are not sent yet.*pause the pipeline/));
  });

  test('are of tasks that become one, and not at one watermark; those that stay apart may be anywhere (*one moment*)', () => {
    for (const other of [
      { watermarkMs: 9, dueMs: 10 },
      { watermarkMs: 10, dueMs: 11 },
    ]) {
      const tasks = [task(), task(placeOf(other))];
      for (const partitions of [1, 3]) {
        assert.throws(
          () => cutStage({ tables, tasks, partitions }),
          refused(/not at one watermark.*Pause the pipeline's sources/),
        );
      }
      const times = cutStage({ tables, tasks, partitions: 4 }).map(({ watermarkMs, dueMs }) => ({
        watermarkMs,
        dueMs,
      }));
      assert.deepEqual(times, [at, at, other, other]);
    }
  });

  test('are none, or are to become no whole number', () => {
    assert.throws(() => cutStage({ tables, tasks: [], partitions: 1 }), refused(/snapshots of all tasks/));
    for (const partitions of [0, 1.5, -1, KEY_GROUPS + 1]) {
      assert.throws(() => cutStage({ tables, tasks: [task()], partitions }), refused(/whole number/));
    }
  });

  test('have a table that is not declared', async () => {
    const segments = [
      ...encodeSegments([{ type: 'put', key: entryKey(bucketPrefix('op.u', 0), 'k'), value: pack(1) }]),
    ];
    const [cut] = cutStage({ tables, tasks: [task(placeOf(at), segments as Uint8Array[])], partitions: 1 });
    await assert.rejects(cut!.segments().next(), { code: 'PLAN_INCOMPATIBLE', message: /table 'op.u'/ });
  });
});
