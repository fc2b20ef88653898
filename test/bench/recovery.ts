/**
 * What a crash costs: a worker that holds a state of some hundred megabytes, and processes a steady load, is killed with
 * SIGKILL and started again at once. Measured is how long the reader of its output hears nothing, and when rows are as
 * fresh as before. Twice: with the worker's folder as it was, and with an empty one, as on another machine.
 */
import { rm } from 'node:fs/promises';
import { Publisher } from '../rig/publisher.ts';
import { lastSequenceOf, subscribe } from '../rig/subscriber.ts';
import { sameAnswer } from './answers.ts';
import { clockMs } from './clock.ts';
import { frameOf, KEYS, makeKeyStream, sendKeys, upTo } from './keyed.ts';
import { megabytes } from './run.ts';
import { pause, Scene, type SceneOptions } from './scene.ts';
import { answerOfKeys, awaitKeys } from './state.ts';

export interface RecoveryOptions extends Omit<SceneOptions, 'syncAlways'> {
  /** Ids in the state when the worker is killed; 700,000 are some 100 MB. */
  readonly keys: number;
  /** How long the load runs before the crash, and on when rows are fresh again. Default 5,000. */
  readonly steadyMs?: number;
}

export interface RecoveryResult {
  /** Whether the worker's folder is there when it comes back. */
  readonly disk: 'kept' | 'lost';
  readonly keys: number;
  readonly correct: boolean;
  /** The state at the moment of the crash, as the worker counts it. */
  readonly stateMb: number;
  /** The longest time without a row, around the crash. */
  readonly silentSeconds: number;
  /** From the crash until rows were less than 100 ms old again. */
  readonly freshSeconds: number;
}

const EVENTS_PER_SECOND = 10_000;
const TICK_MS = 5;
const FRESH_MS = 100;
/** It is given up when rows are not fresh again after so long. */
const GIVEN_UP_MS = 120_000;

/** One after the other on one scene: the second crash finds a state that is larger by what came meanwhile. */
export async function measureRecovery(options: RecoveryOptions): Promise<RecoveryResult[]> {
  const { keys, steadyMs = 5_000, say } = options;
  const scene = await Scene.set(options);
  try {
    const { connection } = scene;
    await makeKeyStream(connection);
    // The past: the live events, which come later, are later.
    await sendKeys(connection, { numbers: upTo(keys), fromMs: Date.now() - keys - 60_000, say });
    await scene.worker.start();
    say('filling the state');
    await scene.deploy(KEYS.file);
    let { seen, stream } = await awaitKeys(scene, keys);
    if (stream === null) throw new Error(`no row came out: ${await scene.explain(KEYS.pipeline)}`);
    const results: RecoveryResult[] = [];
    let sent = keys;
    for (const disk of ['kept', 'lost'] as const) {
      const { tasks } = await scene.status(KEYS.pipeline);
      const stateMb = megabytes(tasks.reduce((bytes, task) => bytes + task.stateBytes, 0));
      const crash = await crashUnderLoad(scene, { stream, disk, firstId: sent, steadyMs, say });
      sent += crash.sent;
      ({ seen } = await awaitKeys(scene, sent));
      const correct = sameAnswer(seen, answerOfKeys(sent));
      if (!correct) say(await scene.explain(KEYS.pipeline));
      const { silentSeconds, freshSeconds } = crash;
      results.push({ disk, keys: sent, correct, stateMb, silentSeconds, freshSeconds });
    }
    return results;
  } finally {
    await scene.close();
  }
}

async function crashUnderLoad(
  scene: Scene,
  options: { stream: string; disk: 'kept' | 'lost'; firstId: number; steadyMs: number; say: (text: string) => void },
): Promise<{ sent: number; silentSeconds: number; freshSeconds: number }> {
  const { stream, disk, firstId, steadyMs, say } = options;
  const { connection, worker } = scene;
  let killedMs = Number.POSITIVE_INFINITY;
  let arrivedMs = clockMs();
  let silentMs = 0;
  let freshMs: number | null = null;
  const subscription = await subscribe(connection, {
    stream,
    subject: KEYS.output,
    from: (await lastSequenceOf(connection, stream)) + 1,
    arrived({ row }) {
      const nowMs = clockMs();
      if (nowMs >= killedMs) {
        silentMs = Math.max(silentMs, nowMs - arrivedMs);
        // What the dead worker had sent may still be on its way; nothing is fresh before a silence.
        const ageMs = nowMs - (JSON.parse(row) as { at: number }).at;
        if (silentMs > FRESH_MS && ageMs < FRESH_MS) freshMs ??= nowMs;
      }
      arrivedMs = nowMs;
    },
  });
  const load = beginLoad(scene, firstId);
  try {
    await pause(steadyMs);
    say(`killing the worker, its folder ${disk}`);
    killedMs = clockMs();
    await worker.kill();
    if (disk === 'lost') await rm(scene.workerFolder, { recursive: true, force: true });
    await worker.start();
    while (freshMs === null && clockMs() < killedMs + GIVEN_UP_MS) await pause(50);
    await pause(steadyMs);
  } finally {
    await load.stop();
    await subscription.stop();
  }
  if (freshMs === null) throw new Error(`rows were not fresh again after ${GIVEN_UP_MS / 1_000} s: ${worker.said()}`);
  return { sent: load.sent(), silentSeconds: seconds(silentMs), freshSeconds: seconds(freshMs - killedMs) };
}

/** New ids at a steady rate, a tick's in a frame, each with the moment at which it was due. */
function beginLoad(scene: Scene, firstId: number): { stop(): Promise<void>; sent(): number } {
  let stopped = false;
  let sent = 0;
  const aTick = (EVENTS_PER_SECOND * TICK_MS) / 1_000;
  const publisher = new Publisher(scene.connection);
  const run = async () => {
    for (let dueMs = Math.ceil(clockMs()) + TICK_MS; !stopped; dueMs += TICK_MS) {
      if (clockMs() < dueMs) await pause(dueMs - clockMs());
      publisher.publish(KEYS.subject, frameOf({ from: firstId + sent, count: aTick, atMs: dueMs }));
      sent += aTick;
    }
    await publisher.finish();
  };
  const running = run();
  running.catch(() => 'told to whoever stops it');
  return {
    sent: () => sent,
    async stop() {
      stopped = true;
      await running;
    },
  };
}

function seconds(ms: number): number {
  return Math.round(ms) / 1_000;
}
