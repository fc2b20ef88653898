/** The threads of a worker, with small programs in place of the engine: who runs where, and what harm done by one changes. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Engines } from '../../../lib/host/engines.ts';
import { noMeter } from '../../../lib/observe/meter.ts';
import { emptyStatus } from '../../../lib/observe/status.ts';
import type { RunningPipeline } from '../../../lib/seam/engine.ts';
import { Recorder, until } from './fakes.ts';

let launcher: string;
let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-engines-'));
  launcher = join(dir, 'engine.mjs');
  await writeFile(launcher, PROGRAM);
});
after(() => rm(dir, { recursive: true, force: true }));

/** Says with each status what it runs, in the reason. A pipeline does its harm when it is assigned something. */
const PROGRAM = `import { parentPort, resourceLimits, workerData } from 'node:worker_threads';
const { memory, options } = workerData;
const watch = new Float64Array(memory);
setInterval(() => watch[3]++, 50);
const say = message => parentPort.postMessage(message);
const runs = new Map();
let sites = 0;
parentPort.on('message', ({ kind, run, ...more }) => {
  if (kind === 'close') process.exit(0);
  if (kind === 'start') {
    runs.set(run, more);
    const mb = resourceLimits.maxOldGenerationSizeMb > 0 && resourceLimits.maxOldGenerationSizeMb <= 512;
    const text = JSON.stringify({ parts: more.assignment.parts, share: options.share, limited: mb });
    say({ kind: 'started', run, status: { ...options.status, reason: text } });
  }
  if (kind === 'stop') say({ kind: 'stopped', run });
  if (kind === 'assign' && more.assignment.number > 1) {
    const { pipeline, revision } = runs.get(run);
    say({ kind: 'site', number: ++sites, site: { pipeline, revision, operator: 'work' } });
    watch[0] = sites;
    setTimeout(() => { if (pipeline === 'spinner') for (;;); else process.exit(7); }, 20);
  }
});
say({ kind: 'ready' });
`;

async function enginesOf(threads: number) {
  const observer = new Recorder();
  const status = emptyStatus('running', null);
  const engines = new Engines({
    ...{ launcher, env: {}, threads, stuckMs: 2_000, clock: systemClock, observer },
    optionsOf: share => ({ share, status }),
    meter: () => noMeter,
  });
  engines.open();
  await until('all are ready', () => engines.troubleOf('any') === null);
  return { engines, observer };
}

const SHAPE = { parts: ['s/0', 's/1', 'in'], sources: ['in'] };

function start(engines: Engines<unknown>, pipeline: string, bundle = 'hash'): Promise<RunningPipeline> {
  const order = { pipeline, life: 'a', revision: 1, bundle, file: 'p.ts', program: 1, since: {} };
  return engines.start({ ...order, assignment: { number: 1, parts: 'all' } }, SHAPE);
}

/** As a host does: as soon as it can be started. */
async function startedAgain(engines: Engines<unknown>, pipeline: string, bundle?: string): Promise<RunningPipeline> {
  await until(`${pipeline} can be started`, () => engines.troubleOf(pipeline) === null);
  return start(engines, pipeline, bundle);
}

/** While the machine has no time for a thread, something else is told. */
async function has(run: RunningPipeline): Promise<{ parts: unknown; share: number; limited: boolean }> {
  await until('it says what it has', () => run.status().state === 'running');
  return JSON.parse(run.status().reason!);
}

test('one thread has all of a pipeline, and two divide it', async () => {
  const one = await enginesOf(1);
  assert.deepEqual(await has(await start(one.engines, 'p')), { parts: 'all', share: 1, limited: false });
  await one.engines.close({ deadlineMs: 1_000 });
  const two = await enginesOf(2);
  const run = await start(two.engines, 'p');
  assert.deepEqual(await has(run), { parts: ['in'], share: 0.5, limited: false });
  assert.deepEqual([...two.engines.busyMs.keys()], ['1', '2']);
  await two.engines.close({ deadlineMs: 1_000 });
});

test('who ends the thread has one of his own from then on, with a limit of memory; the others go on where they were', async () => {
  const { engines, observer } = await enginesOf(1);
  const innocent = await start(engines, 'innocent');
  const leaver = await start(engines, 'leaver');
  leaver.assign({ number: 2, parts: 'all' });
  const errors = await Promise.all([innocent.failed, leaver.failed]);
  for (const error of errors) assert.ok(isMillraceError(error, 'ENGINE_LOST'), error.message);
  const again = await startedAgain(engines, 'innocent');
  const apart = await startedAgain(engines, 'leaver');
  assert.equal(again.status().quarantine, null);
  assert.match(
    apart.status().quarantine ?? '',
    /^a function of work ran when it crashed \(its thread ended with code 7\)$/,
  );
  assert.deepEqual(await has(apart), { parts: 'all', share: 1 / 8, limited: true });
  assert.deepEqual(observer.names(), ['engine.crashed', 'pipeline.quarantined']);
  // The second time it is alone.
  apart.assign({ number: 3, parts: 'all' });
  await apart.failed;
  assert.equal(engines.troubleOf('innocent'), null);
  assert.notEqual(engines.troubleOf('leaver'), null);
  await has(again);
  const third = await startedAgain(engines, 'leaver');
  assert.notEqual(third.status().quarantine, null);
  await third.stop({ deadlineMs: 1_000 });
  const mended = await startedAgain(engines, 'leaver', 'other');
  assert.deepEqual([mended.status().quarantine, (await has(mended)).limited], [null, false]);
  assert.deepEqual(
    [...engines.busyMs.keys()].includes('leaver'),
    true,
    'what its thread was busy for is not forgotten',
  );
  await engines.close({ deadlineMs: 1_000 });
});

test('who is alone does no harm to others, and has to go when somebody comes', async () => {
  const { engines } = await enginesOf(1);
  const spinner = await start(engines, 'spinner');
  spinner.assign({ number: 2, parts: 'all' });
  await spinner.failed;
  const alone = await startedAgain(engines, 'spinner');
  assert.equal(alone.status().quarantine, null);
  const other = await startedAgain(engines, 'other');
  const error = await alone.failed;
  assert.match(error.message, /^it is started in a thread of its own: a function of work did not return$/);
  const apart = await startedAgain(engines, 'spinner');
  assert.equal(apart.status().quarantine, 'a function of work did not return');
  await has(other);
  assert.equal(other.status().quarantine, null);
  await engines.close({ deadlineMs: 1_000 });
});
