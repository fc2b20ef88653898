/**
 * Reports: what the workers of the cluster say that they run, each asked over NATS, and what is read of the state that they
 * have. Whoever leads asks all of them again and again; what one has said last counts until he says something else, and goes
 * with him.
 *
 * Any worker may ask: who does not lead does when somebody wants to know of all.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { StateReader } from '../engine/views.ts';
import type { PipelineStatus } from '../observe/status.ts';
import type { Peers } from '../port/peers.ts';
import { heardError, tellError } from '../seam/errors.ts';
import { answerState, farState } from '../seam/far-state.ts';
import type { Question } from '../seam/messages.ts';
import { decode, encode } from './peer-json.ts';

/** An answer of who is there comes in a few milliseconds. */
const REPORT_MS = 500;
const STATE_MS = 5_000;
/** How often whoever leads asks. */
const EVERY_MS = 500;

/** What a worker says of one pipeline. */
export interface Said {
  /** The revision that it runs; null: nothing of it is there. */
  readonly revision: number | null;
  readonly status: PipelineStatus;
}

/** By pipeline. */
export type Report = ReadonlyMap<string, Said>;

type Asked =
  | { readonly ask: 'report' }
  | { readonly ask: 'state'; readonly pipeline: string; readonly question: Question };

export interface ReportsOptions {
  readonly clock: Clock;
  readonly peers: Peers;
  readonly me: string;
  /** What runs here. */
  own(): Report;
  /** Reads what is here. Throws WORKER_UNAVAILABLE. */
  state(pipeline: string): StateReader;
  /** The others that are there. */
  others(): readonly string[];
  /** It is for us to know what all do. */
  isLeading(): boolean;
  /** All have been asked. */
  refreshed(): void;
}

export class Reports {
  readonly #options: ReportsOptions;
  readonly #said = new Map<string, Report>();
  /** When a question was asked that was answered, the last; by worker. */
  readonly #answeredAtMs = new Map<string, number>();
  /** Who has not answered the last one. */
  readonly #silent = new Set<string>();
  #cancelTimer: (() => void) | null = null;
  #stopped = false;

  constructor(options: ReportsOptions) {
    this.#options = options;
    options.peers.answer(bytes => this.#answer(bytes));
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(EVERY_MS, () => {
      const done = this.#options.isLeading() ? this.refresh() : Promise.resolve();
      void done.then(() => {
        if (!this.#stopped) this.start();
      });
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  /** By worker, ours as of now. */
  all(): ReadonlyMap<string, Report> {
    const there = new Set(this.#options.others());
    const all = new Map([...this.#said].filter(([name]) => there.has(name)));
    return all.set(this.#options.me, this.#options.own());
  }

  /** Asks all who are there. Resolves when each has answered, or does not. */
  async refresh(): Promise<void> {
    const others = this.#options.others();
    for (const names of [this.#said, this.#answeredAtMs, this.#silent]) {
      for (const name of names.keys()) if (!others.includes(name)) names.delete(name);
    }
    const askedAtMs = this.#options.clock.monotonic();
    await Promise.all(
      others.map(async name => {
        // An answer that is too large, or makes no sense, is as good as none.
        const answer = await this.#ask(name, { ask: 'report' }, REPORT_MS).catch(() => null);
        const report = answer === null || !('report' in answer) ? null : readReport(answer.report);
        if (report === null) {
          this.#silent.add(name);
          return;
        }
        this.#silent.delete(name);
        this.#said.set(name, report);
        this.#answeredAtMs.set(name, askedAtMs);
      }),
    );
    this.#options.refreshed();
  }

  /** It is not there, or has not answered when it was asked last. */
  isSilent(worker: string): boolean {
    const { me, others } = this.#options;
    return worker !== me && (this.#silent.has(worker) || !others().includes(worker));
  }

  /** Each of the others who are there has been asked since then, and has nothing of the pipeline any more. */
  isLeft(pipeline: string, sinceMs: number): boolean {
    return this.#options.others().every(name => {
      const askedAtMs = this.#answeredAtMs.get(name);
      return askedAtMs !== undefined && askedAtMs >= sinceMs && this.#said.get(name)?.has(pipeline) === false;
    });
  }

  /** The state of a pipeline as one worker has it. */
  stateOf(worker: string, pipeline: string): StateReader {
    if (worker === this.#options.me) return this.#options.state(pipeline);
    return farState(async question => {
      const answer = await this.#ask(worker, { ask: 'state', pipeline, question }, STATE_MS);
      if (answer === null) {
        throw new MillraceError('WORKER_UNAVAILABLE', `worker ${worker} does not answer; ask again in a moment`);
      }
      if ('error' in answer) throw heardError(answer.error);
      return 'value' in answer ? answer.value : null;
    });
  }

  async #ask(worker: string, question: Asked, timeoutMs: number): Promise<Answered | null> {
    const answer = await this.#options.peers.ask(worker, encode(question), timeoutMs);
    const decoded = typeof answer === 'string' ? null : decode(answer);
    return typeof decoded === 'object' ? (decoded as Answered | null) : null;
  }

  async #answer(bytes: Uint8Array): Promise<Uint8Array | null> {
    const asked = decode(bytes) as Asked | null;
    if (typeof asked !== 'object' || asked === null) return null;
    if (asked.ask === 'report') return encode({ report: [...this.#options.own()] });
    if (asked.ask !== 'state') return null;
    try {
      return encode({ value: await answerState(this.#options.state(asked.pipeline), asked.question) });
    } catch (error) {
      return encode({ error: tellError(error) });
    }
  }
}

type Answered =
  | { readonly report: [string, Said][] }
  | { readonly value: unknown }
  | { readonly error: ReturnType<typeof tellError> };

/** Null: it is none that a worker gives. */
function readReport(value: unknown): Report | null {
  if (!Array.isArray(value)) return null;
  const report = new Map<string, Said>();
  for (const entry of value as unknown[]) {
    const [name, said] = Array.isArray(entry) ? (entry as [unknown, Partial<Said> | null]) : [null, null];
    const status = said?.status as Partial<PipelineStatus> | null | undefined;
    const lists = [status?.sources, status?.tasks, status?.followers, status?.operators];
    if (typeof name !== 'string' || !lists.every(Array.isArray)) return null;
    if (typeof status!.counts !== 'object' || status!.counts === null) return null;
    report.set(name, said as Said);
  }
  return report;
}
