/**
 * One history of whole workers: a seed decides what is published, what is asked of them, the weather and every fault. Then the
 * weather clears, and what follows must come to rest: the pipeline runs on one worker, every row is there once, a pipeline that
 * is paused sends nothing, and after a purge nothing is left of it.
 *
 * `node --import tsx test/sim/replay.ts SEED workers` plays one again and shows what happened in it.
 */
import { isMillraceError } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import type { Bundle } from '../../lib/bundle/bundle.ts';
import { Owners } from '../../lib/cluster/owners.ts';
import { type PipelineSpec, Specs } from '../../lib/cluster/specs.ts';
import { MemoryRegistry } from '../../lib/memory/registry.ts';
import type { StreamSettings } from '../../lib/port/log.ts';
import type { Commands } from '../../lib/service/commands.ts';
import { CALM, faultsOf } from './history.ts';
import { programsTale, storyTale, type Tale } from './tales.ts';
import { type Outcome, WorkerCluster } from './workers.ts';
import { unrest } from './workers-rest.ts';
import { disturb, type Weather, weatherOf } from './workers-weather.ts';
import { planOn } from './world.ts';

/** Between two workers. */
const PEERS_MS: readonly [number, number] = [0.1, 3];
const REST_MS = 240_000;
const QUIET_MS = 3_000;
/** Parts may be on their way from one worker to another, for balance: to who is back only after a while. */
const MOVED_MS = 30_000;
const STEP_MS = 250;
/** What was asked of those who were frozen has come to its end by then. */
const ECHO_MS = 6_000;
const PAUSE_MS = 2_000;
const STOPPED_MS = 30_000;

export interface Verdict {
  readonly seed: number;
  /** Null: all is as it should be. */
  readonly wrong: string | null;
  readonly cluster: WorkerCluster;
  readonly weather: Weather;
  /** What was done, by its name. */
  readonly done: ReadonlyMap<string, number>;
}

class History {
  readonly cluster: WorkerCluster;
  readonly done = new Map<string, number>();
  readonly #tale: Tale;
  readonly #random: Random;
  readonly #weather: Weather;

  constructor(options: { cluster: WorkerCluster; tale: Tale; random: Random; weather: Weather }) {
    this.cluster = options.cluster;
    this.#tale = options.tale;
    this.#random = options.random;
    this.#weather = options.weather;
  }

  /** Null: all is as it should be. */
  async play(): Promise<string | null> {
    const { cluster } = this;
    const weather = this.#weather;
    for (let i = 0; i < weather.workers; i++) cluster.addMachine().start();
    this.#tale.publish(cluster);
    disturb(cluster, { weather, random: this.#random.fork() });
    void this.#ask('deploy', commands => commands.deploy(this.#anyBundle, { dryRun: false }));
    // What nobody asks anything after must mend itself.
    const askedMs = weather.lengthMs * (this.#random.chance(0.5) ? 1 : 0.5);
    for (let i = 0; i < weather.asked; i++) cluster.clock.after(this.#random.int(askedMs), () => this.#wish());
    await cluster.clock.runUntil(() => this.#isBroken, { limitMs: weather.lengthMs + QUIET_MS });
    cluster.isQuiet = true;
    this.#clear();
    await this.#run(ECHO_MS);
    cluster.isQuiet = false;
    return (await this.#comeToRest()) ?? (await this.#end());
  }

  /** The weather clears. */
  #clear(): void {
    const { cluster } = this;
    cluster.broker.faults = CALM;
    cluster.calmBlobs();
    cluster.registryFaults = { delayMsMax: 1, lostAnswer: 0, notLanded: 0 };
    cluster.exchange.faults = { delayMs: PEERS_MS };
    for (const machine of cluster.machines) {
      machine.setSide(0);
      machine.thaw();
      machine.reconnect();
      machine.start();
    }
  }

  async #comeToRest(): Promise<string | null> {
    const { cluster } = this;
    const name = this.#tale.pipeline;
    // What the weather has left must come to rest by itself; a revision would start all anew.
    if ((await this.#spec()) === null || this.#random.chance(0.1)) {
      await this.#through('last deploy', commands => commands.deploy(this.#anyBundle, { dryRun: false }));
    }
    await this.#through('last resume', commands => commands.resume(name));
    if (this.#random.chance(0.3)) {
      const moved = await this.#pauseFor(PAUSE_MS);
      if (moved !== null) return moved;
    }
    this.#tale.publishRest(cluster);
    await this.#until(() => this.#tale.isDone(cluster) && unrest(cluster, name) === null, REST_MS);
    await this.#run(QUIET_MS);
    await this.#until(() => unrest(cluster, name) === null, MOVED_MS);
    if (this.#isBroken) return this.#broken;
    return this.#tale.judge(cluster) ?? unrest(cluster, name);
  }

  /** Null, or what was sent meanwhile. */
  async #pauseFor(ms: number): Promise<string | null> {
    const { cluster } = this;
    const name = this.#tale.pipeline;
    await this.#through('last pause', commands => commands.pause(name));
    const isStopped = () => cluster.processes.every(({ worker }) => worker.running(name) === null);
    await this.#until(isStopped, STOPPED_MS);
    if (!isStopped()) return 'it is paused, and runs on';
    // What was sent before it stopped may still land.
    await this.#run(STEP_MS);
    const sent = () => this.#tale.outputs.map(stream => cluster.broker.stream(stream)?.lastSeq ?? 0).join(' ');
    const before = sent();
    this.#tale.publishRest(cluster);
    await this.#run(ms);
    if (sent() !== before) return `it is paused, and its outputs went from ${before} to ${sent()}`;
    await this.#through('last resume', commands => commands.resume(name));
    return null;
  }

  /** Sometimes it is deleted at the end, with all that it has, and deployed again. */
  async #end(): Promise<string | null> {
    const { cluster } = this;
    const tale = this.#tale;
    if (!this.#random.chance(0.4)) return null;
    const { life } = (await this.#spec())!;
    let isGone = false;
    const endMs = cluster.clock.monotonic() + STOPPED_MS;
    while (!isGone && cluster.clock.monotonic() < endMs && !this.#isBroken) {
      const outcome = await this.#through('delete', commands => commands.delete(tale.pipeline, { purge: true }));
      isGone =
        outcome !== null &&
        ('refused' in outcome ? isMillraceError(outcome.refused, 'NOT_FOUND') : outcome.answer.done);
    }
    await this.#run(QUIET_MS);
    if (this.#isBroken) return this.#broken;
    if (!isGone) return 'it was deleted, and is not gone';
    const left = await this.#leftOf(life);
    if (left.length > 0) return `after the purge there is ${left.slice(0, 3).join(', ')}`;
    if (!tale.playsAgain) return null;
    tale.beginAnew(cluster);
    await this.#through('deploy again', commands => commands.deploy(this.#anyBundle, { dryRun: false }));
    await this.#until(() => tale.isDone(cluster) && unrest(cluster, tale.pipeline) === null, REST_MS);
    await this.#run(QUIET_MS);
    await this.#until(() => unrest(cluster, tale.pipeline) === null, MOVED_MS);
    if (this.#isBroken) return this.#broken;
    if ((await this.#spec())?.life === life) return 'its second life is the first';
    return tale.judge(cluster) ?? unrest(cluster, tale.pipeline);
  }

  async #spec(): Promise<PipelineSpec | null> {
    return (await new Specs(new MemoryRegistry(this.cluster.bucket)).get(this.#tale.pipeline))?.spec ?? null;
  }

  async #leftOf(life: string): Promise<string[]> {
    const { cluster } = this;
    const left = (await cluster.blobNames()).filter(name => name.startsWith(`${this.#tale.pipeline}/${life}/`));
    for (const stream of cluster.broker.streams()) {
      const { name } = stream.settings;
      if (name.includes(life)) left.push(`stream ${name}`);
      for (let seq = 1; seq <= stream.lastSeq; seq++) {
        const subject = stream.at(seq)?.subject;
        if (subject?.startsWith('_mr.') && subject.includes(`.${life}.`)) left.push(`message ${seq} of ${subject}`);
      }
    }
    const owned = await new Owners(new MemoryRegistry(cluster.bucket)).read();
    return [...left, ...owned.filter(one => one.life === life).map(one => `owner of ${one.template}`)];
  }

  get #anyBundle(): Bundle {
    return this.#random.pick(this.cluster.bundles as Bundle[]);
  }

  get #isBroken(): boolean {
    return this.cluster.failure !== null;
  }

  get #broken(): string {
    return `failed: ${this.cluster.failure?.stack}`;
  }

  /** Somebody asks for something. */
  #wish(): void {
    const name = this.#tale.pipeline;
    const bundle = this.#anyBundle;
    const kind = this.#random.int(6);
    if (kind <= 2 && this.#random.chance(0.4)) {
      const machine = this.#random.pick(this.cluster.machines);
      machine.freeze();
      this.cluster.clock.after(this.#random.int(3_000), () => machine.thaw());
    }
    if (kind <= 2) void this.#ask('deploy', commands => commands.deploy(bundle, { dryRun: false }));
    else if (kind === 3) void this.#ask('restart', commands => commands.restart(name));
    else {
      void this.#ask('pause', commands => commands.pause(name));
      this.cluster.clock.after(this.#random.int(3_000), () => {
        void this.#ask('resume', commands => commands.resume(name));
      });
    }
  }

  async #ask<T>(what: string, question: (commands: Commands) => Promise<T>): Promise<Outcome<T>> {
    const { cluster } = this;
    try {
      const outcome = await cluster.ask(question);
      if (outcome === null) return null;
      const kind = 'refused' in outcome ? `${what}: ${outcome.refused.code}` : what;
      this.#count(kind);
      if (what === 'deploy' && kind === what && cluster.processes.some(({ clock }) => clock.frozen)) {
        this.#count('deployed while somebody was frozen');
      }
      return outcome;
    } catch (error) {
      cluster.failure ??= error as Error;
      return null;
    }
  }

  #count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  /** As `#ask`, and time passes meanwhile. */
  #through<T>(what: string, question: (commands: Commands) => Promise<T>): Promise<Outcome<T>> {
    return this.cluster.clock.runThrough(this.#ask(what, question), {
      limitMs: this.cluster.clock.monotonic() + REST_MS,
    });
  }

  async #run(ms: number): Promise<void> {
    await this.cluster.clock.run(this.cluster.clock.monotonic() + ms);
  }

  async #until(isSo: () => boolean, limitMs: number): Promise<void> {
    const endMs = this.cluster.clock.monotonic() + limitMs;
    while (!this.#isBroken && !isSo() && this.cluster.clock.monotonic() < endMs) await this.#run(STEP_MS);
  }
}

export async function play(seed: number): Promise<Verdict> {
  const random = new Random(seed);
  const tale = random.chance(0.6) ? storyTale(random.fork()) : programsTale(random.fork());
  const weather = weatherOf(random, tale.lengthMs + 2_000);
  const streams: StreamSettings[] = tale.inputs.map(name => ({ name: name.replace('.', '_'), subjects: [name] }));
  const plans = await Promise.all(tale.revisions.map(author => planOn(author, streams)));
  const limits = {
    batchRecordsMax: 1 + random.int(40),
    batchBytesMax: 4_096,
    checkpointBytes: random.chance(0.7) ? 500 + random.int(4_000) : 1 << 30,
    checkpointSliceEntries: 1 + random.int(10),
    stateBytesMax: random.chance(0.5) ? 2_000 + random.int(10_000) : 1 << 30,
    relayBytesMax: 1_000 + random.int(20_000),
    commitBytesMax: random.chance(0.5) ? 200 + random.int(1_500) : 4 << 20,
  };
  const cluster = new WorkerCluster({
    seed,
    plans,
    limits,
    messageBytesMax: 5_000 + random.int(4_000),
    standbys: random.int(3),
  });
  for (const settings of streams) cluster.broker.create(settings);
  cluster.broker.faults = faultsOf(random);
  const storm = random.next() * 0.1;
  cluster.registryFaults = {
    delayMsMax: 1 + random.int(40),
    lostAnswer: storm * random.next(),
    notLanded: storm * random.next(),
  };
  cluster.exchange.faults = {
    delayMs: PEERS_MS,
    lost: random.chance(0.5) ? random.next() * 0.3 : 0,
    late: random.chance(0.5) ? random.next() * 0.3 : 0,
    lateMs: random.chance(0.3) ? 1_000 : 200,
  };
  const history = new History({ cluster, tale, random, weather });
  const wrong = await history.play();
  return { seed, wrong, cluster, weather, done: history.done };
}
