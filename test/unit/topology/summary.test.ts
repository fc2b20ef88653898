/** What is kept and shown of a plan: its fingerprint, what makes two plans incompatible, and the text for people. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { avg, type Beginnings, count, hopping, pipeline, type Stream, session, tumbling, versions } from 'millrace';
import { z } from 'zod';
import { describe as textOf } from '../../../lib/topology/describe.ts';
import { incompatibilities, type PlanSummary, summarize } from '../../../lib/topology/summary.ts';
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
        .dedupe({ id: e => `${e.id}`, within: '60m', grace: '1s' });
      const placed = events.keyBy('site').leftJoin(table('sites'), e => e);
      const rows = placed.window(tumbling('60s'), { grace: '10s' }).aggregate({ total: count() });
      rows.filter(row => row.total > 1).to('elsewhere.{partition}', { format: 'msgpack' });
    };
    const [before, after] = [await stored(base), await stored(changed)];
    assert.equal(before.fingerprint, after.fingerprint);
    assert.deepEqual(incompatibilities(before, after), []);
  });
});

describe('a revision is refused, with the reason, where', () => {
  const keyed = ({ from }: Beginnings) => from<Event>('in.e').keyBy('site');
  const window: Build = b => keyed(b).window(tumbling('1m')).aggregate({ n: count() }).to('out.{site}');
  const dedupe = (within: string, keep: 'first' | 'last') => (b: Beginnings) =>
    keyed(b)
      .dedupe({ id: e => e.id, within, keep })
      .to('out.{site}');
  const join = (after: string) => (b: Beginnings) =>
    keyed(b)
      .join(keyed(b), { within: { after } }, left => left)
      .to('out.{site}');
  const leftJoin: Build = b =>
    keyed(b)
      .leftJoin(keyed(b), { within: { after: '1h' } }, left => left)
      .to('out.{site}');
  const rows: [what: string, before: Build, after: Build, reason: RegExp][] = [
    [
      'a window has another size',
      window,
      b => keyed(b).window(tumbling('2m')).aggregate({ n: count() }).to('out.{site}'),
      /^operator window-1 of stage by-site was \(windows of 1m: count\) and would be \(windows of 2m: count\)$/,
    ],
    [
      'a window has another shape',
      window,
      b => keyed(b).window(session('1m')).aggregate({ n: count() }).to('out.{site}'),
      /would be \(sessions that end with a pause of more than 1m: count\)/,
    ],
    [
      'windows begin elsewhere or more often',
      b =>
        keyed(b)
          .window(hopping({ size: '1h', advance: '5m' }))
          .aggregate({ n: count() })
          .to('out.{site}'),
      b =>
        keyed(b)
          .window(hopping({ size: '1h', advance: '10m', offset: '1m' }))
          .aggregate({ n: count() })
          .to('out.{site}'),
      /was \(windows of 1h every 5m: count\) and would be \(windows of 1h every 10m, moved by 1m: count\)/,
    ],
    [
      'a window computes something else',
      window,
      b =>
        keyed(b)
          .window(tumbling('1m'))
          .aggregate({ n: avg(e => e.n) })
          .to('out.{site}'),
      /would be \(windows of 1m: avg\)/,
    ],
    [
      'a window tells every change',
      window,
      b => keyed(b).window(tumbling('1m'), { emit: 'updates' }).aggregate({ n: count() }).to('out.{site}'),
      /windows of 1m, every change: count/,
    ],
    [
      'copies are sought elsewhere',
      dedupe('1h', 'first'),
      dedupe('2h', 'first'),
      /keeps the first of copies within 2h/,
    ],
    ['another copy is kept', dedupe('1h', 'first'), dedupe('1h', 'last'), /keeps the last of copies within 1h/],
    ['a join reaches further', join('1h'), join('2h'), /inner join, 0s before to 2h after/],
    ['a join is of another kind', join('1h'), leftJoin, /was \(inner join.*would be \(left join/],
    [
      'a stateful operator is new',
      b => keyed(b).to('out.{site}'),
      window,
      /^operator window-1 of stage by-site is new/,
    ],
    [
      'a stateful operator is gone',
      window,
      b => keyed(b).to('out.{site}'),
      /^operator window-1 of stage by-site is gone/,
    ],
    [
      'the stream that is read is another',
      window,
      b =>
        b
          .from<Event>('in.f', { name: 'in-e' })
          .keyBy('site')
          .window(tumbling('1m'))
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
        .window(tumbling('1m'))
        .aggregate({ n: count() })
        .to('out.{site}');
    assert.deepEqual(incompatibilities(await stored(window), await stored(both)), [
      'source in-f is new: stages that run already have not read it from its beginning',
      'input in-f of stage by-site is new',
    ]);
    assert.deepEqual(incompatibilities(await stored(both), await stored(window)), [
      'source in-f is gone, and with it the place up to which it was read',
      'input in-f of stage by-site is gone',
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
    does   dedupe-1  computes the id that copies are found by
    does   by-site   computes the key
    sends  to stage by-site  as its input in-e-dedupe-1
  sites
    reads  bucket $KV.sites.>  stream KV_sites  auto, without a schema
    sends  to stage by-site  as its input sites

stages: tasks with state
  raw-direct  1 task, without a key
    reads  subject new.*  stream new (made)  auto, without a schema, the broker's time, up to 30s out of order, from now on
    does   tidy  map
    sends  to sink to-2
    sends  to sink to-3
  by-site  4 tasks, one a partition of its key
    input  in-e-dedupe-1  from reader in-e
    input  sites          from reader sites, read to its end before anything else
    state  dedupe-1     keeps the first of copies within 1h
    state  tableJoin-1  join with a table
    state  window-1     windows of 1m: count
    sends  to sink to-1

sinks: what comes out
  to-1   out.{site}       json                       stream out (made)   exactly once, in atomic batches with markers
  to-2   log.{partition}  msgpack in msgpack frames  stream log (made)   exactly once, a subject for each task
  to-3   copy.{site}      json                       stream copy (made)  at least once; exactly once within the duplicate window of the stream`,
    );
  });
});
