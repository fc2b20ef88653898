/**
 * One soak: the load sent at a steady rate by the clock, every row that comes out held against what is expected, and the
 * memory of worker and broker sampled as it goes. Streams keep two minutes, so that what the broker holds has an end.
 */
import { fileURLToPath } from 'node:url';
import { Publisher } from '../rig/publisher.ts';
import { type Subscription, subscribe } from '../rig/subscriber.ts';
import { clockMs } from './clock.ts';
import { type Drift, driftOf, type MemorySample } from './drift.ts';
import { megabytes } from './run.ts';
import { pause, Scene, type SceneOptions } from './scene.ts';
import { SoakLoad, type Tick } from './soak-load.ts';
import { residentBytesOf } from './usage.ts';

export interface SoakOptions extends Omit<SceneOptions, 'syncAlways'> {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** Given every sample. */
  readonly sampled: (sample: SoakSample) => void;
}

export interface SoakSample {
  readonly seconds: number;
  readonly sent: number;
  readonly rows: number;
  readonly outstanding: number;
  readonly workerMb: number;
  readonly brokerMb: number;
  readonly stateMb: number;
  /** In all streams. */
  readonly storedMb: number;
}

export interface SoakResult {
  readonly sent: number;
  readonly rows: number;
  /** Every row that was expected came, once, and no other. */
  readonly correct: boolean;
  readonly worker: Drift;
  readonly broker: Drift;
}

const PIPELINE = fileURLToPath(new URL('pipelines/soak.ts', import.meta.url));
const INPUTS = { reading: 'soak.reading', opening: 'soak.opening' } as const;
const OUTPUTS = ['totals', 'sites'] as const;
const KEPT_NS = 120e9;
const TICK_MS = 10;
const SAMPLE_MS = 10_000;
/** Rows that are still missing when nothing has come for so long will not come. */
const STALLED_MS = 45_000;

/** Throws when anything does not start; wrong rows are a result. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seconds, eventsPerSecond, sampled, say } = options;
  const scene = await Scene.set(options);
  try {
    await makeStreams(scene);
    await scene.worker.start();
    await scene.deploy(PIPELINE);
    const load = new SoakLoad({ fromMs: Math.ceil(clockMs()), eventsPerSecond });
    const subscriptions = await listen(scene, load);
    const samples = await send(scene, { load, seconds, sampled });
    say('all is sent; waiting for the last windows');
    await untilQuiet(load);
    for (const subscription of subscriptions) await subscription.stop();
    const correct = load.wrong === 0 && load.outstanding === 0;
    if (!correct) {
      say(`${load.outstanding} rows are missing, ${load.wrong} are wrong: ${load.examples.join(' ')}`);
      say(await scene.explain('soak'));
    }
    const driftIn = (key: 'worker' | 'broker') => driftOf(samples[key]);
    return { sent: load.sent, rows: load.right, correct, worker: driftIn('worker'), broker: driftIn('broker') };
  } finally {
    await scene.close();
  }
}

async function makeStreams({ connection }: Scene): Promise<void> {
  const manager = await connection.jetstreamManager();
  for (const [name, subject] of Object.entries(INPUTS)) {
    await manager.streams.add({ name: `soak_${name}`, subjects: [subject], max_age: KEPT_NS });
  }
  for (const name of OUTPUTS) {
    await manager.streams.add({ name: `soak_${name}`, subjects: [`soak.${name}.*`], max_age: KEPT_NS });
  }
}

async function listen({ connection }: Scene, load: SoakLoad): Promise<Subscription[]> {
  const take = {
    totals: (row: string) => load.takeTotal(JSON.parse(row) as Parameters<SoakLoad['takeTotal']>[0]),
    sites: (row: string) => load.takeSite(JSON.parse(row) as Parameters<SoakLoad['takeSite']>[0]),
  };
  const subscriptions: Subscription[] = [];
  for (const name of OUTPUTS) {
    const arrived = ({ row }: { row: string }) => take[name](row);
    subscriptions.push(await subscribe(connection, { stream: `soak_${name}`, subject: `soak.${name}.*`, arrived }));
  }
  return subscriptions;
}

/** Sends everything, and looks at worker and broker every ten seconds. */
async function send(
  scene: Scene,
  options: { load: SoakLoad; seconds: number; sampled: (sample: SoakSample) => void },
): Promise<{ worker: MemorySample[]; broker: MemorySample[] }> {
  const { load, seconds, sampled } = options;
  const publisher = new Publisher(scene.connection, { windowMax: 10_000 });
  const publish = ({ openings, readings }: Tick) => {
    for (const [subject, events] of [
      [INPUTS.opening, openings],
      [INPUTS.reading, readings],
    ] as const) {
      if (events.length > 0) publisher.publish(subject, events.map(event => JSON.stringify(event)).join('\n'));
    }
  };
  const samples = { worker: [] as MemorySample[], broker: [] as MemorySample[] };
  const look = async (atMs: number) => {
    const worker = residentBytesOf(scene.worker.pid);
    const broker = residentBytesOf(scene.broker.pid);
    samples.worker.push({ atMs, bytes: worker });
    samples.broker.push({ atMs, bytes: broker });
    const { tasks } = await scene.status('soak');
    const state = tasks.reduce((bytes, task) => bytes + task.stateBytes, 0);
    const stored = await scene.brokerBytesStored();
    const { sent, right: rows, outstanding } = load;
    const sizes = { workerMb: megabytes(worker), brokerMb: megabytes(broker), stateMb: megabytes(state) };
    sampled({ seconds: Math.round(atMs / 1_000), sent, rows, outstanding, ...sizes, storedMb: megabytes(stored) });
  };
  let failure: { error: unknown } | null = null as { error: unknown } | null;
  const fromMs = clockMs();
  let lookMs = SAMPLE_MS;
  for (let elapsedMs = 0; elapsedMs < seconds * 1_000; elapsedMs = clockMs() - fromMs) {
    publish(load.dueAt(Math.floor(clockMs())));
    if (elapsedMs >= lookMs) {
      lookMs += SAMPLE_MS;
      // Sending does not wait for it: the load is steady.
      look(elapsedMs).catch((error: unknown) => {
        failure = { error };
      });
    }
    if (failure !== null) throw failure.error;
    await pause(TICK_MS);
  }
  publish(load.rest());
  await publisher.finish();
  return samples;
}

async function untilQuiet(load: SoakLoad): Promise<void> {
  let rows = -1;
  let movedMs = clockMs();
  while (load.outstanding > 0 && clockMs() - movedMs < STALLED_MS) {
    if (load.right + load.wrong !== rows) movedMs = clockMs();
    rows = load.right + load.wrong;
    await pause(100);
  }
}
