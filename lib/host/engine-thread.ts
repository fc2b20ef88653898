/**
 * The engine's thread: it runs the author's code, and is watched from here. User code that never returns stops its thread for
 * good, and nothing inside can help; so it is seen which function is running and on which record
 * (`operator/call-watch.ts`), the thread is ended, and another begins with that call as a suspect: the record becomes a
 * dead letter and the rest goes on. A thread that crashes or runs out of memory is followed by another, too, after a
 * pause that grows. What ran in it is lost here and safe in its journals; whoever wanted it starts it again.
 *
 * It counts looks, not time: a process that is stopped and continued, or a machine that sleeps, has missed none.
 */
import { setFlagsFromString } from 'node:v8';
import { Worker as Thread } from 'node:worker_threads';
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { spanText } from '../base/duration.ts';
import { isMillraceError, type MillraceError } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Meter } from '../observe/meter.ts';
import { CALL_WATCH_BYTES, LOADING, readCallWatch, type Site, type Suspect } from '../operator/call-watch.ts';
import { NO_ORIGIN, seqOfOrigin } from '../record/origin.ts';
import { heardError } from '../seam/errors.ts';
import { HostEnd } from '../seam/host-end.ts';
import { EngineLives } from '../seam/lives.ts';
import type { ToEngine, ToHost } from '../seam/messages.ts';

const LOOK_MS = 250;
/** A function that has not returned for so many looks is named in the status. */
const STALL_LOOKS = 4;
/** How often what is no user code may seem stuck longer than user code: a disk or a debugger is slow, not endless. */
const PATIENCE = 6;
/** Before a thread follows one that crashed. */
const PAUSE_MS_BASE = 500;
const PAUSE_MS_MAX = 30_000;
/** A thread that ran for so long has recovered; its next crash is a first one. */
const STABLE_MS = 60_000;
/**
 * A batch's objects must be dead when the collector first comes by, or they are copied, and copied again into the old
 * generation, where only a full collection frees them. What V8 takes on a large machine, on every machine: twice as much
 * is hardly faster, and all of it stays in memory from the first catch-up on, with what died outside the heap meanwhile.
 */
const YOUNG_MB = 48;
/**
 * V8 puts what is made at places whose objects have lived long into the old generation from the start. A catch-up teaches
 * it so of everything that a commit is made of; in the small commits of live events all of that is dead in a moment, and
 * keeps alive what it refers to: five times as much grows old, and full collections come twice a second.
 */
const NO_PRETENURING = '--no-allocation-site-pretenuring';
/**
 * How far the heap may grow, in per cent of what lives in it, until the next full collection: twice as large, as in Go.
 * V8 by itself is at it after a tenth more, since that is one per cent of the time; but in that hundredth all that comes
 * is late.
 */
const HEAP_GROWTH = '--heap-growing-percent=100';

/** What a thread is given. */
export interface EngineThreadData<T> {
  readonly options: T;
  readonly memory: SharedArrayBuffer;
  readonly suspects: readonly Suspect[];
}

export interface EngineThreadOptions<T> {
  /** The program of the thread, a file. */
  readonly launcher: string;
  /** For the thread, as structured clones. */
  readonly options: T;
  /** All that it is given of the environment: it runs the code of pipelines' authors. */
  readonly env: Readonly<Record<string, string>>;
  /** How long a user function may take, ms. */
  readonly stuckMs: number;
  readonly clock: Clock;
  readonly observer: Observer;
  /** What a pipeline of that name counts with. */
  meter(pipeline: string): Meter;
}

export class EngineThread<T> extends EngineLives {
  /** Resolves when an invariant broke in it: the process should end. */
  readonly fatal: Promise<MillraceError>;
  readonly #options: EngineThreadOptions<T>;
  readonly #suspects: Suspect[] = [];
  #fail!: (error: MillraceError) => void;
  #life: Life | null = null;
  #cancelPause: (() => void) | null = null;
  #crashes = 0;
  #closed = false;
  /** What lives that are over were busy for, ms. */
  #pastBusyMs = 0;

  constructor(options: EngineThreadOptions<T>) {
    super();
    this.#options = options;
    this.fatal = new Promise(resolve => {
      this.#fail = resolve;
    });
  }

  open(): void {
    setFlagsFromString(NO_PRETENURING);
    setFlagsFromString(HEAP_GROWTH);
    this.#begin();
  }

  /** How long its thread was at work since the process began, ms. */
  get busyMs(): number {
    return this.#pastBusyMs + (this.#life?.busyMs ?? 0);
  }

  /** Nothing must run any more. What is not done after `deadlineMs` is cut off. */
  async close({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.#closed = true;
    this.#cancelPause?.();
    await this.#life?.close(deadlineMs);
  }

  #begin(): void {
    const { clock } = this.#options;
    const sinceMs = clock.monotonic();
    const life = new Life({ ...this.#options, suspects: this.#suspects, ready: () => this.ready() });
    this.#life = life;
    this.began(life.end);
    void life.ended.then(ending => {
      if (clock.monotonic() - sinceMs >= STABLE_MS) this.#crashes = 0;
      this.#over(life, ending);
    });
  }

  #over(life: Life, ending: Ending): void {
    this.#life = null;
    this.#pastBusyMs += life.busyMs;
    const { clock, observer, stuckMs } = this.#options;
    if (this.#closed) return this.ended('the worker is stopping');
    if (ending.kind === 'stuck') {
      const { suspect, after } = ending;
      if (suspect !== null) this.#suspects.push(suspect);
      observer.emit({ event: 'engine.stuck', level: 'error', ...fieldsOf(ending, stuckMs) });
      this.lost(`the engine is started anew: ${whatStuck(suspect, after)} did not return`);
      return this.#begin();
    }
    const { error } = ending;
    const retryMs = backoffMs(this.#crashes++, { baseMs: PAUSE_MS_BASE, maxMs: PAUSE_MS_MAX });
    const fields = errorFields(error);
    observer.emit({ event: 'engine.crashed', level: 'error', ...fields, stack: error.stack, retryMs });
    this.lost(`the engine has crashed (${fields.message}) and is started anew`);
    if (isMillraceError(error) && error.fate === 'fatal') return this.#fail(error);
    this.#cancelPause = clock.after(retryMs, () => this.#begin());
  }
}

type Ending =
  /** `after`: whose function ran last before it, where no function is the suspect. */
  | { readonly kind: 'stuck'; readonly suspect: Suspect | null; readonly after: Site | null }
  | { readonly kind: 'crashed'; readonly error: Error };

/** One life of the thread. */
class Life {
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
  #error: Error | null = null;
  #suspect: Suspect | null = null;
  #after: Site | null = null;
  #isStuck = false;
  #turns = -1;
  #silent = 0;

  constructor(
    options: EngineThreadOptions<unknown> & { readonly suspects: readonly Suspect[]; readonly ready: () => void },
  ) {
    const { launcher, env, observer, stuckMs, suspects } = options;
    this.#stuckMs = stuckMs;
    this.#ready = options.ready;
    const workerData: EngineThreadData<unknown> = { options: options.options, memory: this.#memory, suspects };
    const thread = new Thread(launcher, { workerData, env, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } });
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
        if (this.#isStuck) resolve({ kind: 'stuck', suspect: this.#suspect, after: this.#after });
        else resolve({ kind: 'crashed', error: this.#error ?? new Error(`its thread ended with code ${code}`) });
      });
    });
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
    else if (message.kind === 'fault') this.#error = heardError(message.error);
    else this.end.hear(message);
  }

  #look(): void {
    this.busyMs = this.#thread.performance.eventLoopUtilization().active;
    const { site, lastSite, origin, turns } = readCallWatch(this.#memory);
    this.#silent = turns === this.#turns ? this.#silent + 1 : 0;
    this.#turns = turns;
    const named = this.#sites.get(site);
    const suspect = named === undefined ? null : { ...named, origin };
    const after = this.#sites.get(lastSite) ?? null;
    const silentMs = this.#silent * LOOK_MS;
    this.end.silentMs = silentMs;
    this.end.stall =
      this.#silent < STALL_LOOKS ? null : `${whatStuck(suspect, after)} has not returned for ${spanText(silentMs)}`;
    const looks = (named === undefined ? PATIENCE : 1) * Math.ceil(this.#stuckMs / LOOK_MS);
    if (this.#silent < looks) return;
    clearInterval(this.#looks);
    this.#isStuck = true;
    this.#suspect = suspect;
    this.#after = after;
    void this.#thread.terminate();
  }
}

/** For a person, in the middle of a sentence. */
function whatStuck(suspect: Suspect | null, after: Site | null): string {
  if (suspect === null)
    return after === null ? 'something in the engine' : `something in the engine, ${behind(after)},`;
  if (suspect.operator === LOADING) return `the bundle ${suspect.pipeline.slice(0, 12)}`;
  return `a function of ${suspect.operator} of pipeline ${suspect.pipeline}`;
}

function behind({ operator, pipeline }: Site): string {
  return `after a function of ${operator} of pipeline ${pipeline}`;
}

function fieldsOf({ suspect, after }: { suspect: Suspect | null; after: Site | null }, stuckMs: number) {
  if (suspect === null) {
    if (after === null) return { message: 'the engine did nothing for too long; it is started anew' };
    const { pipeline, operator } = after;
    return { pipeline, operator, message: `the engine did nothing for too long, ${behind(after)}; it is started anew` };
  }
  const { pipeline, operator, origin } = suspect;
  const seconds = stuckMs / 1_000;
  if (operator === LOADING) {
    return { message: `the bundle ${pipeline.slice(0, 12)} did not load in ${seconds} s; it is refused from now on` };
  }
  if (origin === NO_ORIGIN) {
    return { pipeline, operator, message: `its functions did not return for ${seconds} s; the engine is started anew` };
  }
  const sequence = seqOfOrigin(origin);
  const message = `its functions did not return for ${seconds} s; the engine is started anew, and the record becomes a dead letter`;
  return { pipeline, operator, sequence, message };
}
