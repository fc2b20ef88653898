/** Verdicts over streams by their settings, in plans and by themselves. What the settings do is measured in `test/contract`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Pipeline, pipeline } from '../../../lib/index.ts';
import { PLAIN_CONFIG, type StreamConfig } from '../../../lib/port/stream-config.ts';
import { describe as textOf } from '../../../lib/topology/describe.ts';
import { ALL, type StreamRole } from '../../../lib/topology/stream-effects.ts';
import { judgeStream, STREAM_SETTINGS } from '../../../lib/topology/stream-settings.ts';
import { streamUses } from '../../../lib/topology/stream-uses.ts';
import { summarize } from '../../../lib/topology/summary.ts';
import { type KnownStream, mistakesOf, planned } from './broker.ts';

const settingsOf = (config: Partial<StreamConfig>, role: StreamRole, subjects: readonly string[] = ['in.a']) =>
  judgeStream(
    { name: 'S', config: { ...PLAIN_CONFIG, ...config } },
    { role, subjects, batches: false, reads: ['in.a', 'in.b.*'], writes: ['out.*'] },
  ).map(({ setting, verdict }) => `${setting}: ${verdict}`);

const PIPELINE = pipeline('p', ({ from }) => from<{ id: string }>('in.a').to('out.{partition}'));
const withStreams = (input: Partial<StreamConfig>, output: Partial<StreamConfig> = {}): KnownStream[] => [
  { name: 'IN', subjects: ['in.>'], config: input },
  { name: 'OUT', subjects: ['out.>'], config: output },
];
const mistakes = async (...streams: Parameters<typeof withStreams>) =>
  (await mistakesOf(PIPELINE, withStreams(...streams))).map(({ message }) => message).join('\n');

describe('a stream', () => {
  test('that nobody has set anything of is as good as any, for each role', () => {
    for (const role of ALL) {
      assert.deepEqual(settingsOf({}, role), role === 'own' ? ['discard: old: refused'] : [], role);
    }
  });

  test('with a transform is refused as a source only where the source would not find what it was sent', () => {
    const moves = (src: string, dest: string) => settingsOf({ subjectTransform: { src, dest } }, 'source', ['in.*']);
    const refused = ['subject_transform: refused'];
    assert.deepEqual(moves('in.>', 'kept.>'), refused);
    assert.deepEqual(moves('', 'kept.>'), refused);
    assert.deepEqual(moves('in.*', 'kept.{{wildcard(1)}}'), refused);
    assert.deepEqual(moves('in.*', 'in.{{wildcard(1)}}'), [], 'all of it is read');
    assert.deepEqual(moves('in.a.*', 'in.$1'), [], 'and what comes from elsewhere');
    assert.deepEqual(moves('other.>', 'kept.>'), []);
  });

  test('that publishes again is refused where that comes back, or gets among the results', () => {
    const again = (dest: string, role: StreamRole) => settingsOf({ republish: { src: '>', dest } }, role);
    assert.deepEqual(again('in.>', 'results'), ['republish, onto what the pipeline reads: refused']);
    assert.deepEqual(again('in.b.{{wildcard(1)}}', 'loose'), ['republish, onto what the pipeline reads: refused']);
    assert.deepEqual(again('in.b.x', 'source'), [], 'what one source has may well be told to another');
    assert.deepEqual(again('out.$1', 'source'), ['republish, onto what the pipeline writes: refused']);
    assert.deepEqual(again('out.x.y', 'source'), []);
    assert.deepEqual(again('{{split(1,-)}}.x', 'source'), ['republish, onto what the pipeline writes: refused']);
    assert.deepEqual(again('live.>', 'results'), []);
  });

  test('is told by its name, in every advice', () => {
    for (const { effects } of STREAM_SETTINGS) {
      for (const { todo } of effects) assert.doesNotMatch(todo, /STREAM\b(?!\.CREATE)/);
    }
    for (const { name, effects } of STREAM_SETTINGS) {
      const table = effects.find(({ on }) => on.includes('table'));
      assert.doesNotMatch(table?.todo ?? '', /from\(/, `${name}: a table is none`);
    }
    const [verdict] = judgeStream(
      { name: 'ORDERS', config: { ...PLAIN_CONFIG, retention: 'workqueue' } },
      { role: 'source', subjects: ['in.a'], batches: false, reads: ['in.a'], writes: [] },
    );
    const request = /nats req '([^']+)' '([^']+)'/.exec(verdict?.todo ?? '');
    assert.equal(request?.[1], '$JS.API.STREAM.CREATE.ORDERS_copy');
    assert.deepEqual(JSON.parse(request?.[2] ?? ''), {
      name: 'ORDERS_copy',
      subjects: ['copy.ORDERS.>'],
      sources: [{ name: 'ORDERS', subject_transforms: [{ src: '>', dest: 'copy.ORDERS.>' }] }],
    });
  });
});

describe('a plan', () => {
  test('is refused for a stream of its letters that takes none, or none that are found again', async () => {
    const letters = (config: Partial<StreamConfig>) =>
      mistakesOf(PIPELINE, [
        ...withStreams({}),
        { name: 'MR_p_letters', subjects: ['millrace.p.dead.>', 'millrace.p.late.>', '_mr.p.l.>'], config },
      ]);
    const cases: readonly [Partial<StreamConfig>, RegExp][] = [
      [{ allowAtomic: true, noAck: true }, /has no_ack: .*nats stream edit MR_p_letters --ack$/],
      [{ allowAtomic: true, retention: 'workqueue' }, /has retention: workqueue: /],
      [{}, /has allow_atomic: false: .*nats stream edit MR_p_letters --allow-batch$/],
      [
        { allowAtomic: true, subjectTransform: { src: 'millrace.p.late.>', dest: 'late.>' } },
        /has subject_transform: /,
      ],
    ];
    for (const [config, wanted] of cases) {
      const [mistake, ...more] = await letters(config);
      assert.match(mistake?.message ?? '', /^stream 'MR_p_letters' /);
      assert.match(mistake?.message ?? '', wanted);
      assert.deepEqual(more, []);
    }
    assert.deepEqual(await letters({ allowAtomic: true, maxMsgs: 1 }), []);
  });

  test('is refused for what loses rows or waits for ever, with the command that mends it', async () => {
    assert.match(
      await mistakes({ retention: 'interest' }),
      /^stream 'IN' has retention: interest: .*What to do: nats stream edit IN --retention limits; or read a second/,
    );
    assert.match(
      await mistakes({ retention: 'workqueue' }),
      /^stream 'IN' has retention: workqueue: .*What to do: read a/,
    );
    assert.match(await mistakes({ inactiveThresholdMsMax: 5_000 }), /inactive_threshold below 30s: .* --interactive$/);
    assert.match(await mistakes({}, { noAck: true }), /^stream 'OUT' has no_ack: .* nats stream edit OUT --ack/);
    assert.match(await mistakes({}, { republish: { src: '', dest: 'in.>' } }), /--no-republish$/);
    assert.match(await mistakes({}, { leavesMarkers: true }), /--subject-del-markers-ttl 0s$/);
    assert.match(await mistakes({}, { allowMsgCounter: true }), /nothing but increments/);
    assert.match(
      await mistakes({}, { discardNewPerSubject: true, maxMsgsPerSubject: 1, discard: 'new' }),
      /--no-discard/,
    );
    assert.equal(
      await mistakes({ noAck: true, sealed: true, allowMsgCounter: true, mirror: { name: 'THEIRS', renamed: [] } }),
      '',
    );
  });

  test('of a table is refused for a bucket that does not keep its rows', async () => {
    const joined = pipeline('p', ({ from, table }) =>
      from<{ id: string }>('in.a')
        .keyBy('id')
        .join(table<object>('sites'), (event, site) => ({ ...event, ...site }))
        .to('out.{partition}'),
    );
    const bucket = { name: 'KV_sites', subjects: ['$KV.sites.>'], config: { retention: 'interest' } as const };
    const [mistake] = await mistakesOf(joined, [...withStreams({}), bucket]);
    assert.match(mistake?.message ?? '', /^stream 'KV_sites' has retention: interest/);
  });

  test('warns of what promises less, once, and knows its streams again', async () => {
    const streams = withStreams({ maxAgeMs: 3_600_000, maxMsgsPerSubject: 1 }, { storage: 'memory' });
    const plan = await planned(PIPELINE, streams);
    assert.deepEqual(
      plan.warnings.map(text => /^stream '(\w+)' has ([\w ]+): .* What to do: /.exec(text)?.slice(1)),
      [
        ['IN', 'max_age below 24h'],
        ['IN', 'max_msgs_per_subject'],
        ['OUT', 'storage'],
      ],
    );
    assert.deepEqual((await planned(PIPELINE, withStreams({}))).warnings, []);
    assert.deepEqual(
      streamUses(plan).map(({ stream, use: { role, subjects, reads, writes } }) => ({
        stream,
        role,
        subjects,
        reads,
        writes,
      })),
      [
        { stream: 'IN', role: 'source', subjects: ['in.a'], reads: ['in.a'], writes: ['out.*'] },
        { stream: 'OUT', role: 'results', subjects: ['out.*'], reads: ['in.a'], writes: ['out.*'] },
      ],
    );
  });

  test('has no word for a stream that keeps what its author has asked for, and says what that is', async () => {
    const build = (capture: true | { maxAge: '1h'; maxBytes: number }) =>
      pipeline('p', ({ from }) => from<{ id: string }>('in.a', { capture }).to('out.{partition}'));
    const small = build({ maxAge: '1h', maxBytes: 2 ** 20 });
    const kept = { maxAgeMs: 3_600_000, maxBytes: 2 ** 20 };
    const warned = async (which: Pipeline, config: Partial<StreamConfig>) =>
      (await planned(which, withStreams(config))).warnings.map(text => /has ([\w ]+)/.exec(text)?.[1]);
    assert.deepEqual(await warned(small, kept), []);
    assert.deepEqual(await warned(small, { ...kept, maxBytes: 2 ** 21 }), []);
    const all = ['max_age below 24h', 'max_bytes or max_msgs'];
    assert.deepEqual(await warned(small, { ...kept, maxBytes: 2 ** 19 }), all);
    assert.deepEqual(await warned(small, { ...kept, maxMsgs: 5 }), all);
    assert.deepEqual(await warned(build(true), kept), all);
    assert.deepEqual(await warned(PIPELINE, kept), all);

    const plan = await planned(small, withStreams(kept));
    const [{ use } = assert.fail()] = streamUses(summarize(plan));
    const [stream] = ['IN'].map(name => ({ name, config: { ...PLAIN_CONFIG, ...kept } }));
    assert.deepEqual(judgeStream(stream!, use), [], 'nor has who looks by the stored plan');
    assert.match(
      textOf(summarize(plan)),
      /keeps +at least messages for 1h, at most 1 MiB; more by nats stream edit IN/,
    );
    const both = pipeline('p', ({ from }) => {
      from<{ id: string }>('in.a', { capture: { maxAge: '1h', maxBytes: 5 } }).to('out.{partition}');
      from<{ id: string }>('in.b', { capture: { maxAge: '30m', maxBytes: 9 } }).to('out.b.{partition}');
    });
    const [{ use: shared } = assert.fail()] = streamUses(await planned(both, withStreams(kept)));
    assert.deepEqual(shared.keeps, { maxAgeMs: 3_600_000, maxBytes: 9 });
  });
});
