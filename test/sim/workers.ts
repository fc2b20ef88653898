/**
 * A cluster of whole workers in one process and on virtual time: each a process with its lease, presence, specs, API and host,
 * and an engine in a thread of its own behind the real seam. Processes crash, freeze, are cut off, are told to stop, come back
 * with their disk or without; engines are lost alone. One seed is one history.
 *
 * Bundles are loaded by nobody: the bytes of one name a plan that was made before.
 */
import { sleep } from '../../lib/base/clock.ts';
import { isMillraceError, type MillraceError } from '../../lib/base/errors.ts';
import type { Random } from '../../lib/base/random.ts';
import { type Bundle, hashOf } from '../../lib/bundle/bundle.ts';
import { judgedOf } from '../../lib/bundle/compile.ts';
import { resultsFinder } from '../../lib/cluster/results.ts';
import { pipelineClearer } from '../../lib/host/clear.ts';
import { Worker } from '../../lib/host/worker.ts';
import { ProcessClock } from '../../lib/memory/clock.ts';
import type { MemoryLog } from '../../lib/memory/log.ts';
import { type MemoryPeers, PeerExchange } from '../../lib/memory/peers.ts';
import { MemoryBucket } from '../../lib/memory/registry.ts';
import type { MemoryStores } from '../../lib/memory/store.ts';
import type { Event } from '../../lib/observe/events.ts';
import { Commands } from '../../lib/service/commands.ts';
import { pipelineFinder } from '../../lib/service/remembered.ts';
import type { TaskLimits } from '../../lib/task/surroundings.ts';
import { shapeOf, taskOf, taskPart } from '../../lib/topology/parts.ts';
import type { Plan } from '../../lib/topology/plan.ts';
import { incompatibilities } from '../../lib/topology/summary.ts';
import { ProcessRegistry, type RegistryFaults } from './process.ts';
import { SimEngine } from './thread.ts';
import { World } from './world.ts';

const LEASE_MS = 1_500;
/** The deadline of a stop for the next revision, and of one for good. */
const STOP_MS = 3_000;
/** Whoever was told to stop, and has not by then, is killed. */
const KILL_MS = 5_000;
const PLANNING_MS = 80;
/** A worker that could not start is started again. */
const AGAIN_MS = 2_000;
/** A person waits so long for an answer, and asks somebody else. */
const PATIENCE_MS = 3_000;
const AGAIN_SOON_MS = 200;

/** What an answer came to. */
export type Outcome<T> = { readonly answer: T } | { readonly refused: MillraceError } | null;

export class WorkerCluster extends World {
  readonly bucket: MemoryBucket;
  readonly exchange: PeerExchange;
  readonly bundles: readonly Bundle[];
  readonly limits: Partial<TaskLimits>;
  readonly machines: Machine[] = [];
  registryFaults: RegistryFaults = { delayMsMax: 1, lostAnswer: 0, notLanded: 0 };
  /** Nobody asks for anything any more. */
  isQuiet = false;
  /** What the histories contained. */
  readonly seen = { takeovers: 0, bothActive: 0, engines: 0, silent: 0, displaced: 0 };
  readonly #plans: ReadonlyMap<string, Plan>;
  #instances = 0;
  #names = 0;

  constructor(options: { seed: number; plans: readonly Plan[]; limits: Partial<TaskLimits>; messageBytesMax: number }) {
    super(options);
    this.bucket = new MemoryBucket(this.clock);
    this.exchange = new PeerExchange({ clock: this.clock, random: this.random.fork(), faults: { delayMs: [0.1, 3] } });
    this.limits = options.limits;
    this.bundles = options.plans.map((_, i) => {
      const code = Buffer.from(`plan ${i}`);
      return { code, hash: hashOf(code), file: `plan-${i}.ts` };
    });
    this.#plans = new Map(options.plans.map((plan, i) => [this.bundles[i]!.hash, plan]));
  }

  planOf({ hash }: Bundle): Plan {
    return this.#plans.get(hash)!;
  }

  newName(): string {
    return `w${++this.#names}`;
  }

  newInstance(): string {
    return `i${++this.#instances}`;
  }

  fork(): Random {
    return this.random.fork();
  }

  addMachine(): Machine {
    const machine = new Machine(this, { stores: this.newDisk(), name: this.newName(), formers: [] });
    this.machines.push(machine);
    return machine;
  }

  /** Another machine that has a copy of the folder of one, but for its state: two processes may go by one name. */
  copy(machine: Machine): void {
    const twin = machine.copied(this.newDisk());
    this.machines.push(twin);
    twin.start();
  }

  get processes(): readonly Process[] {
    return this.machines.flatMap(({ process }) => process ?? []);
  }

  told(event: Event, by: string): void {
    this.events.push({ ...event, by });
    if (event.event === 'lease.taken') {
      if (Number(event.term) > 1) this.seen.takeovers++;
      if (this.processes.filter(({ worker }) => worker.active).length > 1) this.seen.bothActive++;
    }
    // There may be nothing left here of a revision that is over; what a retry mends is none.
    if (event.event !== 'pipeline.failed' || event.level !== 'error' || event.code === 'REVISION_OUTDATED') return;
    this.failure ??= new Error(`${by}: ${event.code}: ${event.message}`);
  }

  /**
   * Asks any worker that is there, and again until one has answered: what an answer that was lost has done is done. Null:
   * nobody asks any more.
   */
  async ask<T>(question: (commands: Commands) => Promise<T>): Promise<Outcome<T>> {
    while (!this.isQuiet) {
      const { processes } = this;
      const asked = processes.length === 0 ? null : this.random.pick(processes);
      if (asked !== null) {
        const outcome = await this.#once(() => asked.whenAwake(() => question(asked.commands)));
        if (outcome !== null) return outcome;
      }
      await sleep(this.clock, this.random.int(AGAIN_SOON_MS));
    }
    return null;
  }

  async #once<T>(question: () => Promise<T>): Promise<Outcome<T>> {
    try {
      const silence = sleep(this.clock, PATIENCE_MS).then(() => null);
      const outcome = await Promise.race([question().then(answer => ({ answer })), silence]);
      if (outcome === null) this.seen.silent++;
      return outcome;
    } catch (error) {
      if (isMillraceError(error) && error.fate === 'retry') return null;
      if (isMillraceError(error) && error.fate === 'reject') return { refused: error };
      throw error;
    }
  }

  /** All is as wanted: null, or what is not. */
  unrest(pipeline: string): string | null {
    const active = this.processes.filter(({ worker }) => worker.active);
    if (active.length !== 1) return `${active.length} workers are active`;
    const [one] = active;
    const desired = one!.worker.specs.find(({ name }) => name === pipeline);
    const { state, reason, tasks } = one!.worker.status(pipeline, desired?.revision);
    if (state !== 'running') return `${one!.name} leads, and the pipeline is ${state}: ${reason}`;
    const parts = shapeOf(desired?.summary).parts.filter(part => taskOf(part) !== null);
    const run = tasks.filter(task => task.state === 'running').map(taskPart);
    const missing = parts.filter(part => !run.includes(part));
    if (missing.length > 0) return `nobody runs ${missing.join(' ')}`;
    return run.length === parts.length ? null : `${run.join(' ')} run: some of them twice`;
  }
}

/** One process of a worker. */
export class Process {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly worker: Worker;
  readonly commands: Commands;
  readonly engine: SimEngine;
  readonly #log: MemoryLog;
  readonly #registry: ProcessRegistry;
  readonly #peers: MemoryPeers;

  constructor(
    cluster: WorkerCluster,
    options: { name: string; formers: readonly string[]; instance: string; stores: MemoryStores; machine: Machine },
  ) {
    const { name, formers, instance, stores, machine } = options;
    this.name = name;
    const clock = new ProcessClock(cluster.clock);
    this.clock = clock;
    const random = cluster.fork();
    const observer = { emit: (event: Event) => cluster.told(event, `${name}/${instance}`) };
    const log = cluster.client({ clock });
    const blobs = cluster.blobsOf(clock);
    const registry = new ProcessRegistry({
      ...{ bucket: cluster.bucket, world: cluster.clock, clock, random: random.fork() },
      faults: () => cluster.registryFaults,
    });
    const engine = new SimEngine({
      ...{ world: cluster, clock, stores, observer, random: random.fork() },
      plan: async bundle => cluster.planOf(bundle),
      limits: cluster.limits,
      isCutOff: () => machine.isCutOff,
    });
    this.#log = log;
    this.#registry = registry;
    this.#peers = cluster.exchange.client(name, { clock });
    this.engine = engine;
    this.worker = new Worker({
      ...{ me: { name, instance, formers }, address: null, registry, peers: this.#peers, clock, observer, engine },
      clear: pipelineClearer({ log, blobs, stores }),
      ...{ leaseMs: LEASE_MS, stopMs: STOP_MS },
    });
    const judge = {
      async plan(bundle: Bundle) {
        await sleep(clock, random.int(PLANNING_MS));
        return judgedOf(cluster.planOf(bundle));
      },
      incompatibilities,
      remembered: pipelineFinder(log, blobs),
      results: resultsFinder(log),
    };
    const connected = () => !machine.isCutOff;
    this.commands = new Commands({ registry, blobs, log, judge, clock, worker: this.worker, connected });
    if (machine.isDeaf) this.deafen();
    if (machine.isCutOff) this.cutOff();
    void this.worker.fatal.then(error => machine.failed(this, error));
  }

  /** Throws as `Worker.start`. */
  async start(): Promise<void> {
    await this.worker.start();
    this.engine.open();
  }

  /** What a process is sent while it is frozen it hears of later. */
  whenAwake<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.clock.soon(() => void work().then(resolve, reject));
    });
  }

  /** It hears nothing of the registry, and all else goes on. */
  deafen(): void {
    this.#registry.connected = false;
  }

  cutOff(): void {
    this.deafen();
    this.#peers.line = 'cut';
    this.#log.cutOff();
    this.engine.log?.cutOff();
  }

  reconnect(): void {
    this.#registry.connected = true;
    this.#peers.line = 'up';
    this.#log.reconnect();
    this.engine.log?.reconnect();
  }
}

/** What outlives a process: its disk, with the name and the instances that it has had, and its network. */
export class Machine {
  isCutOff = false;
  isDeaf = false;
  process: Process | null = null;
  readonly #cluster: WorkerCluster;
  readonly #stores: MemoryStores;
  #name: string;
  #formers: string[];
  /** There is, or was, another machine with the same name. */
  #isCopy = false;

  constructor(cluster: WorkerCluster, options: { stores: MemoryStores; name: string; formers: readonly string[] }) {
    this.#cluster = cluster;
    this.#stores = options.stores;
    this.#name = options.name;
    this.#formers = [...options.formers];
  }

  copied(stores: MemoryStores): Machine {
    const twin = new Machine(this.#cluster, { stores, name: this.#name, formers: this.#formers });
    twin.#isCopy = true;
    this.#isCopy = true;
    return twin;
  }

  start(): void {
    if (this.process !== null) return;
    const cluster = this.#cluster;
    const instance = cluster.newInstance();
    const [name, formers, stores] = [this.#name, [...this.#formers], this.#stores];
    this.#formers.push(instance);
    const process = new Process(cluster, { name, formers, instance, stores, machine: this });
    this.process = process;
    process.start().catch(error => {
      if (this.process !== process) return;
      this.crash({ losesDisk: false });
      if (isMillraceError(error, 'STORE_IN_USE') && this.#isCopy) this.#rename();
      else if (!isMillraceError(error, 'BROKER_UNAVAILABLE')) cluster.failure ??= error;
      cluster.clock.after(AGAIN_MS, () => this.start());
    });
  }

  /** A process of it cannot go on. */
  failed(process: Process, error: MillraceError): void {
    const cluster = this.#cluster;
    if (!isMillraceError(error, 'STORE_IN_USE') || !this.#isCopy) cluster.failure ??= error;
    if (this.process !== process) return;
    this.stop();
    this.#rename();
    cluster.clock.after(KILL_MS + AGAIN_MS, () => this.start());
  }

  /** What the error asks for: the name goes out of the folder. */
  #rename(): void {
    this.#cluster.seen.displaced++;
    this.#beginAnew();
  }

  #beginAnew(): void {
    this.#name = this.#cluster.newName();
    this.#formers = [];
    this.#isCopy = false;
  }

  crash({ losesDisk }: { losesDisk: boolean }): void {
    this.process?.clock.kill();
    this.process = null;
    if (!losesDisk) return this.#stores.crash();
    this.#stores.loseEverything();
    this.#beginAnew();
  }

  /** It is told to end, and is killed when it does not. */
  stop(): void {
    const { process } = this;
    if (process === null) return;
    const end = () => {
      if (this.process === process) this.crash({ losesDisk: false });
    };
    void process.whenAwake(() => process.worker.stop({ deadlineMs: STOP_MS })).then(end);
    this.#cluster.clock.after(KILL_MS, end);
  }

  /** The thread of its engine ends. */
  loseEngine(): void {
    const { process } = this;
    if (process === null || process.clock.frozen || process.engine.trouble !== null) return;
    this.#cluster.seen.engines++;
    process.engine.lose('a function did not return');
  }

  freeze(): void {
    this.process?.clock.freeze();
  }

  thaw(): void {
    this.process?.clock.thaw();
  }

  /** Whatever process it runs. */
  cutOff(): void {
    this.isCutOff = true;
    this.process?.cutOff();
  }

  /** The registry is out of its reach, the rest of the broker is not. */
  deafen(): void {
    this.isDeaf = true;
    this.process?.deafen();
  }

  reconnect(): void {
    this.isCutOff = false;
    this.isDeaf = false;
    this.process?.reconnect();
  }
}
