/**
 * The engine's thread as the simulator has it: a real engine behind the real seam, in a process of its own that lives on its
 * host's clock. It can be lost alone, as when a function of an author never returns, and then another begins
 * (`lib/host/engine-thread.ts` is what does so with real threads).
 */
import { MillraceError } from '../../lib/base/errors.ts';
import type { Random } from '../../lib/base/random.ts';
import type { PlanBundle } from '../../lib/bundle/compile.ts';
import { ProcessClock } from '../../lib/memory/clock.ts';
import type { MemoryLog } from '../../lib/memory/log.ts';
import type { MemoryStores } from '../../lib/memory/store.ts';
import type { Observer } from '../../lib/observe/events.ts';
import { noMeter } from '../../lib/observe/meter.ts';
import { CallWatch } from '../../lib/operator/call-watch.ts';
import type { Engine, RunningPipeline } from '../../lib/seam/engine.ts';
import { EngineEnd } from '../../lib/seam/engine-end.ts';
import { HostEnd } from '../../lib/seam/host-end.ts';
import type { StartOrder, ToEngine, ToHost } from '../../lib/seam/messages.ts';
import type { TaskLimits } from '../../lib/task/surroundings.ts';
import { Mailbox } from './process.ts';
import type { World } from './world.ts';

export interface SimEngineOptions {
  readonly world: World;
  /** Its host's. */
  readonly clock: ProcessClock;
  readonly stores: MemoryStores;
  readonly plan: PlanBundle;
  readonly limits: Partial<TaskLimits>;
  readonly observer: Observer;
  readonly random: Random;
  isCutOff(): boolean;
}

/** Between two threads. */
const PASS_MS = 2;
const BEGIN_MS = 300;

export class SimEngine implements Engine {
  readonly stall = null;
  readonly #options: SimEngineOptions;
  #trouble: string | null = 'the engine is starting';
  #changed: () => void = () => {};
  #life: { readonly end: HostEnd; readonly clock: ProcessClock; readonly log: MemoryLog } | null = null;

  constructor(options: SimEngineOptions) {
    this.#options = options;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  /** The connection of the one that lives; null: none does. */
  get log(): MemoryLog | null {
    return this.#life?.log ?? null;
  }

  onTrouble(changed: () => void): void {
    this.#changed = changed;
  }

  start(order: Omit<StartOrder, 'kind' | 'run'>): Promise<RunningPipeline> {
    if (this.#life !== null && this.#trouble === null) return this.#life.end.start(order);
    return Promise.reject(new MillraceError('ENGINE_LOST', this.#trouble ?? 'the engine has ended'));
  }

  async discard(location: string): Promise<void> {
    if (this.#life === null || this.#trouble !== null) {
      throw new MillraceError('WORKER_UNAVAILABLE', `${this.#trouble}; its local stores cannot be removed now`);
    }
    await this.#life.end.discard(location);
  }

  open(): void {
    const { world, stores, plan, limits, observer, random } = this.#options;
    const host = this.#options.clock;
    const clock = new ProcessClock(host);
    const log = world.client({ clock });
    if (this.#options.isCutOff()) log.cutOff();
    const toHost = new Mailbox({ clock: host, random, delayMsMax: PASS_MS });
    const toEngine = new Mailbox({ clock, random, delayMsMax: PASS_MS });
    const engine = new EngineEnd({
      port: {
        postMessage: (posted: ToHost) => {
          const message = structuredClone(posted);
          toHost.post(() => end.hear(message));
        },
      },
      around: { log, blobs: world.blobsOf(clock), stores, clock, random: random.fork() },
      plan,
      limits,
      callWatch: new CallWatch(),
    });
    const end = new HostEnd({
      port: {
        postMessage: (posted: ToEngine) => {
          const message = structuredClone(posted);
          toEngine.post(() => engine.hear(message));
        },
      },
      observer,
      meter: () => noMeter,
    });
    const life = { end, clock, log };
    this.#life = life;
    host.after(random.int(BEGIN_MS), () => {
      if (this.#life === life) this.#setTrouble(null);
    });
  }

  /** Its thread is ended, and another begins. */
  lose(why: string): void {
    const life = this.#life;
    if (life === null) return;
    this.#life = null;
    life.clock.kill();
    this.#options.stores.crash();
    this.#setTrouble(why);
    life.end.lose(why);
    this.open();
  }

  #setTrouble(trouble: string | null): void {
    this.#trouble = trouble;
    this.#changed();
  }
}
