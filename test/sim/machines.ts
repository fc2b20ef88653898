/**
 * The machines of a cluster of whole workers: what a process has around it, and what outlives it. What is done to them is
 * `workers-weather.ts`'s.
 */
import { sleep } from '../../lib/base/clock.ts';
import { isMillraceError, type MillraceError } from '../../lib/base/errors.ts';
import type { Bundle } from '../../lib/bundle/bundle.ts';
import { judgedOf } from '../../lib/bundle/compile.ts';
import { resultsFinder } from '../../lib/cluster/results.ts';
import { pipelineClearer } from '../../lib/host/clear.ts';
import { Worker } from '../../lib/host/worker.ts';
import { ProcessClock } from '../../lib/memory/clock.ts';
import type { MemoryLog } from '../../lib/memory/log.ts';
import type { MemoryPeers } from '../../lib/memory/peers.ts';
import type { MemoryStores } from '../../lib/memory/store.ts';
import type { Event } from '../../lib/observe/events.ts';
import { Commands } from '../../lib/service/commands.ts';
import { pipelineFinder } from '../../lib/service/remembered.ts';
import { incompatibilities } from '../../lib/topology/summary.ts';
import { ProcessRegistry } from './process.ts';
import { SimEngine } from './thread.ts';
import type { WorkerCluster } from './workers.ts';

const LEASE_MS = 1_500;
/** The deadline of a stop for the next revision, and of one for good. */
const STOP_MS = 3_000;
/** Whoever was told to stop, and has not by then, is killed. */
const KILL_MS = 5_000;
const PLANNING_MS = 80;
/** A worker that could not start is started again. */
const AGAIN_MS = 2_000;

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
      ...{ leaseMs: LEASE_MS, stopMs: STOP_MS, standbys: cluster.standbys, ...machine.place },
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
    if (machine.isUnheard) this.#peers.line = 'cut';
    this.#peers.side = machine.side;
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

  /** It hears no other worker, and none hears it; all else goes on. */
  unhear(): void {
    this.#peers.line = 'cut';
  }

  /** It hears those on the same side alone. */
  setSide(side: number): void {
    this.#peers.side = side;
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
  isUnheard = false;
  /** It never starts again. */
  isRetired = false;
  side = 0;
  readonly place: { readonly zone: string; readonly capacity: number };
  process: Process | null = null;
  readonly #cluster: WorkerCluster;
  readonly #stores: MemoryStores;
  #name: string;
  #formers: string[];
  /** There is, or was, another machine with the same name. */
  #isCopy = false;

  constructor(
    cluster: WorkerCluster,
    options: { stores: MemoryStores; name: string; formers: readonly string[]; place: Machine['place'] },
  ) {
    this.#cluster = cluster;
    this.place = options.place;
    this.#stores = options.stores;
    this.#name = options.name;
    this.#formers = [...options.formers];
  }

  copied(stores: MemoryStores): Machine {
    const twin = new Machine(this.#cluster, { stores, name: this.#name, formers: this.#formers, place: this.place });
    twin.#isCopy = true;
    this.#isCopy = true;
    return twin;
  }

  start(): void {
    if (this.process !== null || this.isRetired) return;
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
    if (this.process !== null) this.#cluster.ended(this.process);
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

  /** It is told to end, for good. */
  retire(): void {
    this.#cluster.seen.retired++;
    this.isRetired = true;
    this.stop();
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

  /** The other workers are out of its reach, the broker is not. */
  unhear(): void {
    this.isUnheard = true;
    this.process?.unhear();
  }

  setSide(side: number): void {
    this.side = side;
    this.process?.setSide(side);
  }

  reconnect(): void {
    this.isCutOff = false;
    this.isDeaf = false;
    this.isUnheard = false;
    this.process?.reconnect();
  }
}
