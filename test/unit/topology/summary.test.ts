/** What is kept and shown of a plan: its fingerprint, what makes two plans incompatible, and the text for people. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  aggregate,
  avg,
  type Beginnings,
  count,
  type DedupeOptions,
  hopping,
  type JoinOptions,
  pipeline,
  reduce,
  type Stream,
  session,
  sum,
  tumbling,
  versions,
  type WindowOptions,
  type WindowShape,
} from 'millrace';
import { z } from 'zod';
import { describe as textOf } from '../../../lib/topology/describe.ts';
import { incompatibilities, type PlanSummary, summarize } from '../../../lib/topology/summary.ts';
import type { Aggregates } from '../../../lib/topology/types.ts';
import { planned } from './broker.ts';

interface Event {
  readonly id: number;
  readonly site: string;
  readonly n: number;
}

type Build = (beginnings: Beginnings) => void;

/** As it comes back from where it was stored. */
async function stored(build: Build, options: { partitions?: number } = {}): Promise<PlanSummary> {
  const plan = await planned(pipeline('p', build, options));
  return JSON.parse(JSON.stringify(summarize(plan))) as PlanSummary;
}

const base: Build = ({ from, table }) => {
  const events = from<Event>('in.e', { time: 'n' }).dedupe({ id: e => e.id, within: '1h' });
  const placed = events.keyBy('site').join(table('sites'), e => e);
  placed.window(tumbling('1m')).aggregate({ n: count() }).to('out.{site}');
};

describe('the fingerprint', () => {
  test('is 32 hex digits and the same for the same pipeline, stored or not', async () => {
    const plan = await planned(pipeline('p', base));
    assert.match(plan.fingerprint, /^[0-9a-f]{32}$/);
    assert.equal((await stored(base)).fingerprint, plan.fingerprint);
    assert.deepEqual(JSON.parse(JSON.stringify(summarize(plan))), summarize(plan));
  });

  test('does not care for what may change while state is kept', async () => {
    const changed: Build = ({ from, table }) => {
      const schema = z.object({ id: z.number(), site: z.string(), n: z.number() });
      const events = from('in.e', { schema: versions(schema), maxOutOfOrder: '5s', idleAfter: '1m', time: e => e.n })
        .filter(e => e.n > 3)
        .map(e => ({ ...e, more: 1 }))
        .dedupe({ id: e => `${e.id}`, within: '60m' });
      const placed = events.keyBy('site').leftJoin(table('sites'), e => e);
      const rows = placed.window(tumbling('60s')).aggregate({ n: count() });
      rows.filter(row => row.n > 1).to('elsewhere.{partition}', { format: 'msgpack' });
    };
    const [before, after] = [await stored(base), await stored(changed)];
    assert.equal(before.fingerprint, after.fingerprint);
    assert.deepEqual(incompatibilities(before, after), []);
  });
});

describe('a revision is refused, with the reason, where', () => {
  // All under names that stay, so that each is the same operator to whoever looks at names alone.
  const keyed = ({ from }: Beginnings) => from<Event>('in.e').keyBy('site');
  type Shown = WindowOptions<'final' | 'updates'>;
  const windows =
    (shape: WindowShape, aggregates: Aggregates<Event> = { n: count() }, shown: Shown = {}): Build =>
    b =>
      keyed(b)
        .window(shape, { name: 'w', ...shown })
        .aggregate(aggregates)
        .to('out.{site}');
  const window = windows(tumbling('1m'));
  const dedupe =
    (options: Omit<DedupeOptions<Event>, 'id' | 'name'>): Build =>
    b =>
      keyed(b)
        .dedupe({ id: e => e.id, name: 'd', ...options })
        .to('out.{site}');
  const join =
    (kind: 'join' | 'leftJoin', options: JoinOptions, sides: 'as they are' | 'exchanged' = 'as they are'): Build =>
    b => {
      const both = [keyed(b), b.from<Event>('in.f').keyBy('site')] as const;
      const [left, right] = sides === 'exchanged' ? ([both[1], both[0]] as const) : both;
      const named = { name: 'j', ...options };
      const joined = kind === 'join' ? left.join(right, named, one => one) : left.leftJoin(right, named, one => one);
      joined.to('out.{site}');
    };
  const hour = { within: '1h' } as const;
  const total = (merge?: { merge(left: number, right: number): number }) =>
    aggregate<Event, number>({ init: () => 0, add: (sum, e) => sum + e.n, ...merge });
  const merge = { merge: (left: number, right: number) => left + right };
  const steps = hopping({ size: '1h', advance: '5m' });
  const rows: [what: string, before: Build, after: Build, reason: RegExp][] = [
    [
      'a window has another size',
      window,
      windows(tumbling('2m')),
      /^operator w of stage by-site was \(windows of 1m: n \(count\); from in-e\) and would be \(windows of 2m: n \(count\); from in-e\)$/,
    ],
    [
      'a window has another shape',
      window,
      windows(session('1m')),
      /would be \(sessions that end with a pause of more than 1m: n/,
    ],
    [
      'windows begin elsewhere or more often',
      windows(steps),
      windows(hopping({ size: '1h', advance: '10m', offset: '1m' })),
      /was \(windows of 1h every 5m in panes: n .* and would be \(windows of 1h every 10m, moved by 1m in panes: n/,
    ],
    [
      'a window computes something else',
      window,
      windows(tumbling('1m'), { n: avg(e => e.n) }),
      /would be \(windows of 1m: n \(avg\);/,
    ],
    [
      'a window computes the same under another name',
      windows(tumbling('1m'), { b: sum(e => e.n), a: sum(e => e.id) }),
      windows(tumbling('1m'), { b: sum(e => e.n), c: sum(e => e.id) }),
      /was \(windows of 1m: a \(sum\), b \(sum\); .* would be \(windows of 1m: b \(sum\), c \(sum\);/,
    ],
    [
      'a fold begins with a value of its own',
      windows(tumbling('1m'), { n: reduce((left: Event) => left) }),
      windows(tumbling('1m'), { n: reduce((n: number, e: Event) => n + e.n, 0) }),
      /was \(windows of 1m: n \(reduce\); .* would be \(windows of 1m: n \(reduce-from\);/,
    ],
    [
      'windows that overlap can be put together from panes',
      windows(steps, { n: total() }),
      windows(steps, { n: total(merge) }),
      /was \(windows of 1h every 5m: n .* would be \(windows of 1h every 5m in panes: n/,
    ],
    [
      'a window tells every change',
      window,
      windows(tumbling('1m'), { n: count() }, { emit: 'updates' }),
      /windows of 1m, every change: n \(count\)/,
    ],
    [
      'windows wait longer',
      window,
      windows(tumbling('1m'), { n: count() }, { grace: '5s' }),
      /windows of 1m, grace 5s: n/,
    ],
    ['copies are sought elsewhere', dedupe(hour), dedupe({ within: '2h' }), /keeps the first of copies within 2h/],
    ['copies may come later', dedupe(hour), dedupe({ ...hour, grace: '1m' }), /copies within 1h, grace 1m/],
    ['another copy is kept', dedupe(hour), dedupe({ ...hour, keep: 'last' }), /keeps the last of copies within 1h/],
    [
      'a join reaches further',
      join('join', hour),
      join('join', { within: { after: '2h' } }),
      /inner join, 0s before to 2h after/,
    ],
    ['a join waits longer', join('join', hour), join('join', { ...hour, grace: '1m' }), /1h after, grace 1m/],
    ['a join is of another kind', join('join', hour), join('leftJoin', hour), /was \(inner join.*would be \(left join/],
    [
      'the sides of a join have changed places',
      join('join', hour),
      join('join', hour, 'exchanged'),
      /^operator j of stage by-site was \(.*; from in-e, with in-f\) and would be \(.*; from in-f, with in-e\)$/,
    ],
    ['a stateful operator is new', b => keyed(b).to('out.{site}'), window, /^operator w of stage by-site is new/],
    ['a stateful operator is gone', window, b => keyed(b).to('out.{site}'), /^operator w of stage by-site is gone/],
    [
      'the stream that is read is another',
      window,
      b =>
        b
          .from<Event>('in.f', { name: 'in-e' })
          .keyBy('site')
          .window(tumbling('1m'), { name: 'w' })
          .aggregate({ n: count() })
          .to('out.{site}'),
      /^source in-e read in\.e of stream IN and would now read in\.f of stream IN$/,
    ],
  ];
  for (const [what, before, after, reason] of rows) {
    test(what, async () => {
      const reasons = incompatibilities(await stored(before), await stored(after));
      assert.equal(reasons.length, 1, reasons.join('\n'));
      assert.match(reasons[0] as string, reason);
    });
  }

  test('not where results are written in another order', async () => {
    const forth = await stored(windows(tumbling('1m'), { a: sum(e => e.n), b: sum(e => e.id), c: count() }));
    const back = await stored(windows(tumbling('1m'), { c: count(), b: sum(e => e.id), a: sum(e => e.n) }));
    assert.deepEqual(incompatibilities(forth, back), []);
    assert.equal(forth.fingerprint, back.fingerprint);
  });

  test('the key is another, for each thing that depends on it', async () => {
    const other: Build = ({ from }) => {
      from<Event>('in.e').keyBy('n').window(tumbling('1m')).aggregate({ c: count() }).to('out.{n}');
    };
    assert.deepEqual(incompatibilities(await stored(window), await stored(other)), [
      'stage by-site is gone, and with it its state',
      'stage by-n is new, and what it should have seen has been read already',
    ]);
  });

  test('sources come and go, or feed other inputs', async () => {
    const both: Build = ({ from }) =>
      from<Event>('in.e')
        .merge(from<Event>('in.f'))
        .keyBy('site')
        .window(tumbling('1m'), { name: 'w' })
        .aggregate({ n: count() })
        .to('out.{site}');
    assert.deepEqual(incompatibilities(await stored(window), await stored(both)), [
      'source in-f is new: stages that run already have not read it from its beginning',
      'input in-f of stage by-site is new',
      'operator w of stage by-site was (windows of 1m: n (count); from in-e) and would be (windows of 1m: n (count); from in-e and in-f)',
    ]);
    assert.deepEqual(incompatibilities(await stored(both), await stored(window)), [
      'source in-f is gone, and with it the place up to which it was read',
      'input in-f of stage by-site is gone',
      'operator w of stage by-site was (windows of 1m: n (count); from in-e and in-f) and would be (windows of 1m: n (count); from in-e)',
    ]);
    const direct = (subject: string) => (b: Beginnings) => b.from<Event>(subject, { name: 's' }).to('out.{site}');
    assert.deepEqual(incompatibilities(await stored(direct('in.a')), await stored(direct('in.b'))), [
      'stage s-direct read in.a of stream IN and would now read in.b of stream IN',
    ]);
  });

  test('there are more or fewer partitions', async () => {
    const reasons = incompatibilities(await stored(window, { partitions: 8 }), await stored(window, { partitions: 9 }));
    assert.deepEqual(reasons, ['stage by-site has 8 partitions and would have 9: keys would move']);
  });

  test('what was stored is not known', async () => {
    for (const unknown of [null, 'text', {}, { version: 99 }]) {
      assert.equal(incompatibilities(unknown, await stored(window)).length, 1);
    }
    const elsewhere = { ...(await stored(window)), pipeline: 'other' };
    assert.deepEqual(incompatibilities(elsewhere, await stored(window)), ['this is pipeline p, not other']);
  });
});

describe('the text of a plan', () => {
  test('says of stages that several write to whom they wait for, and for how long', async () => {
    const summary = await stored(({ from, table }) => {
      const keyed = (name: string, more: object) => from<Event>('in.e', { name, ...more }).keyBy('site');
      const joined = keyed('a', { maxDelay: '5m' })
        .merge(keyed('b', { idle: 'skip', idleAfter: '1m' }))
        .join(table<Event>('sites'), left => left);
      joined
        .keyBy('id')
        .merge(from<Event>('in.e', { name: 'c' }).keyBy('id'))
        .to('out.{site}');
    });
    const lines = textOf(summary).split('\n');
    assert.deepEqual(
      lines.filter(line => /^ +waits/.test(line)).map(line => line.trim().replaceAll(/ {2,}/g, ' | ')),
      [
        'waits | for a | quiet for 10s it goes on with the clock',
        'waits | for b | quiet for 1m it is waited for no more',
        'waits | for c | quiet for 10s it goes on with the clock',
        'waits | for stage by-site | as far as its own event time is',
      ],
    );
    assert.ok(lines.some(line => /reads .*event time of its own|the broker's time, published within 5m/.test(line)));
  });

  test('says what runs where, what it keeps, and which streams are read and made', async () => {
    const build: Build = b => {
      base(b);
      const raw: Stream<Event> = b.from<Event>('new.*', {
        name: 'raw',
        capture: true,
        maxOutOfOrder: '30s',
        start: 'new',
      });
      raw.map(e => e, { name: 'tidy' }).to('log.{partition}', { format: 'msgpack' });
      raw.to('copy.{site}', { mode: 'at-least-once' });
    };
    const summary = await stored(build, { partitions: 4 });
    assert.equal(
      textOf(summary),
      `\
pipeline p  (fingerprint ${summary.fingerprint})

readers: read a stream and send each record to the task that has its key
  in-e
    reads  subject in.e  stream IN  auto, without a schema, event time of its own
    does   dedupe-in-e  computes the id that copies are found by
    does   by-site      computes the key
    sends  to stage by-site  as its input in-e-dedupe-in-e
  sites
    reads  bucket $KV.sites.>  stream KV_sites  auto, without a schema
    sends  to stage by-site  as its input sites

stages: tasks with state
  raw-direct  1 task, without a key
    reads  subject new.*  stream new (made)  auto, without a schema, the broker's time, up to 30s out of order, from now on
    keeps  messages for 7d, at most 1 GiB; otherwise by capture: { maxAge, maxBytes }, or later by nats stream edit new
    does   tidy  map
    sends  to sink to-log-partition
    sends  to sink to-copy-site
  by-site  4 tasks, one a partition of its key
    input  in-e-dedupe-in-e  from reader in-e
    input  sites             from reader sites, read to its end before anything else
    state  dedupe-in-e        keeps the first of copies within 1h
    state  join-sites         join with a table
    state  window-1m-by-site  windows of 1m: n (count)
    sends  to sink to-out-site

sinks: what comes out
  to-out-site       out.{site}       json                       stream out (made)   exactly once, in atomic batches with markers
  to-log-partition  log.{partition}  msgpack in msgpack frames  stream log (made)   exactly once, a subject for each task
  to-copy-site      copy.{site}      json                       stream copy (made)  at least once; exactly once within the duplicate window of the stream`,
    );
  });
});
