/**
 * One history: a seed decides the events, the weather and every fault; the judge compares what subscribers got with
 * the batch answer. `node --import tsx test/sim/replay.ts SEED` plays one again and shows what happened in it.
 */
import { isMillraceError } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import type { MemoryFaults } from '../../lib/memory/faults.ts';
import type { TaskState } from '../../lib/state/state.ts';
import { taskPart } from '../../lib/topology/parts.ts';
import { Cluster, type Weather } from './cluster.ts';
import { count, excess, judge, size } from './judge.ts';
import { answer, type Events, events, story as pipeline } from './story.ts';
import { planOn } from './world.ts';

const REST_MS = 240_000;
const QUIET_MS = 3_000;
const STEP_MS = 250;
export const CALM: MemoryFaults = { delayMs: [0.1, 1] };

export interface Verdict {
  readonly seed: number;
  /** Null: all is as it should be. */
  readonly wrong: string | null;
  readonly cluster: Cluster;
  readonly weather: Weather;
  readonly story: Events;
}

function weatherOf(random: Random, lengthMs: number): Omit<Weather, 'standbys'> {
  return {
    hosts: random.chance(0.5) ? 2 : 1,
    crashes: random.int(5),
    freezes: random.chance(0.4) ? random.int(3) : 0,
    cuts: random.chance(0.4) ? random.int(3) : 0,
    outageMs: random.chance(0.5) ? 25_000 : 4_000,
    diskLoss: 0.3,
    lengthMs,
  };
}

export function faultsOf(random: Random): MemoryFaults {
  const storm = random.next() * 0.1;
  return {
    delayMs: [0.1, random.chance(0.3) ? 30 : 3],
    unsureMs: [50, 500],
    lostAck: storm * random.next(),
    notLanded: storm * random.next(),
    lateLanding: storm * random.next(),
    lateMs: 2_000,
    questionFails: storm * 0.3 * random.next(),
    staleLast: storm * random.next(),
    staleLookMs: [0, random.chance(0.3) ? 1_000 : 0],
    prefixBatch: random.chance(0.5) ? random.next() * 0.6 : 0,
    readDelayMs: [0, random.chance(0.3) ? 200 : 5],
    partialRead: random.next() * 0.3,
    idleWake: random.next() * 0.2,
  };
}

/** @param options.putsBack one stream is put back to an older copy: then the end is an alarm, or the right answer */
export async function play(seed: number, options: { putsBack?: boolean } = {}): Promise<Verdict> {
  const random = new Random(seed);
  const story = events(random.fork(), 20 + random.int(60));
  const { sent } = story;
  const lastMs = sent.at(-1)?.atMs ?? 0;
  const fair = weatherOf(random, lastMs + 2_000);
  const messageBytesMax = 5_000 + random.int(4_000);
  const limits = {
    batchRecordsMax: 1 + random.int(40),
    batchBytesMax: 4_096,
    checkpointBytes: random.chance(0.7) ? 500 + random.int(4_000) : 1 << 30,
    checkpointSliceEntries: 1 + random.int(10),
    stateBytesMax: random.chance(0.5) ? 2_000 + random.int(10_000) : 1 << 30,
    relayBytesMax: 1_000 + random.int(20_000),
    // Batches end in the middle of frames and of what is due, all the time.
    commitBytesMax: random.chance(0.8) ? 50 + random.int(1_500) : 4 << 20,
  };
  const streams = ['in.orders', 'in.payments'].map(name => ({ name: name.replace('.', '_'), subjects: [name] }));
  const plan = await planOn(pipeline, streams);
  const cluster = new Cluster({ seed, plan, limits, messageBytesMax });
  for (const settings of streams) cluster.broker.create(settings);
  cluster.broker.faults = faultsOf(random);
  const weather = { ...fair, standbys: random.chance(0.5) ? 1 + random.int(2) : 0 };
  cluster.isShared = random.chance(0.5);
  for (let i = 0; i < weather.hosts; i++) cluster.addHost().start();
  for (let i = 0; i < weather.standbys; i++) {
    const standby = cluster.addHost();
    standby.isStandby = true;
    standby.start();
  }
  for (let i = random.int(4); i > 0; i--) cluster.clock.after(random.int(weather.lengthMs), () => cluster.assign());
  cluster.publish(sent);
  cluster.disturb(weather);
  if (options.putsBack) cluster.putBackOne(weather.lengthMs);
  const expected = answer(sent);
  await cluster.clock.runUntil(() => cluster.failure !== null, { limitMs: weather.lengthMs + 3_000 });
  // The weather clears: what follows must come to rest with the right answer.
  cluster.broker.faults = CALM;
  for (const host of cluster.hosts) {
    host.thaw();
    host.reconnect();
    // What was put back shows at the latest when somebody starts again.
    if (options.putsBack) host.crash({ losesDisk: false });
  }
  // What a process had asked its disk for when it died is done before the next one comes.
  if (options.putsBack) await cluster.clock.run(cluster.clock.monotonic() + STEP_MS);
  for (const host of cluster.hosts) host.start();
  cluster.assign();
  while (cluster.failure === null && count(cluster) < size(expected) && cluster.clock.monotonic() < lastMs + REST_MS) {
    await cluster.clock.run(cluster.clock.monotonic() + STEP_MS);
  }
  await cluster.clock.run(cluster.clock.monotonic() + QUIET_MS);
  const behind = cluster.failure === null ? await follows(cluster) : null;
  const wrong =
    behind ??
    (cluster.putBack === null || !isAlarm(cluster.failure) ? judge(cluster, expected) : excess(cluster, expected));
  return { seed, wrong, cluster, weather, story };
}

/** Whoever follows comes to have what the owner has: null, or what is missing. */
async function follows(cluster: Cluster): Promise<string | null> {
  const tasks = () => cluster.hosts.flatMap(host => host.pipeline?.tasks ?? []);
  for (const host of cluster.hosts) {
    for (const [name, replica] of host.pipeline?.followed ?? []) {
      const owner = () => tasks().find(task => taskPart(task) === name && task.phase === 'running');
      const isEven = () => owner() !== undefined && replica.commit === owner()!.journal.commit;
      /** A task has taken it over meanwhile, or nobody follows any more. */
      const isTaken = () => host.pipeline?.followed.get(name) !== replica;
      await cluster.clock.runUntil(() => cluster.failure !== null || isTaken() || isEven(), {
        limitMs: cluster.clock.monotonic() + 30_000,
      });
      if (cluster.failure !== null) return null;
      if (isTaken()) continue;
      if (!isEven()) return `${name}: its follower is at ${replica.commit}, it is at ${owner()?.journal.commit}`;
      cluster.followed++;
      const [own, followed] = [owner()!.processor.state, replica.state];
      if (own.entries !== followed.entries) return `${name}: ${followed.entries} entries of ${own.entries} followed`;
      if (!own.resident || !followed.resident) continue;
      const operators = cluster.plan.stages
        .find(stage => name.startsWith(`${stage.name}/`))!
        .program.nodes.map(node => node.name);
      const wanted = entriesOf(own, operators);
      const differ = entriesOf(followed, operators).filter((entry, i) => entry !== wanted[i]);
      if (differ.length > 0) return `${name}: its follower has ${differ.slice(0, 3).join(' ')}`;
    }
  }
  return null;
}

function entriesOf(state: TaskState, operators: readonly string[]): string[] {
  return operators
    .flatMap(name => Array.from(state.entriesOf(name), entry => `${name} ${JSON.stringify(entry)}`))
    .sort();
}

/** What is said when streams do not fit together. */
export function isAlarm(failure: Error | null): boolean {
  return (['CHAIN_BROKEN', 'JOURNAL_CORRUPT', 'STREAM_CHANGED'] as const).some(code => isMillraceError(failure, code));
}
