/**
 * The engine's thread as the simulator has it: a real engine behind the real seam, in a process of its own that lives on its
 * host's clock. It can be lost alone, as when a function of an author never returns, and then another begins
 * (`lib/host/engine-thread.ts` is what does so with real threads).
 */
import type { Random } from '../../lib/base/random.ts';
import type { PlanBundle } from '../../lib/bundle/compile.ts';
import { ProcessClock } from '../../lib/memory/clock.ts';
import type { MemoryLog } from '../../lib/memory/log.ts';
import type { MemoryStores } from '../../lib/memory/store.ts';
import type { Observer } from '../../lib/observe/events.ts';
import { noMeter } from '../../lib/observe/meter.ts';
import { CallWatch } from '../../lib/operator/call-watch.ts';
import { EngineEnd } from '../../lib/seam/engine-end.ts';
import { HostEnd } from '../../lib/seam/host-end.ts';
import { EngineLives } from '../../lib/seam/lives.ts';
import type { ToEngine, ToHost } from '../../lib/seam/messages.ts';
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

export class SimEngine extends EngineLives {
  readonly #options: SimEngineOptions;
  #life: { readonly clock: ProcessClock; readonly log: MemoryLog } | null = null;

  constructor(options: SimEngineOptions) {
    super();
    this.#options = options;
  }

  /** The connection of the one that lives; null: none does. */
  get log(): MemoryLog | null {
    return this.#life?.log ?? null;
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
    const life = { clock, log };
    this.#life = life;
    this.began(end);
    host.after(random.int(BEGIN_MS), () => {
      if (this.#life === life) this.ready();
    });
  }

  /** Its thread is ended, and another begins. */
  lose(why: string): void {
    const life = this.#life;
    if (life === null) return;
    this.#life = null;
    life.clock.kill();
    this.#options.stores.crash();
    this.lost(why);
    this.open();
  }
}
