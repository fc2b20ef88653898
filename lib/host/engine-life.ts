/**
 * One life of an engine's thread: starts it, looks at what it does a few times a second, and says how it ended.
 *
 * It counts looks, not time: a process that is stopped and continued, or a machine that sleeps, has missed none.
 */
import { Worker as Thread } from 'node:worker_threads';
import { spanText } from '../base/duration.ts';
import type { Observer } from '../observe/events.ts';
import type { Meter } from '../observe/meter.ts';
import { CALL_WATCH_BYTES, readCallWatch, type Site, type Suspect } from '../operator/call-watch.ts';
import { heardError } from '../seam/errors.ts';
import { HostEnd } from '../seam/host-end.ts';
import type { ToEngine, ToHost } from '../seam/messages.ts';
import { whatStuck } from './stuck-text.ts';

const LOOK_MS = 250;
/** A function that has not returned for so many looks is named in the status, and is slow. */
const STALL_LOOKS = 4;
/** How often what is no user code may seem stuck longer than user code: a disk or a debugger is slow, not endless. */
const PATIENCE = 6;
/**
 * A batch's objects must be dead when the collector first comes by, or they are copied, and copied again into the old
 * generation, where only a full collection frees them. What V8 takes on a large machine, on every machine: twice as much
 * is hardly faster, and all of it stays in memory from the first catch-up on, with what died outside the heap meanwhile.
 */
const YOUNG_MB = 48;
/** What a thread is given. */
export interface EngineThreadData<T> {
  readonly options: T;
  readonly memory: SharedArrayBuffer;
  readonly suspects: readonly Suspect[];
}

export interface EngineLifeOptions {
  /** The program of the thread, a file. */
  readonly launcher: string;
  /** For the thread, as structured clones. */
  readonly options: unknown;
  /** All that it is given of the environment: it runs the code of pipelines' authors. */
  readonly env: Readonly<Record<string, string>>;
  /** How large its old generation may grow, MiB; null: as the process is told. */
  readonly memoryMb: number | null;
  /** How long a user function may take, ms. */
  readonly stuckMs: number;
  readonly suspects: readonly Suspect[];
  readonly observer: Observer;
  meter(pipeline: string): Meter;
  /** It is connected and takes orders. */
  ready(): void;
  /** A call of the site has not returned for a second, and goes on. True: for others' sake the thread is to end. */
  isTooSlow(site: Site): boolean;
}

export type Ending =
  /** `after`: whose function ran last before it, where no function is the suspect. */
  | { readonly kind: 'stuck'; readonly suspect: Suspect | null; readonly after: Site | null }
  /** Ended for others' sake: functions of `site` hold it up again and again. */
  | { readonly kind: 'slow'; readonly site: Site }
  /** `ran`: whose function ran then, or last before it; null: not known, or it ended itself for a reason of ours. */
  | { readonly kind: 'crashed'; readonly error: Error; readonly ran: Site | null };

export class EngineLife {
  readonly ended: Promise<Ending>;
  readonly end: HostEnd;
  /** How long it was at work, as of the last look. */
  busyMs = 0;
  readonly #thread: Thread;
  readonly #memory = new SharedArrayBuffer(CALL_WATCH_BYTES);
  readonly #sites = new Map<number, Site>();
  readonly #stuckMs: number;
  readonly #ready: () => void;
  readonly #looks: NodeJS.Timeout;
  readonly #isTooSlow: (site: Site) => boolean;
  #error: Error | null = null;
  /** The thread has said itself why it ends. */
  #isFault = false;
  /** Whose function was seen last. */
  #seen: Site | null = null;
  #suspect: Suspect | null = null;
  #after: Site | null = null;
  #decided: 'stuck' | 'slow' | null = null;
  #turns = -1;
  #silent = 0;

  constructor(options: EngineLifeOptions) {
    const { launcher, env, memoryMb, observer, stuckMs, suspects } = options;
    this.#stuckMs = stuckMs;
    this.#ready = () => options.ready();
    this.#isTooSlow = site => options.isTooSlow(site);
    const workerData: EngineThreadData<unknown> = { options: options.options, memory: this.#memory, suspects };
    const old = memoryMb === null ? {} : { maxOldGenerationSizeMb: memoryMb };
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MB, ...old };
    const thread = new Thread(launcher, { workerData, env, resourceLimits });
    this.#thread = thread;
    const port = { postMessage: (message: ToEngine) => thread.postMessage(message) };
    this.end = new HostEnd({ port, observer, meter: pipeline => options.meter(pipeline) });
    thread.on('message', (message: ToHost) => this.#hear(message));
    thread.on('error', error => {
      this.#error = error;
    });
    this.#looks = setInterval(() => this.#look(), LOOK_MS);
    this.ended = new Promise(resolve => {
      thread.once('exit', code => {
        clearInterval(this.#looks);
        resolve(this.#ending(code));
      });
    });
  }

  #ending(code: number): Ending {
    if (this.#decided === 'stuck') return { kind: 'stuck', suspect: this.#suspect, after: this.#after };
    if (this.#decided === 'slow') return { kind: 'slow', site: this.#seen! };
    const error = this.#error ?? new Error(`its thread ended with code ${code}`);
    // What it wrote there last is there still.
    const { lastSite } = readCallWatch(this.#memory);
    return { kind: 'crashed', error, ran: this.#isFault ? null : (this.#sites.get(lastSite) ?? this.#seen) };
  }

  async close(deadlineMs: number): Promise<void> {
    clearInterval(this.#looks);
    this.#thread.postMessage({ kind: 'close' } satisfies ToEngine);
    const cut = setTimeout(() => void this.#thread.terminate(), deadlineMs);
    await this.ended;
    clearTimeout(cut);
  }

  #hear(message: ToHost): void {
    if (message.kind === 'site') this.#sites.set(message.number, message.site);
    else if (message.kind === 'ready') this.#ready();
    else if (message.kind === 'fault') {
      this.#error = heardError(message.error);
      this.#isFault = true;
    } else this.end.hear(message);
  }

  #look(): void {
    this.busyMs = this.#thread.performance.eventLoopUtilization().active;
    const { site, lastSite, origin, turns } = readCallWatch(this.#memory);
    this.#silent = turns === this.#turns ? this.#silent + 1 : 0;
    this.#turns = turns;
    const named = this.#sites.get(site);
    const suspect = named === undefined ? null : { ...named, origin };
    const after = this.#sites.get(lastSite) ?? null;
    this.#seen = after ?? this.#seen;
    const silentMs = this.#silent * LOOK_MS;
    this.end.silentMs = silentMs;
    this.end.stall =
      this.#silent < STALL_LOOKS ? null : `${whatStuck(suspect, after)} has not returned for ${spanText(silentMs)}`;
    const looks = (named === undefined ? PATIENCE : 1) * Math.ceil(this.#stuckMs / LOOK_MS);
    if (this.#silent >= looks) {
      this.#suspect = suspect;
      this.#after = after;
      this.#end('stuck');
    } else if (named !== undefined && this.#silent === STALL_LOOKS && this.#isTooSlow(named)) {
      this.#end('slow');
    }
  }

  #end(why: 'stuck' | 'slow'): void {
    clearInterval(this.#looks);
    this.#decided = why;
    void this.#thread.terminate();
  }
}
