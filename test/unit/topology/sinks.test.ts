/** How sinks write, and which streams they use or need. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pipeline, type SinkOptions, type Stream } from 'millrace';
import type { SinkSpec } from '../../../lib/outlet/sink-spec.ts';
import type { StreamConfig } from '../../../lib/port/stream-config.ts';
import { plan } from '../../../lib/topology/planner.ts';
import { brokerOf, INPUTS, type KnownStream, mistakesOf, planned } from './broker.ts';

interface Event {
  readonly id: number;
  readonly site: string;
}

type Build = (events: Stream<Event>) => void;

function described(build: Build) {
  return pipeline('p', ({ from }) => build(from<Event>('in.e')));
}

async function sinks(build: Build, streams: readonly KnownStream[] = []): Promise<readonly SinkSpec[]> {
  return (await planned(described(build), [...INPUTS, ...streams])).sinks;
}

async function mistakes(build: Build, streams: readonly KnownStream[] = []): Promise<string> {
  return (await mistakesOf(described(build), [...INPUTS, ...streams])).map(({ message }) => message).join('\n');
}

describe('the mode of a sink', () => {
  const rows: [template: string, options: SinkOptions, mode: string, frame: string, format: string][] = [
    ['out.{partition}', {}, 'owned', 'ndjson', 'json'],
    ['out.{site}', {}, 'shared', 'none', 'json'],
    ['out.{site}.{partition}', {}, 'shared', 'none', 'json'],
    ['out.{partition}', { mode: 'shared' }, 'shared', 'none', 'json'],
    ['out.{partition}', { format: 'msgpack' }, 'owned', 'msgpack', 'msgpack'],
    ['out.{partition}', { frame: 'msgpack' }, 'owned', 'msgpack', 'msgpack'],
    ['out.{partition}', { frame: 'none' }, 'owned', 'none', 'json'],
    ['out.{site}', { frame: 'ndjson' }, 'shared', 'ndjson', 'json'],
    ['out.{site}', { mode: 'at-least-once', format: 'msgpack' }, 'at-least-once', 'none', 'msgpack'],
  ];
  for (const [template, options, mode, frame, format] of rows) {
    test(`of ${template} with ${JSON.stringify(options)} is ${mode}, frame ${frame}, format ${format}`, async () => {
      const [sink] = await sinks(events => events.to<string>(template, options));
      assert.deepEqual([sink?.target.mode, sink?.target.frame, sink?.format], [mode, frame, format]);
    });
  }

  test('cannot be owned where tasks share subjects', async () => {
    assert.match(
      await mistakes(events => events.to('out.{site}', { mode: 'owned' })),
      /an owned sink's subject ends in {partition}/,
    );
    const both = await mistakes(events => {
      const keyed = events.keyBy('id');
      keyed.to('out.{partition}');
      keyed.to('out.{site}', { mode: 'at-least-once' });
    });
    assert.match(both, /write the same subjects, and a subject that ends in {partition} has one writer only/);
    const merged = pipeline('p', ({ from }) => {
      from<Event>('in.a').merge(from<Event>('in.b')).to('out.{partition}');
    });
    const [mistake] = await mistakesOf(merged);
    assert.match(mistake?.message ?? '', /it is written by in-a-direct and in-b-direct/);
  });

  test('needs a key where the subject has one, and a format that its frame can hold', async () => {
    assert.match(await mistakes(events => events.to('out.{key}')), /asks for the key, but these records have none/);
    assert.equal(await mistakes(events => events.keyBy('id').to('out.{key}')), '');
    assert.match(
      await mistakes(events => events.to('out.{partition}', { frame: 'ndjson', format: 'msgpack' })),
      /a frame of ndjson cannot hold msgpack/,
    );
  });
});

describe('the subject of a sink', () => {
  test('is a template that can be read', async () => {
    for (const template of ['', 'out.>', 'out..x', '{site}', 'out.a{site}', 'out.{a b}']) {
      assert.match(await mistakes(events => events.to<string>(template)), /the subject template/, template);
    }
  });

  test("is neither the broker's nor Millrace's own", async () => {
    for (const template of ['_mr.x', 'millrace.x', '$JS.x', '_INBOX.x']) {
      assert.match(await mistakes(events => events.to<string>(template)), /begins like the subjects of/, template);
    }
    assert.equal(await mistakes(events => events.to('millraces.x')), '');
  });
});

describe('the stream of a sink', () => {
  test('is made where there is none, called after the subject', async () => {
    const [owned, shared] = await sinks(events => {
      const keyed = events.keyBy('id');
      keyed.to('out.owned.{partition}');
      keyed.to('out.shared.{site}');
    });
    assert.deepEqual(owned?.target.stream, { name: 'out_owned', create: true, subjects: ['out.owned.*'] });
    assert.deepEqual(shared?.target.stream, {
      name: 'out_shared',
      create: true,
      subjects: ['out.shared.*', '_mr.p.m.to-out-shared-site.>'],
    });
  });

  test('is one for subjects that overlap or begin alike', async () => {
    const [a, b, c] = await sinks(events => {
      events.to('out.{site}');
      events.to('out.berlin', { name: 'capital' });
      events.to('out.{site}.{id}', { mode: 'at-least-once' });
    });
    const stream = {
      name: 'out',
      create: true,
      subjects: ['out.*', '_mr.p.m.to-out-site.>', '_mr.p.m.capital.>', 'out.*.*'],
    };
    assert.deepEqual([a?.target.stream, b?.target.stream, c?.target.stream], [stream, stream, stream]);
  });

  test('must be made by the author where subjects only cross', async () => {
    const said = await mistakes(events => {
      events.to('out.{site}.x');
      events.to('out.y.{site}');
    });
    assert.match(said, /'out\.\*\.x' and 'out\.y\.\*' overlap and neither covers the other: make a stream/);
  });

  test('has the longer name where the short one is taken by a stream of other subjects', async () => {
    const [sink] = await sinks(events => events.to('out.{site}'), [{ name: 'out', subjects: ['other'] }]);
    assert.equal(sink?.target.stream.name, 'out_any');
    assert.match(
      await mistakes(events => events.to('out.{site}', { stream: 'taken' }), [{ name: 'taken', subjects: ['other'] }]),
      /must allow atomic batches and keep 'out\.\*' and '_mr\.p\.m\.to-out-site\.>'/,
    );
  });

  test('is the one that keeps the subjects already', async () => {
    const [sink] = await sinks(events => events.to('out.{partition}'), [{ name: 'MINE', subjects: ['out.>'] }]);
    assert.deepEqual(sink?.target.stream, { name: 'MINE', create: false, subjects: ['out.*'] });
    const subjects = ['out.>', '_mr.p.m.to-out-site.>'];
    const [shared] = await sinks(events => events.to('out.{site}'), [{ name: 'MINE', subjects, atomic: true }]);
    assert.equal(shared?.target.stream.create, false);
    assert.match(
      await mistakes(
        events => events.to('out.{partition}', { stream: 'NEW' }),
        [{ name: 'MINE', subjects: ['out.>'] }],
      ),
      /stream 'MINE' keeps 'out\.\*' already, so 'NEW' cannot/,
    );
    const [named] = await sinks(events => events.to('out.{partition}', { stream: 'NEW' }));
    assert.deepEqual(named?.target.stream, { name: 'NEW', create: true, subjects: ['out.*'] });
  });

  const told: readonly [name: string, config: Partial<StreamConfig>, exactly: RegExp, atLeastOnce: RegExp][] = [
    [
      'mirror',
      { mirror: { name: 'THEIRS', renamed: [] } },
      /^stream 'MINE' has mirror: .*What to do: write to another/,
      /has mirror/,
    ],
    ['sealed', { sealed: true }, /^stream 'MINE' has sealed: it takes nothing any more/, /has sealed/],
    ['no_ack', { noAck: true }, /has no_ack: it answers nobody.*: nats stream edit MINE --ack; or write/, /no_ack/],
    ['transform', { subjectTransform: { src: '', dest: 'kept.>' } }, /other subjects .*at-least-once'$/, /^$/],
    ['interest', { retention: 'interest' }, /has retention: interest: .*at-least-once'$/, /^$/],
    ['workqueue', { retention: 'workqueue' }, /has retention: workqueue: .*at-least-once'$/, /^$/],
  ];
  for (const [name, config, exactly, atLeastOnce] of told) {
    test(`is refused where what was sent could not be found again, and says what to do: ${name}`, async () => {
      const streams = [{ name: 'MINE', subjects: ['out.>', '_mr.p.m.>'], atomic: true, config }];
      assert.match(await mistakes(events => events.to('out.{partition}'), streams), exactly);
      assert.match(await mistakes(events => events.to('out.{site}'), streams), exactly);
      assert.match(await mistakes(events => events.to('out.{site}', { mode: 'at-least-once' }), streams), atLeastOnce);
    });
  }

  test('is told to be changed by one command, whatever the number of its shared sinks', async () => {
    const two: Build = events => {
      events.to('out.a.{site}');
      events.to('out.b.{site}');
    };
    assert.equal(
      await mistakes(two, [{ name: 'MINE', subjects: ['out.>', 'more'] }]),
      "stream 'MINE' must allow atomic batches and keep '_mr.p.m.to-out-a-site.>' and '_mr.p.m.to-out-b-site.>': " +
        "nats stream edit MINE --allow-batch --subjects='out.>,more,_mr.p.m.to-out-a-site.>,_mr.p.m.to-out-b-site.>'; or say mode: 'at-least-once'",
    );
    assert.match(
      await mistakes(two, [{ name: 'MINE', subjects: ['out.>', '_mr.p.m.>'] }]),
      /^stream 'MINE' must allow atomic batches: nats stream edit MINE --allow-batch; or/,
    );
    assert.equal(await mistakes(two, [{ name: 'MINE', subjects: ['out.>', '_mr.p.m.>'], atomic: true }]), '');
  });

  test('must keep all of a subject, not a part', async () => {
    assert.match(
      await mistakes(events => events.to('out.{partition}'), [{ name: 'MINE', subjects: ['out.1', 'more'] }]),
      /^stream 'MINE' must keep 'out\.\*': nats stream edit MINE --subjects='more,out\.\*'$/,
    );
  });
});

describe('the stream of a source', () => {
  test('is the one that keeps the subject, and then nothing is made', async () => {
    const { readers } = await planned(
      pipeline('p', ({ from }) => from<Event>('in.e', { capture: true }).keyBy('id').to('out.{id}')),
    );
    assert.deepEqual([readers[0]?.source.stream, readers[0]?.source.capture], ['IN', null]);
  });

  test('is made on request, once for subjects of which one covers the other', async () => {
    const { readers } = await planned(
      pipeline('p', ({ from }) => {
        const capture = { maxAge: '1d', maxBytes: 1000 };
        const narrow = from<Event>('hr.hired', { capture });
        const wide = from<Event>('hr.*', { capture });
        const apart = from<Event>('hr.*.x', { capture: true });
        narrow.merge(wide, apart).keyBy('id').to('out.{id}');
      }),
      [],
    );
    assert.deepEqual(
      readers.map(({ source }) => [source.subject, source.stream, source.capture]),
      [
        ['hr.hired', 'hr', null],
        ['hr.*', 'hr', { maxAgeMs: 86_400_000, maxBytes: 1000 }],
        ['hr.*.x', 'hr_any_x', { maxAgeMs: 604_800_000, maxBytes: 1_073_741_824 }],
      ],
    );
  });

  test('must be made by the author where captured subjects only cross', async () => {
    const crossing = pipeline('p', ({ from }) => {
      from<Event>('a.*.x', { capture: true })
        .merge(from<Event>('a.y.*', { capture: true }))
        .to('out.{site}');
    });
    const said = (await mistakesOf(crossing, [])).map(({ message }) => message).join('\n');
    assert.match(said, /'a\.y\.\*' and 'a\.\*\.x' overlap, so one stream must keep them/);
  });
});

test('a stream that somebody else makes while it is planned is the keeper, and none that is in the way', async () => {
  const broker = brokerOf([...INPUTS, { name: 'out_any', subjects: ['out.any.*'] }]);
  // Whoever made it did so after it was asked who keeps the subject, and before who has that name.
  const late = {
    ...broker,
    streamsOf: async (subject: string) => (subject.startsWith('out.') ? [] : broker.streamsOf(subject)),
  };
  const outcome = await plan(
    described(events => events.to('out.any.{partition}')),
    late,
  );
  assert.ok('plan' in outcome);
  assert.deepEqual(outcome.plan.sinks[0]?.target.stream, { name: 'out_any', create: false, subjects: ['out.any.*'] });
});
