/**
 * The watch over calls of user code: which function is running and on which record, in memory that another thread can
 * read. An endless loop in user code stops the thread it runs in, so only a thread beside it can say what it was.
 * Writing is three stores a call. What ran last is left there until the event loop turns: what is stuck behind it is not
 * known, but for whom it was done is.
 *
 * It also has what was learned that way: a call that once did not return is a *suspect*, and the next time such a call is
 * made with a limit of time, by which it ends in an error like any other that user code makes.
 */
import { Script } from 'node:vm';
import { MillraceError } from '../base/errors.ts';
import { NO_ORIGIN } from '../record/origin.ts';

/** Where user code is called: an operator or a source of a revision of a pipeline. */
export interface Site {
  readonly pipeline: string;
  readonly revision: number;
  readonly operator: string;
}

/** The operator of a site where a bundle is loaded and planned; its pipeline is the bundle's hash, its revision 0. */
export const LOADING = '(loading)';

/** So many suspects of one operator, and it is the operator that must be mended. */
const STRIKES_MAX = 3;

/** A call that did not return. `origin`: of the record in hand, NO_ORIGIN where there was none (timers, windows). */
export interface Suspect extends Site {
  readonly origin: number;
}

/** What a thread beside sees: site (0: none; negative: of the call that has returned last), origin, a number that grows with each call, and one with each beat. */
export const CALL_WATCH_BYTES = 32;
const SITE = 0;
const ORIGIN = 1;
const CALLS = 2;
const BEATS = 3;

/** Time for a suspect's call, ms: long for any code that returns at all. */
export const SUSPECT_MS = 1_000;

export class CallWatch {
  readonly #view: Float64Array;
  readonly #suspects: readonly Suspect[];
  readonly #named: (site: number, of: Site) => void;
  #sites = 0;

  /**
   * @param options.memory CALL_WATCH_BYTES long; what is not shared is seen by nobody
   * @param options.named is told the number of each site, once, before the first call there
   */
  constructor(
    options: {
      memory?: SharedArrayBuffer;
      suspects?: readonly Suspect[];
      named?: (site: number, of: Site) => void;
    } = {},
  ) {
    this.#view = new Float64Array(options.memory ?? new ArrayBuffer(CALL_WATCH_BYTES));
    this.#suspects = options.suspects ?? [];
    this.#named = options.named ?? (() => {});
  }

  /** The event loop has turned. */
  beat(): void {
    this.#view[BEATS] = this.#view[BEATS]! + 1;
    if (this.#view[SITE]! < 0) this.#view[SITE] = 0;
  }

  /**
   * Loads a bundle. Others may have their turn meanwhile; a load that blocks is seen nevertheless.
   * Throws PLAN_INVALID when it has not come to an end before.
   */
  async loading<T>(bundle: { readonly hash: string; readonly file: string }, load: () => Promise<T>): Promise<T> {
    const site: Site = { pipeline: bundle.hash, revision: 0, operator: LOADING };
    if (this.#of(site).length > 0) {
      throw new MillraceError(
        'PLAN_INVALID',
        `${bundle.file} did not come to an end while it was loaded: an endless loop?`,
      );
    }
    const number = this.#number(site);
    this.#view[ORIGIN] = NO_ORIGIN;
    this.#view[SITE] = number;
    try {
      return await load();
    } finally {
      if (this.#view[SITE] === number) this.#view[SITE] = 0;
    }
  }

  /** Throws USER_CODE_STUCK when functions of the pipeline did not return again and again. */
  checkStart(pipeline: string, revision: number): void {
    const found = this.#suspects.filter(one => one.pipeline === pipeline && one.revision === revision);
    for (const { operator } of found) {
      if (found.filter(one => one.operator === operator).length < STRIKES_MAX) continue;
      throw new MillraceError(
        'USER_CODE_STUCK',
        `the functions of ${operator} did not return for ${STRIKES_MAX} records; mend them and deploy again`,
      );
    }
  }

  #of(site: Site): Suspect[] {
    const { pipeline, revision, operator } = site;
    return this.#suspects.filter(
      one => one.pipeline === pipeline && one.revision === revision && one.operator === operator,
    );
  }

  #number(site: Site): number {
    const number = ++this.#sites;
    this.#named(number, site);
    return number;
  }

  /** How calls are made at a site. `cursor` has the origin of the record in hand. */
  at(site: Site, cursor: { readonly origin: number }): WatchedCalls {
    const origins = new Set(this.#of(site).map(one => one.origin));
    return new WatchedCalls({ view: this.#view, site: this.#number(site), operator: site.operator, cursor, origins });
  }
}

/** How the user code of an operator or source is called, for the records of `cursor`. */
export type WatchCalls = (operator: string, cursor: { readonly origin: number }) => WatchedCalls;

/** Makes functions that are seen while they run. Arguments are passed on one by one: no call makes a list of them. */
export class WatchedCalls {
  readonly #view: Float64Array;
  readonly #site: number;
  readonly #operator: string;
  readonly #cursor: { readonly origin: number };
  readonly #suspectOrigins: ReadonlySet<number>;

  constructor(options: {
    view: Float64Array;
    site: number;
    operator: string;
    cursor: { readonly origin: number };
    origins: ReadonlySet<number>;
  }) {
    this.#view = options.view;
    this.#site = options.site;
    this.#operator = options.operator;
    this.#cursor = options.cursor;
    this.#suspectOrigins = options.origins;
  }

  /** A call here has not returned once. */
  get isSuspicious(): boolean {
    return this.#suspectOrigins.size > 0;
  }

  /** @param call takes at most three arguments */
  watched<A extends readonly [] | readonly [unknown, unknown?, unknown?], R>(
    call: (...args: A) => R,
  ): (...args: A) => R {
    type Call = (a?: unknown, b?: unknown, c?: unknown) => R;
    const watched: Call = this.#watched(call as unknown as Call);
    return watched as unknown as (...args: A) => R;
  }

  #watched<R>(call: (a?: unknown, b?: unknown, c?: unknown) => R): (a?: unknown, b?: unknown, c?: unknown) => R {
    const view = this.#view;
    const site = this.#site;
    const cursor = this.#cursor;
    const watched = (a?: unknown, b?: unknown, c?: unknown): R => {
      view[SITE] = site;
      view[ORIGIN] = cursor.origin;
      view[CALLS] = view[CALLS]! + 1;
      try {
        return call(a, b, c);
      } finally {
        view[SITE] = -site;
      }
    };
    const suspects = this.#suspectOrigins;
    if (suspects.size === 0) return watched;
    return (a, b, c) => (suspects.has(cursor.origin) ? this.#limited(() => call(a, b, c)) : watched(a, b, c));
  }

  /** Throws USER_CODE when the call does not return in time. */
  #limited<R>(call: () => R): R {
    let result: { value: R } | null = null;
    const shared = globalThis as unknown as Record<symbol, unknown>;
    shared[LIMITED] = () => {
      result = { value: call() };
    };
    try {
      CALL.runInThisContext({ timeout: SUSPECT_MS });
    } catch (error) {
      if ((error as NodeJS.ErrnoException | null)?.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      const what = this.#cursor.origin === NO_ORIGIN ? 'what was due' : 'this record';
      throw new MillraceError('USER_CODE', `the functions of ${this.#operator} did not return for ${what}`, {
        cause: error,
      });
    } finally {
      shared[LIMITED] = undefined;
    }
    return result!.value;
  }
}

const LIMITED = Symbol.for('millrace.limited');
const CALL = new Script("globalThis[Symbol.for('millrace.limited')]()", { filename: 'millrace:limited' });

/** What a thread beside reads. `site`: of the call that runs; `lastSite`: of the last one in this turn of the event loop. 0: none. */
export function readCallWatch(memory: SharedArrayBuffer) {
  const view = new Float64Array(memory);
  const site = view[SITE]!;
  return {
    site: Math.max(0, site),
    lastSite: Math.abs(site),
    origin: view[ORIGIN]!,
    turns: view[CALLS]! + view[BEATS]!,
  };
}
