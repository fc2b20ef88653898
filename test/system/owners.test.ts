/**
 * Two owners of one pipeline on one real broker: told in turn that all of it is theirs, one after the other, and one that is
 * frozen while another takes over. Whoever is not the newest owner is fenced, and takes nothing back; nothing is lost,
 * nothing doubled.
 *
 *   engine a   1 claim ─ commits ─ FENCED ········ 3 claim ─ commits ─ FENCED …
 *   engine b   ················· 2 claim ─ commits ───────── FENCED ·········· 4 claim …
 *   worker a   lease ─ commits ─ SIGSTOP ····················· SIGCONT ─ lease lost, FENCED
 *   worker b   standby ········· silence ─ lease ─ claim ─ commits ──────────────────────────
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { decodeHead } from '../../lib/journal/entry.ts';
import type { Event } from '../../lib/observe/events.ts';
import { journalSubject } from '../../lib/record/names.ts';
import { type Assignment, partsOf } from '../../lib/topology/parts.ts';
import { planOrThrow } from '../../lib/topology/planner.ts';
import { startEngine } from './engine.ts';
import { Rounds, STORY } from './rounds.ts';
import { eventually, running, Scene } from './scene.ts';
import story from './story.ts';

const LIMITS = { checkpointBytes: 20_000, batchRecordsMax: 64 };

let scene: Scene;
let rounds: Rounds;
beforeEach(async () => {
  scene = await Scene.open();
  rounds = await Rounds.open(scene, 3);
});
afterEach(() => scene.close());

async function engine(name: string, parts: Assignment['parts'] = 'all') {
  const events: Event[] = [];
  const one = await startEngine({
    natsUrl: scene.server.url,
    dataDir: join(scene.folder, name),
    limits: LIMITS,
    assignment: { number: 1, parts },
    emit: event => events.push(event),
  });
  scene.closing.add(() => one.stop());
  return { ...one, events };
}

test('two engines that are told in turn that all is theirs fence each other, and every row is there once', async () => {
  const engines = [await engine('b', []), await engine('a')];
  const parts = partsOf(await planOrThrow(story, scene.log));
  for (let number = 2; number < 8; number++) {
    await rounds.publish({ orders: 150, lengthMs: 600 });
    const next = engines[number % 2]!;
    const former = engines[(number + 1) % 2]!;
    const since = former.events.length;
    next.pipeline.assign({ number, parts: 'all' });
    await rounds.publish({ orders: 150, lengthMs: 600 });
    await eventually(`${number}: the former is fenced everywhere, and takes nothing back`, () => {
      const fenced = former.events.slice(since).filter(isFenced);
      return (
        new Set(fenced.map(({ stage, partition, reader }) => reader ?? `${stage}/${partition}`)).size === parts.length
      );
    });
    assert.equal(former.pipeline.status().state, 'waiting');
    assert.match(former.pipeline.status().reason!, /has taken over|assignment/);
  }
  await rounds.judge();
  for (const { events } of engines) {
    assert.deepEqual(
      events.filter(({ event }) => event === 'pipeline.failed'),
      [],
    );
  }
});

/** A reader that has nothing to send is fenced at its next word to its stages. */
function isFenced({ event, code }: Event): boolean {
  return (
    event === 'task.fenced' || (event === 'reader.failed' && (code === 'FENCED' || code === 'ASSIGNMENT_OUTDATED'))
  );
}

test('a clean stop releases every task, and the next owner goes on from the journal', async () => {
  const first = await engine('a');
  await rounds.publish({ orders: 200, lengthMs: 500 });
  await eventually('it runs', () => first.pipeline.status().state === 'running');
  await first.stop();
  const stages = first.pipeline.status().tasks.map(({ stage, partition }) => ({ stage, partition }));
  assert.equal(stages.length, 7);
  for (const task of stages) {
    const subject = journalSubject({ pipeline: 'story', life: '0' }, task);
    const last = await scene.log.last({ stream: 'MR_story_0_journal', subject });
    assert.equal(decodeHead(last!.data).kind, 'release', `${task.stage} ${task.partition}`);
  }
  const second = await engine('b');
  await rounds.publish({ orders: 100, lengthMs: 200 });
  await rounds.judge();
  const restored = second.events.filter(({ event }) => event === 'task.restored');
  assert.equal(restored.length, 7);
  for (const { epoch, from } of restored) {
    assert.equal(epoch, 2);
    assert.notEqual(from, 'store', 'it has a disk of its own');
  }
  assert.deepEqual(
    second.events.filter(({ level }) => level === 'warn' || level === 'error'),
    [],
  );
});

test('a worker that is frozen for longer than its lease is replaced, and fenced when it thaws', async () => {
  const [first, second] = [scene.worker('a'), scene.worker('b')];
  await first.start();
  const client = scene.client(first);
  await scene.deploy(client, { file: STORY });
  await running(client, 'story');
  await second.start();
  const other = scene.client(second);
  await rounds.publish({ orders: 1_500, lengthMs: 200 });
  process.kill(first.pid, 'SIGSTOP');
  await rounds.publish({ orders: 300, lengthMs: 300 });
  const { worker } = await running(other, 'story');
  assert.equal(worker, (await other.info()).worker, 'the other worker has taken over');
  await rounds.publish({ orders: 300, lengthMs: 300 });
  process.kill(first.pid, 'SIGCONT');
  await eventually('the thawed worker knows', async () => {
    const { activeWorker } = await client.info();
    return activeWorker === worker;
  });
  await rounds.publish({ orders: 300, lengthMs: 500 });
  await rounds.judge();
  await eventually(
    'the thawed worker has stopped its tasks',
    () => /lease\.lost/.test(first.said()) || /pipeline\.stopped/.test(first.said()),
  );
});
