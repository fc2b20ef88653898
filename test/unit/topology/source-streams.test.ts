/** Which streams a source reads, and what is said where that is not plain: decisions of the planner, case by case. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CopiedStream, StreamConfig } from '../../../lib/port/stream-config.ts';
import { pipeline } from '../../../lib/topology/builder.ts';
import { keeps } from '../../../lib/topology/source-streams.ts';
import type { FromOptions } from '../../../lib/topology/sources.ts';
import { type KnownStream, mistakesOf, planned } from './broker.ts';

const NOTHING_OF_AWAY =
  "stream 'AWAY', which streams names, holds nothing of 'orders.us': it lists nothing, and copies from 'ORIGIN' " +
  'under other subjects, or others than these';

interface Event {
  readonly id: string;
}

const EU: KnownStream = { name: 'EU', subjects: ['orders.eu'] };
const US: KnownStream = { name: 'US', subjects: ['orders.us'] };

function reading(subject: string, options: FromOptions<Event> = {}) {
  return pipeline('p', ({ from }) => from<Event>(subject, options).keyBy('id').to('out.{id}'));
}

async function said(subject: string, options: FromOptions<Event>, streams: readonly KnownStream[]): Promise<string> {
  return (await mistakesOf(reading(subject, options), streams)).map(({ message }) => message).join('\n');
}

async function read(subject: string, options: FromOptions<Event>, streams: readonly KnownStream[]) {
  const { readers } = await planned(reading(subject, options), streams);
  return readers.map(({ name, source }) => [name, source.stream, source.capture !== null]);
}

describe('a subject of which several streams keep a part', () => {
  test('is refused with the names of all', async () => {
    const ASIA = { name: 'ASIA', subjects: ['orders.asia.>', 'orders.asia'] };
    assert.equal(
      await said('orders.*', {}, [EU, US, ASIA]),
      "streams 'EU' and 'US' and 'ASIA' each keep a part of 'orders.*': list those that are to be read, streams: ['EU', 'US', 'ASIA']",
    );
    assert.match(await said('orders.*', { capture: true }, [EU, US]), /streams: \['EU', 'US'\], in place of capture$/);
    assert.deepEqual(await read('orders.eu', {}, [EU, US]), [['orders-eu', 'EU', false]]);
  });

  test('says so where one has what another has', async () => {
    const both = { ...US, config: { sources: [{ name: 'EU', renamed: [] }] } };
    assert.match(
      await said('orders.*', {}, [EU, both]),
      /; 'US' holds copies of what another has, so that one is enough$/,
    );
    const text = await said('orders.*', { streams: ['EU', 'US'] }, [EU, both]);
    assert.match(text, /^stream 'US' copies from 'EU', so messages of both would come twice: leave one of them out/);
    assert.deepEqual(await read('orders.*', { streams: ['US'] }, [EU, both]), [['orders-any', 'US', false]]);
  });

  test('is read from all that the author lists, each a source', async () => {
    const streams = ['EU', 'US'];
    assert.deepEqual(await read('orders.*', { streams }, [EU, US]), [
      ['orders-any-EU', 'EU', false],
      ['orders-any-US', 'US', false],
    ]);
    assert.deepEqual(await read('orders.*', { streams, name: 'orders' }, [EU, US]), [
      ['orders-EU', 'EU', false],
      ['orders-US', 'US', false],
    ]);
    assert.deepEqual(await read('orders.*', { streams: ['US', 'US'] }, [EU, US]), [['orders-any', 'US', false]]);
  });

  test('is none because of what Millrace or the broker keeps beside it', async () => {
    const others = [
      { name: 'MR_p_1_journal', subjects: ['_mr.p.j.1.>'] },
      { name: 'MR_p_letters', subjects: ['millrace.p.dead.>', '_mr.p.l.>'], atomic: true },
      { name: 'KV_sites', subjects: ['$KV.sites.>'] },
      { name: 'MRB_millrace', subjects: ['_mrb.millrace.>'] },
    ];
    assert.deepEqual(await read('*.*.*.>', {}, [...others, { name: 'IN', subjects: ['in.>'] }]), [
      ['any-any-any-all', 'IN', false],
    ]);
    assert.ok(!keeps({ subjects: ['$KV.a.>'] }, '>'));
    assert.ok(keeps({ subjects: ['$KV.a.>'] }, '$KV.a.*'));
    assert.ok(keeps({ subjects: ['millrace.p.dead.>'] }, 'millrace.*.dead.>'));
  });
});

describe('streams that the author lists', () => {
  test('are there, and can hold something of the subject', async () => {
    assert.match(
      await said('orders.*', { streams: ['EU', 'NO'] }, [EU]),
      /^there is no stream 'NO', which streams names/,
    );
    const other = { name: 'OTHER', subjects: ['other.>'] };
    assert.match(
      await said('orders.*', { streams: ['OTHER'] }, [other]),
      /^stream 'OTHER', which streams names, holds nothing of 'orders\.\*': it lists 'other\.>'$/,
    );
    const mirror: KnownStream = { name: 'COPY', subjects: [], config: { mirror: { name: 'EU', renamed: [] } } };
    assert.deepEqual(await read('orders.*', { streams: ['COPY'] }, [EU, mirror]), [['orders-any', 'COPY', false]]);
    const aside = { ...other, config: { sources: [{ name: 'EU', renamed: [] }] } };
    assert.deepEqual(await read('orders.*', { streams: ['OTHER'] }, [EU, aside]), [['orders-any', 'OTHER', false]]);
  });

  test('hold nothing twice, by whatever ways it was copied', async () => {
    const copy = (name: string, of: string, how: Partial<CopiedStream> = {}): KnownStream => ({
      ...{ name, subjects: [], config: { sources: [{ name: of, renamed: [], ...how }] } },
    });
    const origin = { name: 'ORIGIN', subjects: ['orders.>'] };
    const renamed = (src: string, dest: string) => ({ renamed: [{ src, dest }] });
    const known: KnownStream[] = [
      origin,
      { name: 'M1', subjects: [], config: { mirror: { name: 'ORIGIN', renamed: [] } } },
      { name: 'C', subjects: [], config: { mirror: { name: 'M1', renamed: [] } } },
      copy('EU', 'ORIGIN', { filter: 'orders.eu' }),
      copy('US', 'M1', { filter: 'orders.us' }),
      copy('WEST', 'US', { filter: 'orders.*' }),
      copy('AWAY', 'ORIGIN', renamed('orders.eu', 'away.eu')),
      copy('HERE', 'AWAY', renamed('>', 'orders.{{wildcard(1)}}')),
      copy('THERE', 'ORIGIN', { external: '$JS.hub.API' }),
      copy('LOST', 'GONE'),
      { name: 'MORE', subjects: ['more.>'], config: { sources: [{ name: 'LOST', renamed: [] }] } },
      {
        ...copy('MOVED', 'EU'),
        config: { ...copy('MOVED', 'EU').config, subjectTransform: { src: '>', dest: 'moved.>' } },
      },
    ];
    const cases: readonly (readonly [streams: readonly string[], twice: string | null, subject?: string])[] = [
      [['ORIGIN', 'C'], "stream 'C' copies from 'ORIGIN', so messages of both"],
      [['C', 'ORIGIN'], "stream 'C' copies from 'ORIGIN', so messages of both"],
      [['M1', 'EU'], "streams 'M1' and 'EU' both copy from 'ORIGIN', so messages of it"],
      [['EU', 'US'], null],
      [['EU', 'WEST'], null],
      [['US', 'WEST'], "streams 'US' and 'WEST' both copy from 'ORIGIN', so messages of it", 'orders.us'],
      [['EU', 'HERE'], "streams 'EU' and 'HERE' both copy from 'ORIGIN', so messages of it"],
      [['US', 'HERE'], null],
      [['ORIGIN', 'THERE'], null],
      [['THERE', 'M1'], null],
      [['LOST', 'MORE'], "streams 'LOST' and 'MORE' both copy from 'GONE', so messages of it"],
      [['EU', 'MOVED'], "streams 'EU' and 'MOVED' both copy from 'ORIGIN', so messages of it"],
      [['ORIGIN', 'EU'], "stream 'EU' copies from 'ORIGIN', so messages of both"],
    ];
    for (const [streams, twice, subject = 'orders.*'] of cases) {
      const text = await said(subject, { streams }, known);
      assert.equal(
        text,
        twice === null ? '' : `${twice} would come twice: leave one of them out of streams`,
        `${streams}`,
      );
    }
    assert.equal(await said('orders.us', { streams: ['ORIGIN', 'AWAY'] }, known), NOTHING_OF_AWAY);
  });

  test('may copy, as long as that has the subject here', async () => {
    const copying = (how: Partial<CopiedStream>) => [
      EU,
      { name: 'COPY', subjects: [], config: { sources: [{ name: 'EU', renamed: [], ...how }] } },
    ];
    const wrong = (how: Partial<CopiedStream>) => said('orders.*', { streams: ['COPY'] }, copying(how));
    assert.equal(await wrong({}), '');
    assert.equal(await wrong({ filter: 'orders.eu' }), '');
    assert.match(
      await wrong({ filter: 'other' }),
      /^stream 'COPY', which streams names, holds nothing of 'orders\.\*'/,
    );
    assert.match(await wrong({ renamed: [{ src: '>', dest: 'away.>' }] }), /copies from 'EU' under other subjects/);
  });

  test('are named as the option says', async () => {
    const wrong = async (streams: unknown) => said('orders.*', { streams } as never, [EU, US]);
    assert.match(await wrong('EU'), /^streams is "EU": it must be the names of streams.*; write streams: \['EU'\]/);
    assert.match(await wrong([]), /^streams is a list: it must be the names of streams, at least one/);
    assert.match(await wrong(['orders.eu']), /^'orders\.eu' names no stream/);
    assert.match(
      await said('orders.*', { streams: ['EU'], capture: true }, [EU]),
      /^capture makes the stream, and streams/,
    );
  });
});

describe('a stream that keeps messages under other subjects than they were sent to', () => {
  const moved = (from: string, to: string): KnownStream => ({
    name: 'IN',
    subjects: ['in.>'],
    config: { subjectTransform: { src: from, dest: to } },
  });

  test('is refused for the subject that they were sent to, with what to write', async () => {
    for (const to of ['kept.{{wildcard(1)}}', 'kept.$1', 'kept.{{partition(3,1)}}']) {
      assert.match(
        await said('in.*', {}, [moved('in.*', to)]),
        /^stream 'IN' keeps what is sent to 'in\.\*' under 'kept\.\*' .*: from\('kept\.\*', \{ streams: \['IN'\] \}\), or/,
      );
    }
    assert.match(await said('in.>', {}, [moved('in.eu.*', 'eu.$1')]), /under 'eu\.\*'/);
    assert.match(await said('in.*', {}, [moved('in.*', 'kept.{{split(1,-)}}')]), /under 'kept\.>'/);
    assert.match(await said('in.>', {}, [moved('>', 'all.>')]), /under 'all\.>'/);
  });

  test('is read where they are kept, and where the source sees what becomes of them', async () => {
    const kept = [['kept-any', 'IN', false]];
    assert.deepEqual(await read('kept.*', { streams: ['IN'] }, [moved('in.*', 'kept.$1')]), kept);
    assert.deepEqual(await read('in.>', {}, [moved('in.*', 'in.{{partition(3,1)}}.$1')]), [['in-all', 'IN', false]]);
    assert.deepEqual(await read('in.a', {}, [moved('in.b', 'kept')]), [['in-a', 'IN', false]]);
    assert.match(
      await said('kept.*', {}, [moved('in.*', 'kept.$1')]),
      /no stream keeps 'kept\.\*'.*is to be named: streams:/,
    );
  });
});

test('a subject that is Millrace’s own is no source', async () => {
  assert.match(
    await said('_mr.p.j.>', {}, [{ name: 'J', subjects: ['_mr.p.j.1.>'] }]),
    /^'_mr\.p\.j\.>' is what Millrace keeps/,
  );
});

test('results whose subjects two streams keep in parts are refused with the names of both', async () => {
  const streams = [
    { name: 'IN', subjects: ['in'] },
    { name: 'A', subjects: ['out.a'] },
    { name: 'B', subjects: ['out.b'] },
  ];
  assert.match(
    await said('in', {}, streams),
    /streams 'A' and 'B' each keep a part of 'out\.\*', and one must keep all of it/,
  );
});

describe('a captured subject', () => {
  test('of which another stream keeps a part is refused: no stream could be made for the whole', async () => {
    assert.equal(
      await said('orders.*', { capture: true }, [EU]),
      "stream 'EU' keeps a part of 'orders.*' only ('orders.eu'), and no other can be made for the whole: " +
        "nats stream edit EU --subjects='orders.*'; or leave capture out, and that part is read",
    );
    const crossing = await said('*.eu', { capture: true }, [{ name: 'WIDE', subjects: ['orders.*', 'else'] }]);
    assert.match(
      crossing,
      /for the whole: let it list what covers both \(nats stream edit WIDE\); or leave capture out/,
    );
    assert.deepEqual(await read('orders.*', {}, [EU]), [['orders-any', 'EU', false]]);
    assert.deepEqual(await read('orders.eu', { capture: true }, [EU]), [['orders-eu', 'EU', false]]);
  });

  test('has a stream of its own whatever others are called, in a pipeline and beside one', async () => {
    const subjects = ['a.b', 'a_b', 'a.b.*', 'события', 'продажи', 'KV.sites', 'MR.p.letters', 'x'.repeat(120)];
    const all = pipeline('p', ({ from }) => {
      for (const [i, subject] of subjects.entries()) {
        from<Event>(subject, { capture: true })
          .keyBy('id', { name: `by-${i}` })
          .to(`out.${i}.{id}`);
      }
      from<Event>('a/b', { capture: true, name: 'slash' }).keyBy('id').to('a_b.any.{id}');
    });
    const { readers, sinks } = await planned(all, []);
    const made = [...readers.map(({ source }) => source.stream), ...sinks.map(({ target }) => target.stream.name)];
    assert.equal(new Set(made.slice(0, readers.length)).size, subjects.length + 1);
    for (const sink of made.slice(readers.length)) assert.ok(!made.slice(0, readers.length).includes(sink), sink);
    const beside = [{ name: 'a_b', subjects: ['a.b'] }];
    const [[, stream] = []] = await read('a_b', { capture: true }, beside);
    assert.match(String(stream), /^a_b__[0-9a-f]{16}$/);
    const squatting = [...beside, { name: String(stream), subjects: ['else'] }];
    assert.match(
      await said('a_b', { capture: true }, squatting),
      /exists, but it does not keep 'a_b': nats stream edit a_b__/,
    );
  });
});

describe('what a pipeline writes', () => {
  const looping = (config: Partial<StreamConfig>, write = 'out.{id}') =>
    mistakesOf(
      pipeline('p', ({ from }) => from<Event>('in.*').to(write, { mode: 'at-least-once' })),
      [
        { name: 'IN', subjects: ['in.>'], config },
        { name: 'OUT', subjects: ['out.>'] },
        { name: 'BETWEEN', subjects: [], config: { mirror: { name: 'OUT', renamed: [] } } },
      ],
    );
  const from = (name: string, how: Partial<CopiedStream>) => ({ sources: [{ name, renamed: [], ...how }] });

  test('does not come back to it in copies', async () => {
    const back = { renamed: [{ src: 'out.>', dest: 'in.>' }] };
    for (const config of [from('OUT', back), from('BETWEEN', back)]) {
      const [mistake] = await looping(config);
      assert.equal(
        mistake?.message,
        "'out.{id}' is read again by in-any: its stream 'IN' copies from 'OUT', so records would go round for ever. " +
          'Write to another stream, or copy less of that one',
      );
    }
    // What is copied is read by nobody, or written by others.
    assert.deepEqual(await looping(from('OUT', {})), []);
    assert.deepEqual(await looping(from('OUT', { renamed: [{ src: 'out.>', dest: 'else.>' }] })), []);
    assert.deepEqual(await looping(from('OUT', { renamed: [{ src: 'out.b.>', dest: 'in.>' }] }), 'out.a.{id}'), []);
    assert.deepEqual(await looping(from('OUT', { ...back, external: '$JS.hub.API' })), []);
  });
});
