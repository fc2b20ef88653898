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
import { PeerExchange } from '../../lib/memory/peers.ts';
import { MemoryBucket } from '../../lib/memory/registry.ts';
import type { Event } from '../../lib/observe/events.ts';
import type { Commands } from '../../lib/service/commands.ts';
import type { TaskLimits } from '../../lib/task/surroundings.ts';
import type { Plan } from '../../lib/topology/plan.ts';
import { Machine, type Process } from './machines.ts';
import type { RegistryFaults } from './process.ts';
import { World } from './world.ts';

/** A person waits so long for an answer, and asks somebody else. */
const PATIENCE_MS = 3_000;
const AGAIN_SOON_MS = 200;
/** What was handed over so shortly before is on its way. */
const MOVING_MS = 500;
const ZONES = ['', '', 'east', 'west'];
const CAPACITIES = [0.5, 1, 1, 1, 2];

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
  /** How many workers follow each task. */
  readonly standbys: number;
  /** What the histories contained. */
  readonly seen = {
    ...{ takeovers: 0, bothActive: 0, engines: 0, silent: 0, displaced: 0 },
    ...{ joined: 0, retired: 0, cordons: 0, leadersLostInMoves: 0, warmTakeovers: 0 },
  };
  readonly #plans: ReadonlyMap<string, Plan>;
  #instances = 0;
  #names = 0;
  #movedMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    seed: number;
    plans: readonly Plan[];
    limits: Partial<TaskLimits>;
    messageBytesMax: number;
    standbys: number;
  }) {
    super(options);
    this.standbys = options.standbys;
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
    const place = { zone: this.random.pick(ZONES), capacity: this.random.pick(CAPACITIES) };
    const machine = new Machine(this, { stores: this.newDisk(), name: this.newName(), formers: [], place });
    this.machines.push(machine);
    return machine;
  }

  /** So that somebody is left. */
  get mayRetire(): boolean {
    return this.machines.filter(({ isRetired }) => !isRetired).length > 1;
  }

  /** Parts were on their way when this one ended. */
  ended({ worker }: Process): void {
    if (worker.active && this.clock.monotonic() - this.#movedMs < MOVING_MS) this.seen.leadersLostInMoves++;
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
    if (event.event === 'part.moved') this.#movedMs = this.clock.monotonic();
    if (event.event === 'task.restored' && event.warm === true) this.seen.warmTakeovers++;
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
}
