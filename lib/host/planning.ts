/**
 * Planning, as the host has it done: each bundle in a thread that lives for this one plan, with limits of time and memory, so
 * that nothing an author writes at the top of a file disturbs what runs. The thread's questions about streams are answered
 * here.
 *
 * It counts looks, not time: a process that is stopped and continued, or a machine that sleeps, has missed none. Those at
 * which the thread waits for an answer of ours do not count.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker as Thread } from 'node:worker_threads';
import { invariant, MillraceError, messageOf } from '../base/errors.ts';
import type { Bundle } from '../bundle/bundle.ts';
import type { Judged } from '../bundle/compile.ts';
import { heardError, tellError } from '../seam/errors.ts';
import type { BrokerAnswer, BrokerQuestion, FromPlanning, ToPlanning } from '../seam/messages.ts';
import type { Broker } from '../topology/broker.ts';

const LOOK_MS = 250;
/** What a bundle may take to be loaded and planned, tables that it builds for itself included. */
const MEMORY_MB = 512;
/** Plans at a time; others wait for their turn. */
const AT_ONCE = 2;

/** What a thread is given. */
export interface PlanThreadData {
  readonly bundle: Bundle;
  readonly dir: string;
  /** Whether it may ask about streams. */
  readonly asks: boolean;
  /** See `PlanningOptions`. */
  readonly given: readonly string[] | null;
}

export interface PlanningOptions {
  /** The program of the thread, a file. */
  readonly launcher: string;
  /** Null: nobody is asked, and streams are taken to be as the pipeline needs them. */
  readonly broker: Broker | null;
  /** Folder for bundles that are being loaded. */
  readonly dir: string;
  /** All that its threads are given of the environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What pipelines may ask to be there of it; null: anything, for they run elsewhere. */
  readonly given: readonly string[] | null;
  /** How long the author's code may run, ms. */
  readonly limitMs: number;
}

const ENDED = 'ended its thread while it was loaded: process.exit, or an await at its top level that never settles?';

export class Planning {
  readonly #options: PlanningOptions;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #plans = 0;

  constructor(options: PlanningOptions) {
    this.#options = options;
  }

  /** Throws PLAN_INVALID (its mistakes, or what it did in place of being loaded), BROKER_UNAVAILABLE. */
  async plan(bundle: Bundle): Promise<Judged> {
    while (this.#running >= AT_ONCE) await new Promise<void>(resolve => this.#waiting.push(resolve));
    this.#running++;
    try {
      return await this.#plan(bundle);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #plan(bundle: Bundle): Promise<Judged> {
    const { launcher, broker, dir, env, given, limitMs } = this.#options;
    // A folder of its own, since a thread that is ended removes nothing.
    const own = join(dir, `plan-${process.pid}-${++this.#plans}`);
    const workerData: PlanThreadData = { bundle, dir: own, asks: broker !== null, given };
    const thread = new Thread(launcher, {
      workerData,
      env,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
      // What this process loads first may be nowhere to be found from where a command is run.
      execArgv: [],
    });
    let isAuthorsTurn = false;
    let looks = 0;
    let cancelLooks = () => {};
    const outcome = new Promise<Judged>((resolve, reject) => {
      thread.on('message', (message: FromPlanning) => {
        if (message.kind === 'begun') isAuthorsTurn = true;
        else if (message.kind === 'planned') resolve({ summary: message.summary, text: message.text });
        else if (message.kind === 'failed') reject(heardError(message.error));
        else {
          isAuthorsTurn = false;
          void answerOf(broker, message.question).then(answer => {
            isAuthorsTurn = true;
            thread.postMessage(answer);
          });
        }
      });
      thread.once('error', error => reject(refused(bundle, reasonOf(error))));
      thread.once('exit', () => reject(refused(bundle, ENDED)));
      const timer = setInterval(() => {
        if (isAuthorsTurn) looks++;
        const text = `did not come to an end while it was loaded, within ${limitMs / 1_000} s: an endless loop?`;
        if (looks > Math.ceil(limitMs / LOOK_MS)) reject(refused(bundle, text));
      }, LOOK_MS);
      cancelLooks = () => clearInterval(timer);
    });
    try {
      return await outcome;
    } finally {
      cancelLooks();
      await thread.terminate();
      await rm(own, { recursive: true, force: true });
    }
  }
}

async function answerOf(broker: Broker | null, question: BrokerQuestion): Promise<ToPlanning> {
  invariant(broker !== null, 'a thread that may not ask asks nothing');
  try {
    const value: BrokerAnswer =
      question.what === 'streamsOf' ? await broker.streamsOf(question.subject) : await broker.info(question.stream);
    return { value };
  } catch (error) {
    return { error: tellError(error) };
  }
}

function reasonOf(error: unknown): string {
  if ((error as NodeJS.ErrnoException | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return `ran out of memory while it was loaded: the limit is ${MEMORY_MB} MiB`;
  }
  return `failed while it was loaded: ${messageOf(error)}`;
}

function refused({ file }: Bundle, text: string): MillraceError {
  return new MillraceError('PLAN_INVALID', `${file} ${text}`);
}
