/** Names: nobody's subject may be somebody else's, and every stream must take the subjects it is made for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as names from '../../../lib/record/names.ts';
import { covers, overlaps } from '../../../lib/record/subject.ts';

const stages = ['a', 'a-1', 'by-site'];
const lives = [
  { pipeline: 'p', life: 'a' },
  { pipeline: 'p', life: 'b' },
  { pipeline: 'p-a', life: 'b' },
];

/** Every stream of some lives of pipelines, with its subjects and some subjects written to it. */
function streams(): { name: string; subjects: readonly string[]; written: string[] }[] {
  const pipelines = new Set(lives.map(({ pipeline }) => pipeline));
  const own = lives.flatMap(deployment => [
    {
      name: names.journalStream(deployment),
      subjects: [names.journalSubjects(deployment)],
      written: stages.map(stage => names.journalSubject(deployment, { stage, partition: 1 })),
    },
    ...stages
      .flatMap(stage => [{ stage }, { stage, bootstrap: true }])
      .map(inlet => ({
        name: names.channelsStream(deployment, inlet),
        subjects: names.channelsSubjects(deployment, inlet),
        written: stages.flatMap(input => [
          names.channelSubject(deployment, { ...inlet, partition: 1, input, writer: names.readerWriter('a') }),
          names.broadcastSubject(deployment, {
            ...inlet,
            input,
            writer: names.taskWriter({ stage: 'a', partition: 1 }),
          }),
        ]),
      })),
  ]);
  const outliving = [...pipelines].flatMap(pipeline => {
    const own = lives.filter(life => life.pipeline === pipeline);
    return [
      ...stages.map(sink => ({
        name: `sink ${pipeline} ${sink}`,
        subjects: [names.markerSubjects(pipeline, sink)],
        written: own.flatMap(life => stages.map(stage => names.markerSubject(life, { sink, stage, partition: 1 }))),
      })),
      {
        name: names.lettersStream(pipeline),
        subjects: names.lettersSubjects(pipeline),
        written: [
          names.letterSubject(pipeline, { kind: 'dead', operator: 'a' }),
          names.letterSubject(pipeline, { kind: 'late', operator: 'a' }),
          ...own.map(life => names.letterMarkerSubject(life, names.readerWriter('a'))),
        ],
      },
    ];
  });
  return [...own, ...outliving];
}

describe('names', () => {
  test('of streams are unique, and their subjects never overlap', () => {
    const all = streams();
    assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
    const subjects = all.flatMap(stream => stream.subjects);
    for (const [i, subject] of subjects.entries()) {
      for (const other of subjects.slice(0, i)) assert.ok(!overlaps(subject, other), `${subject} and ${other}`);
    }
  });

  test('of subjects are unique and each is kept by its stream', () => {
    const all = streams();
    const written = all.flatMap(stream => stream.written);
    assert.equal(new Set(written).size, written.length);
    for (const stream of all) {
      for (const subject of stream.written) {
        assert.ok(
          stream.subjects.some(own => covers(own, subject)),
          `${stream.name} keeps ${subject}`,
        );
      }
    }
  });

  test('of writers never look alike', () => {
    const tasks = [
      names.taskWriter({ stage: 'a', partition: 11 }),
      names.taskWriter({ stage: 'a-1', partition: 1 }),
      names.taskWriter({ stage: 'a-1-1', partition: 1 }),
    ];
    const writers = [names.readerWriter('a'), names.readerWriter('t-a-1'), ...tasks];
    assert.equal(new Set(writers).size, writers.length);
  });

  test('of buckets lead to their streams and back', () => {
    assert.equal(names.bucketStream('sites'), 'KV_sites');
    assert.equal(names.bucketSubjects('sites'), '$KV.sites.>');
    assert.equal(names.bucketOf('$KV.sites.>'), 'sites');
  });

  test("are made of a user's subject: short up to the first wildcard, long with all of it", () => {
    const readable = (subject: string) => names.streamNamesFor(subject).slice(0, -1);
    assert.deepEqual(readable('a.b.c'), ['a_b_c']);
    assert.deepEqual(readable('a.*.c'), ['a', 'a_any_c']);
    assert.deepEqual(readable('shop_orders.>'), ['shop_orders', 'shop_orders_all']);
    assert.deepEqual(readable('>'), ['all']);
    assert.equal(names.nameFor('hr.employee.*'), 'hr-employee-any');
    assert.equal(names.nameFor('a.>'), 'a-all');
    for (const subject of ['x'.repeat(300), 'ä.ö', '$KV.a.>', '*', '__._', '日本']) {
      assert.match(names.nameFor(subject), names.OPERATOR_NAME);
      for (const name of names.streamNamesFor(subject)) assert.match(name, names.STREAM_NAME);
    }
  });

  test("of a user's subject end in one that is no other subject's, and none looks like a stream of tools", () => {
    const long = 'long.'.repeat(40);
    const alike = [
      'a.b',
      'a_b',
      'a.b.*',
      'a.b.>',
      'a_b.*',
      'a/b',
      'a b',
      'события',
      'продажи',
      'größe',
      'grösse',
      'größe.*',
    ];
    const all = [...alike, 'any', '*', 'all', '>', `${long}a`, `${long}b`, 'MR.p.letters', 'KV.sites', 'OBJ_x', 'A.b'];
    const last = all.map(subject => names.streamNamesFor(subject).at(-1)!);
    assert.equal(new Set(last).size, all.length);
    for (const subject of all) {
      for (const name of names.streamNamesFor(subject)) {
        assert.match(name, /^[A-Za-z0-9_-]{1,100}$/);
        assert.doesNotMatch(name, /^(MR|KV|OBJ)_/, subject);
      }
    }
    const taken = new Set<string>();
    for (const subject of all) taken.add(names.freeStreamName(subject, name => taken.has(name)));
    assert.equal(taken.size, all.length);
    for (const subject of ['события', 'a/b', `${long}a`])
      assert.equal(names.streamNamesFor(subject).length, 1, subject);
  });

  test('of operators stay apart where only another script tells their subjects apart', () => {
    const subjects = ['события', 'продажи', 'größe.x', 'grüße.x', `${'ж'.repeat(80)}a`, `${'ж'.repeat(80)}b`];
    assert.equal(new Set(subjects.map(names.nameFor)).size, subjects.length);
  });
});
