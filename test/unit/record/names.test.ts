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
    assert.deepEqual(names.streamNamesFor('a.b.c'), ['a_b_c', 'a_b_c']);
    assert.deepEqual(names.streamNamesFor('a.*.c'), ['a', 'a_any_c']);
    assert.deepEqual(names.streamNamesFor('>'), ['all', 'all']);
    assert.deepEqual(names.streamNamesFor('größe.x/y'), ['gr__e_x_y', 'gr__e_x_y']);
    assert.equal(names.nameFor('hr.employee.*'), 'hr-employee-any');
    assert.equal(names.nameFor('a.>'), 'a-all');
    for (const subject of ['x'.repeat(300), 'ä.ö', '$KV.a.>']) {
      assert.match(names.nameFor(subject), names.OPERATOR_NAME);
      for (const name of names.streamNamesFor(subject)) assert.match(name, names.STREAM_NAME);
    }
  });
});
