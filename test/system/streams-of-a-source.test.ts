/**
 * Which messages are a source's, on a real broker: several streams of which each keeps a part, streams that are made for
 * subjects which look alike, messages that a stream holds under subjects it does not list, and what is quiet.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { JetStreamManager, StreamConfig } from 'nats';
import { isMillraceError } from '../../lib/base/errors.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

let scene: Scene;
let client: AdminClient;
let manager: JetStreamManager;
before(async () => {
  ({ scene, client } = await Scene.withWorker());
  manager = await scene.connection.jetstreamManager();
});
after(() => scene.close());

function make(config: Partial<StreamConfig> & { name: string }) {
  return manager.streams.add(config);
}

async function deploy(name: string, body: string): Promise<void> {
  const text = `import * as m from 'millrace';
// The broker sets the whole of it aside, and this test makes many.
const small = { maxBytes: 2 ** 22 };
export default m.pipeline('${name}', ({ from, table }) => {
${body}
}, { partitions: 1 });
`;
  await scene.deploy(client, { text });
  await running(client, name);
}

async function refused(name: string, body: string): Promise<string> {
  let text = '';
  await assert.rejects(deploy(name, body), error => {
    text = String(error);
    return isMillraceError(error, 'PLAN_INVALID');
  });
  return text;
}

/** Each message's content is its subject, in JSON. */
async function say(...subjects: string[]): Promise<void> {
  for (const subject of subjects) scene.connection.publish(subject, JSON.stringify({ id: subject }));
  await scene.connection.flush();
}

/** Ids of the rows that have come out, once there are so many. */
async function came(subject: string, count: number): Promise<string[]> {
  const out = scene.output((await scene.streamOf(subject))!, subject);
  const ids = async () => (await out.rows()).map(row => (JSON.parse(row) as { id: string }).id).sort();
  const fits = async () => (await ids()).length >= count;
  await eventually(`${count} rows are in ${subject}`, fits, async () => String(await ids()));
  return ids();
}

test('several streams of which each keeps a part of the subject are refused, and all are read that are listed', async () => {
  await make({ name: 'EU', subjects: ['halves.eu'] });
  await make({ name: 'US', subjects: ['halves.us'] });
  await say('halves.eu', 'halves.us');
  const pipe = (options: string) => `from<{ id: string }>('halves.*', ${options}).keyBy('id').to('whole.{partition}');`;
  assert.match(await refused('halves', pipe('{}')), /streams 'EU' and 'US' each keep a part .*streams: \['EU', 'US'\]/);
  assert.match(await refused('halves', pipe('{ capture: small }')), /streams 'EU' and 'US' each keep a part/);
  await deploy('halves', pipe(`{ streams: ['EU', 'US'] }`));
  await say('halves.us', 'halves.eu');
  assert.deepEqual(await came('whole.*', 4), ['halves.eu', 'halves.eu', 'halves.us', 'halves.us']);
});

test('a stream that another pipeline has captured for less is no capture of more', async () => {
  await deploy('less', `from<{ id: string }>('part.eu', { capture: small }).to('less.{partition}');`);
  const text = await refused('more', `from<{ id: string }>('part.*', { capture: small }).to('more.{partition}');`);
  assert.match(
    text,
    /stream 'part_eu' keeps a part of 'part\.\*' only .*nats stream edit part_eu --subjects='part\.\*'/,
  );
});

test('subjects that look alike are captured each in a stream of its own, in one pipeline or in two', async () => {
  const subjects = ['al.ike', 'al_ike', 'события', 'продажи'];
  const lines = subjects.map(
    (subject, i) =>
      `from<{ id: string }>('${subject}', { capture: small, name: 's${i}' }).keyBy('id', { name: 'k${i}' }).to('alike.${i}.{partition}', { name: 't${i}' });`,
  );
  await deploy('alike', lines.join('\n'));
  await deploy(
    'alike-too',
    `from<{ id: string }>('al-ike', { capture: small }).keyBy('id').to('al.ike_.{partition}');`,
  );
  await say(...subjects, 'al-ike');
  for (const [i, subject] of subjects.entries()) {
    assert.deepEqual(await came(`alike.${i}.*`, 1), [subject]);
  }
  assert.deepEqual(await came('al.ike_.*', 1), ['al-ike']);
  const kept = await Promise.all(subjects.map(subject => scene.log.streamsOf(subject)));
  assert.equal(new Set(kept.flat()).size, subjects.length);
});

test('what a stream holds under subjects that it does not list is judged by its own subject', async () => {
  await make({ name: 'ORIGIN', subjects: ['origin.>'] });
  await make({ name: 'MIXED', subjects: ['mixed.a'], sources: [{ name: 'ORIGIN' }] } as never);
  await make({ name: 'MIRROR', mirror: { name: 'ORIGIN' } } as never);
  await say('origin.x', 'mixed.a', 'origin.y');
  const to = (out: string) => `.map(({ id }) => ({ id })).to('held.${out}.{partition}');`;
  await deploy(
    'held',
    `from<{ id: string }>('mixed.a')${to('literal')}
    from<{ id: string }>('mixed.*', { name: 'wild' })${to('wild')}
    from<{ id: string }>('origin.*', { streams: ['MIXED'] })${to('copied')}
    from<{ id: string }>('origin.y', { streams: ['MIRROR'] })${to('mirrored')}`,
  );
  await manager.streams.update('MIXED', { subjects: ['mixed.a', 'mixed.b', 'other'] });
  await say('other', 'mixed.b');
  await manager.streams.update('MIXED', { subjects: ['mixed.b'] });
  await say('mixed.b', 'origin.z', 'origin.y');
  assert.deepEqual(await came('held.wild.*', 3), ['mixed.a', 'mixed.b', 'mixed.b']);
  assert.deepEqual(await came('held.copied.*', 4), ['origin.x', 'origin.y', 'origin.y', 'origin.z']);
  assert.deepEqual(await came('held.mirrored.*', 2), ['origin.y', 'origin.y']);
  assert.deepEqual(await came('held.literal.*', 1), ['mixed.a']);
});

test('what streams hold is known through all their copies: twice, never, or again and again', async () => {
  const copying = (name: string, how: object) => make({ name, ...how } as never);
  await make({ name: 'FIRST', subjects: ['first.*'] });
  await copying('MIRRORED', { mirror: { name: 'FIRST' } });
  await copying('AGAIN', { sources: [{ name: 'MIRRORED' }] });
  await copying('ONLY_A', { sources: [{ name: 'FIRST', filter_subject: 'first.a' }] });
  // What a mapping does not name is not copied, so these two share nothing.
  const subject_transforms = [{ src: 'first.b', dest: 'first.b' }];
  await copying('ONLY_B', { sources: [{ name: 'MIRRORED', subject_transforms }] });
  await say('first.a', 'first.b');
  const pipe = (...streams: string[]) =>
    `from<{ id: string }>('first.*', { streams: ${JSON.stringify(streams)} }).keyBy('id').to('copies.{partition}');`;
  assert.match(
    await refused('twice', pipe('FIRST', 'AGAIN')),
    /stream 'AGAIN' copies from 'FIRST', so messages of both/,
  );
  assert.match(await refused('twice', pipe('ONLY_A', 'MIRRORED')), /'ONLY_A' and 'MIRRORED' both copy from 'FIRST'/);
  await deploy('parts', pipe('ONLY_A', 'ONLY_B'));
  await say('first.b', 'first.a');
  assert.deepEqual(await came('copies.*', 4), ['first.a', 'first.a', 'first.b', 'first.b']);

  await make({ name: 'KV_first', subjects: ['$KV.first.>'], max_msgs_per_subject: 1 } as never);
  await copying('KV_second', { mirror: { name: 'KV_first' }, max_msgs_per_subject: 1 });
  await copying('KV_third', { mirror: { name: 'KV_second' }, max_msgs_per_subject: 1 });
  await say('$KV.first.first.a');
  await deploy(
    'third',
    `from<{ id: string }>('first.*').keyBy('id').join(table<{ id: string }>('third'), (_, row) => row).to('third.{partition}');`,
  );
  await say('first.a');
  assert.equal((await came('third.*', 1))[0], '$KV.first.first.a');

  await make({ name: 'ROUND_OUT', subjects: ['round.out.>'] });
  const back = { name: 'ROUND_OUT', subject_transforms: [{ src: 'round.out.>', dest: 'round.in.>' }] };
  await copying('ROUND_IN', { subjects: ['round.in.>'], sources: [back] });
  assert.match(
    await refused('round', `from<{ id: string }>('round.in.>').to('round.out.{partition}');`),
    /is read again by .*its stream 'ROUND_IN' copies from 'ROUND_OUT'/,
  );
});

test('messages that are kept under another subject than they were sent to are read where they are kept', async () => {
  await make({
    name: 'MOVED',
    subjects: ['sent.*'],
    subject_transform: { src: 'sent.*', dest: 'kept.{{wildcard(1)}}' },
  } as never);
  await say('sent.1', 'sent.2');
  const pipe = (from: string) => `from<{ id: string }>(${from}).to('transformed.{partition}');`;
  assert.match(
    await refused('moved', pipe(`'sent.*'`)),
    /under 'kept\.\*' .*from\('kept\.\*', \{ streams: \['MOVED'\] \}\)/,
  );
  assert.match(await refused('moved', pipe(`'kept.*'`)), /no stream keeps 'kept\.\*'.*is to be named: streams/);
  await deploy('moved', pipe(`'kept.*', { streams: ['MOVED'] }`));
  await say('sent.3');
  assert.deepEqual(await came('transformed.*', 3), ['sent.1', 'sent.2', 'sent.3']);
});

test('a source is quiet when nothing of its own comes, whatever else flows in its stream', async () => {
  await make({ name: 'BUSY', subjects: ['busy.>'] });
  const windows = (from: string, name: string) =>
    `from<{ id: string }>('${from}', { idleAfter: '300ms' }).keyBy('id', { name: 'by-${name}' })
      .window(m.tumbling('100ms')).aggregate({ n: m.count() }).map(({ id }) => ({ id })).to('quiet.${name}.{partition}');`;
  await deploy('quiet', [windows('busy.*.order', 'wild'), windows('busy.eu.order', 'literal')].join('\n'));
  await say('busy.eu.order');
  const pings = setInterval(() => void say('busy.eu.ping'), 20);
  try {
    for (const name of ['wild', 'literal']) {
      assert.deepEqual(await came(`quiet.${name}.*`, 1), ['busy.eu.order']);
    }
  } finally {
    clearInterval(pings);
  }
});

test('a start that finds the subject in more streams than before says so, and reads no half', async () => {
  await make({ name: 'ONE', subjects: ['later.1'] });
  await deploy('later', `from<{ id: string }>('later.*').to('came.{partition}');`);
  await make({ name: 'TWO', subjects: ['later.2'] });
  await client.restart('later');
  const { status } = await statusOf(client, 'later', info => info.status.state === 'failed');
  assert.match(String(status.reason), /streams 'ONE' and 'TWO' each keep a part of 'later\.\*'/);
});
