/** The lives of the engine's thread: what follows one that is stuck, crashes, or has found an invariant broken. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { EngineThread } from '../../../lib/host/engine-thread.ts';
import { noMeter } from '../../../lib/observe/meter.ts';
import { Recorder, until } from './fakes.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-engine-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const PROLOGUE = `import { parentPort, workerData } from 'node:worker_threads';
const { memory, suspects, options } = workerData;
const watch = new Float64Array(memory);
setInterval(() => watch[3]++, 50);
parentPort.on('message', ({ kind, run, number }) => {
  if (kind === 'close') process.exit(0);
  if (kind === 'start') parentPort.postMessage({ kind: 'started', run, status: options });
});
`;

/** An engine whose thread runs the text. Pauses take no time; how long they were meant to be is in `pauses`. */
async function engineOf(text: string, options: { stuckMs?: number; isTooSlow?: boolean } = {}) {
  const launcher = join(dir, `${Math.random()}.mjs`);
  await writeFile(launcher, PROLOGUE + text);
  const observer = new Recorder();
  const pauses: number[] = [];
  const clock: Clock = {
    ...systemClock,
    after(delayMs, callback) {
      pauses.push(delayMs);
      return systemClock.after(0, callback);
    },
  };
  const status = { state: 'running' };
  const { stuckMs = 60_000 } = options;
  const harmed: string[] = [];
  const engine = new EngineThread({
    ...{ name: '1', launcher, options: status, env: {}, memoryMb: null, stuckMs, suspects: [], clock, observer },
    meter: () => noMeter,
    isTooSlow: () => options.isTooSlow ?? false,
    harmed: ({ pipeline, operator }, how) => harmed.push(`${pipeline} ${operator} ${how}`),
  });
  const troubles: (string | null)[] = [];
  engine.onTrouble(() => troubles.push(engine.trouble));
  engine.open();
  return { engine, observer, pauses, troubles, harmed };
}

const ORDER = {
  pipeline: 'p',
  life: 'a',
  revision: 1,
  bundle: 'hash',
  file: 'p.ts',
  program: 1,
  since: {},
  assignment: { number: 1, parts: 'all' },
} as const;

/** While the machine has no time for the thread it counts as silent, and what runs in it as waiting. */
async function runs({ engine }: Pick<Awaited<ReturnType<typeof engineOf>>, 'engine'>): Promise<void> {
  const running = await engine.start(ORDER);
  await until('it runs', () => running.status().state === 'running');
}

test('takes orders once it says so, and none before', async () => {
  const { engine } = await engineOf(`parentPort.postMessage({ kind: 'ready' });`);
  assert.equal(engine.trouble, 'the engine is starting');
  await assert.rejects(engine.start(ORDER), error => isMillraceError(error, 'ENGINE_LOST'));
  await until('it is ready', () => engine.trouble === null);
  await runs({ engine });
  await engine.close({ deadlineMs: 5_000 });
});

test('a thread that crashes is followed by another, after a pause that grows, and says so', async () => {
  const { engine, observer, pauses, troubles } = await engineOf(`throw new Error('boom');`);
  await until('it has crashed again and again', () => pauses.length >= 8);
  await engine.close({ deadlineMs: 5_000 });
  assert.deepEqual(pauses.slice(0, 8), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  const [first] = observer.events;
  assert.deepEqual([first!.event, first!.message, first!.retryMs], ['engine.crashed', 'boom', 500]);
  assert.equal(troubles[0], 'the engine has crashed (boom) and is started anew');
});

test('what ran in it is lost, not failed, and may be started in the next', async () => {
  const { engine } = await engineOf(`
    parentPort.postMessage({ kind: 'ready' });
    parentPort.on('message', ({ kind }) => { if (kind === 'assign') process.exit(3); });`);
  await until('it is ready', () => engine.trouble === null);
  const running = await engine.start(ORDER);
  running.assign({ number: 2, parts: [] });
  const error = await running.failed;
  assert.deepEqual([error.code, error.fate], ['ENGINE_LOST', 'retry']);
  assert.match(error.message, /its thread ended with code 3/);
  await until('the next is ready', () => engine.trouble === null);
  await runs({ engine });
  await engine.close({ deadlineMs: 5_000 });
});

test('an invariant that broke in it is told, and no other thread follows', async () => {
  const { engine, pauses } = await engineOf(`
    parentPort.postMessage({ kind: 'fault', error: { code: 'INVARIANT', message: 'cannot be', cause: null } });
    setTimeout(() => process.exit(1), 10);`);
  assert.equal((await engine.fatal).message, 'cannot be');
  assert.deepEqual(pauses, []);
  await engine.close({ deadlineMs: 5_000 });
});

test('a function that does not return ends its thread, and the next one knows it, without a pause', async () => {
  const { engine, observer, pauses } = await engineOf(
    `
    const site = { pipeline: 'p', revision: 1, operator: 'spin' };
    parentPort.postMessage({ kind: 'site', number: 7, site });
    parentPort.postMessage({ kind: 'ready' });
    if (suspects.length === 0) setTimeout(() => { watch[0] = 7; watch[1] = 4096; for (;;); }, 10);
    else if (suspects[0].operator !== 'spin' || suspects[0].origin !== 4096) throw new Error(JSON.stringify(suspects));`,
    { stuckMs: 500 },
  );
  await until('it was ended', () => observer.names().includes('engine.stuck'));
  await until('the next is ready', () => engine.trouble === null);
  const { pipeline, operator } = observer.events.find(({ event }) => event === 'engine.stuck')!;
  assert.deepEqual([pipeline, operator], ['p', 'spin']);
  await engine.close({ deadlineMs: 5_000 });
  assert.deepEqual([observer.names().includes('engine.crashed'), pauses], [false, []]);
});
