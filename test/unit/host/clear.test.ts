/** A purge takes what has its life in the name, and nothing of a pipeline of that name in another life; what it tells counts no markers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { pipelineClearer } from '../../../lib/host/clear.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import {
  channelsStream,
  channelsSubjects,
  journalStream,
  journalSubjects,
  letterMarkerSubject,
  lettersStream,
  lettersSubjects,
  markerSubject,
  stateLocation,
} from '../../../lib/record/names.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { summarize } from '../../../lib/topology/summary.ts';

const PLACE = { stage: 'by-car', partition: 0 };

test('a purge that goes on late deletes nothing of the life that was deployed since, of whatever kind', async () => {
  const clock = systemClock;
  const broker = new MemoryBroker({ clock });
  const log = broker.client('test');
  broker.create({ name: 'IN', subjects: ['in'] });
  broker.create({ name: 'out', subjects: ['out.>', '_mr.cars.m.out.>'], atomic: true });
  const cars = pipeline('cars', ({ from }) => {
    const rows = from<{ car: string }>('in').keyBy('car', { name: 'by-car' });
    rows.dedupe({ id: row => row.car, within: '1h' }).to('out.{car}', { name: 'out' });
  });
  const plan = await planOrThrow(cars, log);
  const stage = plan.stages[0]!.name;
  const blobs = new MemoryBlobs({ clock });
  const stores = new MemoryStores({ clock });
  const lives = ['aaaaaaaaaa', 'bbbbbbbbbb'].map(life => ({ pipeline: 'cars', life }));
  // The later life first: whoever went by the name would find its streams.
  for (const deployment of lives.toReversed()) {
    broker.create({ name: journalStream(deployment), subjects: [journalSubjects(deployment)] });
    broker.create({
      name: channelsStream(deployment, { stage }),
      subjects: [...channelsSubjects(deployment, { stage })],
    });
    const marker = markerSubject(deployment, { sink: 'out', ...PLACE });
    assert.equal((await log.append({ subject: marker, data: Buffer.from('1.1') })).kind, 'landed');
    await blobs.put(`${stateLocation(deployment, PLACE)}/1`, new Uint8Array(1));
    await (await stores.open(stateLocation(deployment, PLACE), { fresh: true }))!.close();
  }
  const left = async ({ life }: { life: string }) => {
    const deployment = { pipeline: 'cars', life };
    const marker = markerSubject(deployment, { sink: 'out', ...PLACE });
    return [
      (await log.info(journalStream(deployment))) !== null,
      (await log.info(channelsStream(deployment, { stage }))) !== null,
      (await log.last({ stream: 'out', subject: marker })) !== null,
      (await blobs.list(`${stateLocation(deployment)}/`)).length > 0,
      (await stores.list()).some(location => location.startsWith(stateLocation(deployment))),
    ];
  };
  for (const car of ['a', 'b']) await log.append({ subject: `out.${car}`, data: Buffer.from('{}') });
  broker.create({ name: lettersStream('cars'), subjects: [...lettersSubjects('cars')] });
  for (const subject of ['millrace.cars.dead.x', letterMarkerSubject(lives[0]!, 't-by-car-0')])
    await log.append({ subject, data: Buffer.from('{}') });
  const summary: unknown = JSON.parse(JSON.stringify(summarize(plan)));
  const clear = pipelineClearer({ log, blobs, stores });
  const confirm = () => Promise.resolve();
  const told = await clear(lives[0]!, { summary, purge: true, dryRun: false, confirm });
  assert.ok(told.deleted.includes('letters in stream MR_cars_letters (1 of them)'), told.deleted.join('\n'));
  assert.ok(told.kept.includes('stream out (2 messages) with results'), told.kept.join('\n'));
  assert.deepEqual(await left(lives[0]!), [false, false, false, false, false]);
  assert.deepEqual(await left(lives[1]!), [true, true, true, true, true]);
  // The rest of a purge that another has carried out meanwhile.
  await clear(lives[0]!, { summary, purge: true, dryRun: false, confirm });
  assert.deepEqual(await left(lives[1]!), [true, true, true, true, true]);
});
