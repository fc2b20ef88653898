/**
 * The supervisor: runs a worker in a thread, and looks whether it still turns. User code that never returns stops its
 * thread for good, API and leases with it; nothing inside can help. So the main thread sees which function is running and
 * on which record (`lib/operator/hand.ts`), ends the thread, and starts it anew with that call as a suspect: the record
 * becomes a dead letter and the rest goes on. To the cluster it is as if the process had been killed and started again.
 *
 * It counts looks, not time: a process that is stopped and continued, or a machine that sleeps, has missed none.
 */
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { Worker as Thread } from 'node:worker_threads';
import { type ErrorCode, MillraceError } from '../lib/base/errors.ts';
import { packageFile } from '../lib/base/package.ts';
import { type Event, errorFields, type Observer } from '../lib/observe/events.ts';
import { HAND_BYTES, LOADING, readHand, type Site, type Suspect } from '../lib/operator/hand.ts';
import { NO_ORIGIN, seqOfOrigin } from '../lib/record/origin.ts';

const LOOK_MS = 250;
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
/** How often what is no user code may seem stuck longer than user code: a disk or a debugger is slow, not endless. */
const PATIENCE = 6;

/** What a thread is given. */
export interface ThreadData<T> {
  readonly options: T;
  readonly memory: SharedArrayBuffer;
  readonly suspects: readonly Suspect[];
}

/** What a thread says. */
export type ThreadMessage =
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'site'; readonly number: number; readonly site: Site }
  | { readonly kind: 'ended'; readonly code: number }
  /** It could not start, for a reason that a person must mend. */
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string };

export interface SuperviseOptions<T> {
  /** A launcher in `cmd/`, e.g. `worker-thread.mjs`. */
  readonly launcher: string;
  /** For the thread, as structured clones. */
  readonly options: T;
  /** How long a user function may take, ms. */
  readonly stuckMs: number;
  readonly observer: Observer;
  /** Resolves when it should end; a thread is told by the message `stop`. */
  readonly stopped: Promise<unknown>;
}

/** Resolves with the thread's own exit code, when it ends by itself or as told. Throws why it could not start. */
export async function supervise<T>(options: SuperviseOptions<T>): Promise<number> {
  const suspects: Suspect[] = [];
  let stopping = false;
  setFlagsFromString(NO_PRETENURING);
  setFlagsFromString(HEAP_GROWTH);
  while (true) {
    const run = new ThreadRun(options, suspects);
    void options.stopped.then(() => {
      stopping = true;
      run.stop();
    });
    const outcome = await run.outcome;
    if (outcome.kind === 'ended') return outcome.code;
    const { observer, stuckMs } = options;
    observer.emit({ event: 'worker.stuck', level: 'error', ...fieldsOf(outcome.suspect, stuckMs) });
    if (stopping) return 1;
    if (outcome.suspect !== null) suspects.push(outcome.suspect);
  }
}

type Outcome = { readonly kind: 'ended'; readonly code: number } | { readonly kind: 'stuck'; suspect: Suspect | null };

/** One life of the thread. */
class ThreadRun {
  readonly outcome: Promise<Outcome>;
  readonly #thread: Thread;
  readonly #memory = new SharedArrayBuffer(HAND_BYTES);
  readonly #sites = new Map<number, Site>();
  #looks: NodeJS.Timeout | undefined;
  #turns = -1;
  #silent = 0;

  constructor(options: SuperviseOptions<unknown>, suspects: readonly Suspect[]) {
    const { launcher, observer, stuckMs } = options;
    const data: ThreadData<unknown> = { options: options.options, memory: this.#memory, suspects };
    this.#thread = new Thread(packageFile(`cmd/${launcher}`), {
      workerData: data,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    let code = 1;
    let refusal: MillraceError | null = null;
    this.#thread.on('message', (message: ThreadMessage) => {
      if (message.kind === 'event') observer.emit(message.event);
      else if (message.kind === 'site') this.#sites.set(message.number, message.site);
      else if (message.kind === 'ended') code = message.code;
      else refusal = new MillraceError(message.code, message.message);
    });
    this.#thread.on('error', error => {
      observer.emit({ event: 'worker.crashed', level: 'error', ...errorFields(error), stack: stackOf(error) });
    });
    const ended = once(this.#thread, 'exit').then((): Outcome => {
      if (refusal !== null) throw refusal;
      return { kind: 'ended', code };
    });
    const stuck = new Promise<Outcome>(resolve => {
      this.#looks = setInterval(() => this.#look(stuckMs, resolve), LOOK_MS);
    });
    this.outcome = Promise.race([ended, stuck]);
  }

  stop(): void {
    this.#thread.postMessage('stop');
  }

  #look(stuckMs: number, stuck: (outcome: Outcome) => void): void {
    const { site, origin, turns } = readHand(this.#memory);
    this.#silent = turns === this.#turns ? this.#silent + 1 : 0;
    this.#turns = turns;
    const named = this.#sites.get(site);
    const looks = (named === undefined ? PATIENCE : 1) * Math.ceil(stuckMs / LOOK_MS);
    if (this.#silent < looks) return;
    clearInterval(this.#looks);
    void this.#thread.terminate().then(() => stuck({ kind: 'stuck', suspect: named ? { ...named, origin } : null }));
  }
}

function fieldsOf(suspect: Suspect | null, stuckMs: number) {
  if (suspect === null) return { message: 'the worker did nothing for too long; it is started anew' };
  const { pipeline, operator, origin } = suspect;
  const seconds = stuckMs / 1_000;
  if (operator === LOADING) {
    return { message: `the bundle ${pipeline.slice(0, 12)} did not load in ${seconds} s; it is refused from now on` };
  }
  if (origin === NO_ORIGIN) {
    return { pipeline, operator, message: `its functions did not return for ${seconds} s; the worker is started anew` };
  }
  const sequence = seqOfOrigin(origin);
  const message = `its functions did not return for ${seconds} s; the worker is started anew, and the record becomes a dead letter`;
  return { pipeline, operator, sequence, message };
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}
