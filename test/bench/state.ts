/**
 * What a large state costs: so many ids are let through once, then a tenth of them comes again, scattered over all, and
 * none may come out. Both are measured, and what memory and disks hold at the end.
 */
import { lastSequenceOf } from '../rig/subscriber.ts';
import { Checksum, sameAnswer } from './answers.ts';
import { awaitOutput, QUIET_MS, watchFirstRead } from './catch-up.ts';
import { idOf, KEYS, makeKeyStream, scattered, sendKeys, upTo } from './keyed.ts';
import { beginUsage, megabytes } from './run.ts';
import { pause, Scene, type SceneOptions } from './scene.ts';
import { folderBytes } from './usage.ts';

export interface StateOptions extends Omit<SceneOptions, 'syncAlways'> {
  readonly keys: number;
}

export interface StateResult {
  readonly keys: number;
  readonly correct: boolean;
  /** Ids let through, and repeats dropped, for each second of CPU that worker and broker used. */
  readonly eventsPerCpuSecond: number;
  readonly repeatsPerCpuSecond: number;
  readonly wallSeconds: number;
  /** The worker's peak, and what of it the state is by its own account. */
  readonly rssMb: number;
  readonly stateMb: number;
  /** The worker's folder, and what the broker keeps beyond input and output: journals, channels, snapshots. */
  readonly workerFolderMb: number;
  readonly brokerStoredMb: number;
}

const POLL_MS = 100;
const REPEATS_MS = 600_000;

/** Throws when anything does not start; wrong rows are a result. */
export async function measureState(options: StateOptions): Promise<StateResult> {
  const { keys, say } = options;
  const scene = await Scene.set(options);
  try {
    const { connection } = scene;
    await makeKeyStream(connection);
    const baseMs = Date.UTC(2026, 0, 1);
    say('loading the input');
    await sendKeys(connection, { numbers: upTo(keys), fromMs: baseMs, say });
    await scene.worker.start();
    say('filling the state');
    const filling = await beginUsage(scene);
    const firstRead = watchFirstRead(connection, [KEYS.stream]);
    await scene.deploy(KEYS.file);
    const { seen, lastStoredMs, stream } = await awaitKeys(scene, keys);
    const once = stream !== null && sameAnswer(seen, answerOfKeys(keys));
    if (!once) say(await scene.explain(KEYS.pipeline));
    const fromMs = await firstRead.stop();
    const fill = await filling.end({ fromMs, toMs: Math.max(fromMs, lastStoredMs), eventsRead: keys });

    say('repeating a tenth');
    const lastSeq = stream === null ? 0 : await lastSequenceOf(connection, stream);
    const repeats = Math.floor(keys / 10);
    const repeating = await beginUsage(scene);
    const repeatMs = Date.now();
    await sendKeys(connection, { numbers: scattered(repeats, keys), fromMs: baseMs + keys, say });
    const dropped = await untilDropped(scene, repeats);
    const repeat = await repeating.end({ fromMs: repeatMs, toMs: Date.now(), eventsRead: repeats });
    await pause(QUIET_MS);
    const still = stream !== null && (await lastSequenceOf(connection, stream)) === lastSeq;
    if (!dropped || !still) say(await scene.explain(KEYS.pipeline));

    const { tasks } = await scene.status(KEYS.pipeline);
    return {
      keys,
      correct: once && dropped && still,
      eventsPerCpuSecond: fill.eventsPerCpuSecond,
      repeatsPerCpuSecond: repeat.eventsPerCpuSecond,
      wallSeconds: fill.wallSeconds,
      rssMb: repeat.rssMb,
      stateMb: megabytes(tasks.reduce((bytes, task) => bytes + task.stateBytes, 0)),
      workerFolderMb: megabytes(folderBytes(scene.workerFolder)),
      brokerStoredMb: megabytes(await ownBytes(scene, stream)),
    };
  } finally {
    await scene.close();
  }
}

/** Waits for the rows of so many ids. */
export async function awaitKeys(scene: Scene, keys: number) {
  const sum = new Checksum();
  const output = await awaitOutput(scene.connection, {
    subject: KEYS.output,
    take(row) {
      sum.add((JSON.parse(row) as { id: string }).id);
      return true;
    },
    complete: () => sum.count >= keys,
  });
  return { ...output, seen: sum.answer() };
}

/** Each of so many ids once. */
export function answerOfKeys(keys: number) {
  const sum = new Checksum();
  for (const n of upTo(keys)) sum.add(idOf(n));
  return sum.answer();
}

/** False: too many were dropped, or they were not in ten minutes. */
async function untilDropped(scene: Scene, repeats: number): Promise<boolean> {
  const deadlineMs = Date.now() + REPEATS_MS;
  for (;;) {
    const { counts } = await scene.status(KEYS.pipeline);
    const dropped = counts.dropped.duplicate ?? 0;
    if (dropped >= repeats) return dropped === repeats;
    if (Date.now() > deadlineMs) return false;
    await pause(POLL_MS);
  }
}

async function ownBytes(scene: Scene, output: string | null): Promise<number> {
  const manager = await scene.connection.jetstreamManager();
  let others = (await manager.streams.info(KEYS.stream)).state.bytes;
  if (output !== null) others += (await manager.streams.info(output)).state.bytes;
  return (await scene.brokerBytesStored()) - others;
}
