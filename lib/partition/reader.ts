/**
 * The reader: a source, its stateless operators and a router, as one actor. It keeps nothing: where it goes on after a
 * restart is in the tails of its channels. It stops reading while too much waits to be sent.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { errorFields } from '../observe/events.ts';
import { EndsTeller } from '../observe/meter.ts';
import { newCursor, type PoisonedRecord, Run } from '../operator/run.ts';
import { readerWriter } from '../record/names.ts';
import { Router } from '../router/router.ts';
import { Source } from '../source/source.ts';
import { watchedSource } from '../source/watched.ts';
import { type Plan, type ReaderPlan, sourcesOf } from '../topology/plan.ts';
import type { Surroundings } from './surroundings.ts';

/** Records and letters that may wait to be sent. */
const WAITING_MAX = 65_536;
/** Bytes of messages of which something may wait to be sent. */
const WAITING_BYTES_MAX = 64 << 20;
/** What is read before the event loop has its turn. */
const POLL_BYTES_MAX = 1 << 20;
const POLL_MESSAGES_MAX = 8192;
const TICK_MS = 100;

export interface ReaderOptions {
  readonly plan: Plan;
  readonly reader: ReaderPlan;
  readonly around: Surroundings;
  onEnded(error: unknown): void;
}

export type ReaderPhase = 'opening' | 'running' | 'stopped' | 'failed';

export class Reader {
  readonly name: string;
  phase: ReaderPhase = 'opening';
  readonly dropped = new Map<string, number>();
  #options: ReaderOptions;
  #source: Source;
  #router: Router;
  #ends: EndsTeller;
  /** Polls of which something may wait to be sent, oldest first. */
  #unsent: { readonly position: number; readonly bytesBefore: number }[] = [];
  #scheduled = false;
  #cancelTick: (() => void) | null = null;

  constructor(options: ReaderOptions) {
    const { plan, reader, around } = options;
    const { deployment, log, clock, random, meter, grip } = around;
    this.#ends = new EndsTeller(meter);
    this.name = reader.name;
    this.#options = options;
    const cursor = newCursor();
    const routes = reader.program.exits.map(exit => {
      if (exit.kind === 'sink') throw new MillraceError('INVARIANT', `reader ${reader.name} leads to a sink`);
      const { partitions, inputs } = plan.stages.find(stage => stage.name === exit.stage)!;
      const { bootstrap } = inputs.find(({ name }) => name === exit.input)!;
      return { stage: exit.stage, input: exit.input, bootstrap, partitions };
    });
    this.#router = new Router({
      deployment,
      writer: readerWriter(reader.name),
      routes,
      log,
      clock,
      random,
      cursor,
      bornMs: () => this.#source.bornMs,
      publishedMs: seq => this.#source.publications.at(seq),
      onLanded: () => this.#schedule(),
      onFailed: error => this.#fail(error),
    });
    const run = new Run(reader.program, {
      cursor,
      exits: this.#router.exits,
      tables: null,
      late: () => {},
      poison: record => this.#poison(record),
      drop: (_, reason) => this.#drop(reason),
      ...(grip === undefined ? {} : { grip: node => grip(node, cursor) }),
    });
    this.#source = new Source({
      spec: grip === undefined ? reader.source : watchedSource(reader.source, grip(reader.source.name, cursor)),
      index: sourcesOf(plan).findIndex(source => source.name === reader.source.name),
      log,
      clock,
      meter,
      outlet: {
        entry: run.entries[0]!,
        cursor,
        letter: letter => this.#router.letter(letter),
        drop: reason => this.#drop(reason),
      },
    });
  }

  #poison({ operator, cause }: PoisonedRecord): void {
    this.#router.letter(this.#source.letter({ operator, code: cause.code, message: cause.message, bytes: null }));
  }

  #drop(reason: string): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
  }

  get source(): Source {
    return this.#source;
  }

  start(): void {
    this.#open().catch(error => this.#fail(error));
  }

  async #open(): Promise<void> {
    const { plan, around } = this.#options;
    const head = await this.#router.open();
    const place = head ?? (await this.#source.firstPlace());
    if (this.phase !== 'opening') return;
    await this.#source.open(place, () => this.#schedule());
    this.#sample();
    // From here on the place is on record, so that a source that starts at the stream's end does so once.
    await this.#router.broadcast();
    if (this.phase !== 'opening') return;
    this.phase = 'running';
    const { position } = place;
    around.observer.emit({
      event: 'reader.opened',
      level: 'info',
      pipeline: plan.pipeline,
      reader: this.name,
      position,
    });
    this.#tick();
    this.#schedule();
  }

  #state() {
    const { position, bootstrapped } = this.#source;
    const { watermarkMs, clockMs, quietMs } = this.#source.time;
    return { position, watermarkMs, clockMs, quietMs, bootstrapped };
  }

  #sample(): void {
    this.#router.sample(this.#state());
  }

  #tick(): void {
    this.#cancelTick = this.#options.around.clock.after(TICK_MS, () => {
      if (this.phase !== 'running') return;
      this.#source.tick();
      this.#sample();
      this.#router.broadcast().catch(error => this.#fail(error));
      this.#pump();
      this.#tick();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.phase !== 'running') return;
    this.#scheduled = true;
    this.#options.around.clock.soon(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** Of polls that have landed nobody needs to know any more. */
  #isFull(): boolean {
    const { landedTo } = this.#router;
    const landed = this.#unsent.findIndex(({ position }) => position > landedTo);
    this.#unsent.splice(0, landed < 0 ? this.#unsent.length : landed);
    const first = this.#unsent[0];
    return first !== undefined && this.#source.bytesIn - first.bytesBefore > WAITING_BYTES_MAX;
  }

  #pump(): void {
    if (this.phase !== 'running' || this.#router.waiting > WAITING_MAX || this.#isFull()) return;
    try {
      const before = this.#source.bytesIn;
      const messages = this.#source.poll({ messagesMax: POLL_MESSAGES_MAX, bytesMax: POLL_BYTES_MAX });
      if (messages === 0) return;
      this.#unsent.push({ position: this.#source.position, bytesBefore: before });
      this.#ends.tell({ late: 0, dead: 0, dropped: this.dropped });
      this.#sample();
      this.#router.flush(() => this.#state());
      this.#schedule();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.phase === 'stopped' || this.phase === 'failed') return;
    this.phase = 'failed';
    const { plan, around, onEnded } = this.#options;
    around.observer.emit({
      event: 'reader.failed',
      level: isMillraceError(error) && error.fate === 'retry' ? 'warn' : 'error',
      pipeline: plan.pipeline,
      reader: this.name,
      ...errorFields(error),
    });
    this.#close().then(
      () => onEnded(error),
      () => onEnded(error),
    );
  }

  async #close(): Promise<void> {
    this.#cancelTick?.();
    this.#router.stop();
    await this.#source.stop();
  }

  /** What has been read and not sent is read again by whoever goes on. */
  async stop(): Promise<void> {
    if (this.phase === 'stopped' || this.phase === 'failed') return;
    this.phase = 'stopped';
    await this.#close();
  }
}
