/**
 * A thread of the engine: it runs the author's code, and is watched from here. User code that never returns stops its thread
 * for good, and nothing inside can help; so it is seen which function is running and on which record
 * (`operator/call-watch.ts`), the thread is ended, and another begins with that call as a suspect: the record becomes a
 * dead letter and the rest goes on. A thread that crashes or runs out of memory is followed by another, too, after a
 * pause that grows. What ran in it is lost here and safe in its journals; whoever wanted it starts it again. Whose functions
 * it was is told, and what follows from that is decided in `engines.ts`.
 */
import { setFlagsFromString } from 'node:v8';
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isMillraceError, type MillraceError } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Meter } from '../observe/meter.ts';
import type { Site, Suspect } from '../operator/call-watch.ts';
import { NO_ORIGIN } from '../record/origin.ts';
import { EngineLives } from '../seam/lives.ts';
import { type Ending, EngineLife } from './engine-life.ts';
import { stuckFields, whatStuck } from './stuck-text.ts';

/** Before a thread follows one that crashed. */
const PAUSE_MS_BASE = 500;
const PAUSE_MS_MAX = 30_000;
/** A thread that ran for so long has recovered; its next crash is a first one. */
const STABLE_MS = 60_000;
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

export interface EngineThreadOptions<T> {
  /** What it is called in events and metrics. */
  readonly name: string;
  /** The program of the thread, a file. */
  readonly launcher: string;
  /** For the thread, as structured clones. */
  readonly options: T;
  /** All that it is given of the environment: it runs the code of pipelines' authors. */
  readonly env: Readonly<Record<string, string>>;
  /** How large its old generation may grow, MiB; null: as the process is told. */
  readonly memoryMb: number | null;
  /** How long a user function may take, ms. */
  readonly stuckMs: number;
  /** Calls that did not return, in whichever thread; this one adds its own. */
  readonly suspects: Suspect[];
  readonly clock: Clock;
  readonly observer: Observer;
  /** What a pipeline of that name counts with. */
  meter(pipeline: string): Meter;
  /** A call of the site has not returned for a second, and goes on. True: for others' sake the thread is to end. */
  isTooSlow(site: Site): boolean;
  /** A life of the thread has ended by functions of the site, in that way; told before what ran in it is lost. */
  harmed(site: Site, how: string): void;
}

export class EngineThread<T> extends EngineLives {
  readonly name: string;
  /** Resolves when an invariant broke in it: the process should end. */
  readonly fatal: Promise<MillraceError>;
  readonly #options: EngineThreadOptions<T>;
  #fail!: (error: MillraceError) => void;
  #life: EngineLife | null = null;
  #cancelPause: (() => void) | null = null;
  #crashes = 0;
  #closed = false;
  /** What lives that are over were busy for, ms. */
  #pastBusyMs = 0;

  constructor(options: EngineThreadOptions<T>) {
    super();
    this.name = options.name;
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

  /** How long it was at work since it was opened, ms. */
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
    const life = new EngineLife({
      ...this.#options,
      ready: () => this.ready(),
      meter: pipeline => this.#options.meter(pipeline),
      isTooSlow: site => this.#options.isTooSlow(site),
    });
    this.#life = life;
    this.began(life.end);
    void life.ended.then(ending => {
      if (clock.monotonic() - sinceMs >= STABLE_MS) this.#crashes = 0;
      this.#over(life, ending);
    });
  }

  #over(life: EngineLife, ending: Ending): void {
    this.#life = null;
    this.#pastBusyMs += life.busyMs;
    if (this.#closed) return this.ended('the worker is stopping');
    if (ending.kind === 'stuck') this.#wasStuck(ending);
    else if (ending.kind === 'slow') this.#wasSlow(ending.site);
    else this.#hasCrashed(ending);
  }

  #wasStuck(ending: Ending & { kind: 'stuck' }): void {
    const { suspect, after } = ending;
    const { observer, stuckMs, suspects } = this.#options;
    if (suspect !== null) suspects.push(suspect);
    observer.emit({
      event: 'engine.stuck',
      level: 'error',
      thread: this.name,
      ...stuckFields(ending, stuckMs),
    });
    const site = suspect ?? after;
    if (site !== null) this.#options.harmed(site, 'did not return');
    this.lost(`the engine is started anew: ${whatStuck(suspect, after)} did not return`);
    this.#begin();
  }

  #wasSlow(site: Site): void {
    this.lost(
      `the engine is started anew: ${whatStuck({ ...site, origin: NO_ORIGIN }, null)} held it up again and again`,
    );
    this.#begin();
  }

  #hasCrashed({ error, ran }: Ending & { kind: 'crashed' }): void {
    const { clock, observer } = this.#options;
    const retryMs = backoffMs(this.#crashes++, { baseMs: PAUSE_MS_BASE, maxMs: PAUSE_MS_MAX });
    const fields = errorFields(error);
    observer.emit({
      event: 'engine.crashed',
      level: 'error',
      thread: this.name,
      ...fields,
      stack: error.stack,
      retryMs,
    });
    if (ran !== null) this.#options.harmed(ran, `ran when it crashed (${fields.message})`);
    this.lost(`the engine has crashed (${fields.message}) and is started anew`);
    if (isMillraceError(error) && error.fate === 'fatal') return this.#fail(error);
    this.#cancelPause = clock.after(retryMs, () => this.#begin());
  }
}
