/**
 * The reader: a source, its stateless operators and a router, as one actor. It claims what it writes to (*one reader*,
 * `channel/authorship.ts`), and keeps nothing: where it goes on after a restart is in the tails of its channels. It stops
 * reading while too much waits to be sent.
 *
 * A soft stop lets all land that was read, and says so: then all channels are complete to one position, and whatever
 * program comes next begins there. Where a reader finds that a former program has sent to some what it has not to others (a
 * deploy after kill -9), that program does the rest first (*one program a message*, `channel/authorship.ts`): it is
 * loaded again, and runs here as a reader of its own, with all its routes and under our revision, from the channel that
 * is furthest behind through the last message of which any has had a row.
 */
import { sleep } from '../base/clock.ts';
import { BEGIN_ANEW, fateOfPart, isMillraceError, MillraceError } from '../base/errors.ts';
import type { Owner } from '../channel/frame.ts';
import type { WriterState } from '../channel/writer.ts';
import { NO_ATTEMPTS } from '../journal/attempts.ts';
import { errorFields } from '../observe/events.ts';
import { EndsReporter } from '../observe/meter.ts';
import { newCursor, type PoisonedRecord, type Receiver, Run } from '../operator/run.ts';
import type { Letter } from '../record/letter.ts';
import { readerWriter } from '../record/names.ts';
import { originOf, seqOfOrigin } from '../record/origin.ts';
import { type Counted, Counting } from '../router/counted.ts';
import type { Opened, Route, Unfinished } from '../router/lane.ts';
import { Router } from '../router/router.ts';
import { BucketCensus } from '../source/bucket-census.ts';
import type { SourcePlace } from '../source/poll.ts';
import { Source } from '../source/source.ts';
import { lostTable, readAnew } from '../source/succession.ts';
import { watchedSource } from '../source/watched.ts';
import { Breaker } from '../task/breaker.ts';
import { Caution } from '../task/caution.ts';
import type { Surroundings } from '../task/surroundings.ts';
import { type Plan, type ReaderPlan, sourcesOf } from '../topology/plan.ts';
import { isSame, ONE_PROGRAM, routesOf } from './program.ts';
import { Reading } from './reading.ts';

const TICK_MS = 100;

export interface ReaderOptions {
  readonly plan: Plan;
  readonly reader: ReaderPlan;
  readonly around: Surroundings;
  /** Outlives the reader. */
  readonly breaker: Breaker;
  /** What this reader does for a former program, and then it is done; absent: it reads for ever. */
  readonly finishes?: Finishing;
  onEnded(error: unknown): void;
  /** It has done that. */
  onDone?(): void;
}

/** A former program's work: those of its routes that still lead somewhere. */
interface Finishing extends Pick<Unfinished, 'program' | 'through'> {
  /** The reader that has it done: what is written is its own. */
  readonly owner: Owner;
  readonly routes: readonly Route[];
}

export type ReaderPhase = 'opening' | 'running' | 'stopped' | 'failed';

export class Reader {
  readonly name: string;
  phase: ReaderPhase = 'opening';
  readonly dropped = new Map<string, number>();
  #options: ReaderOptions;
  #source: Source;
  /** Null where no table is read, or one for a former program. */
  #census: BucketCensus | null = null;
  #router: Router;
  #ends: EndsReporter;
  #sendsLetters: boolean;
  #counting = new Counting();
  /** A former program at work, while we open. */
  #former: Reader | null = null;
  #failure: { error: unknown } | null = null;
  #reading: Reading;
  #caution: Caution;
  #cancelTick: (() => void) | null = null;

  constructor(options: ReaderOptions) {
    const { plan, reader, around } = options;
    const { deployment, log, clock, random, meter, watchCalls } = around;
    this.#ends = new EndsReporter(meter);
    this.name = reader.name;
    this.#caution = new Caution({
      breaker: options.breaker,
      about: { pipeline: plan.pipeline, part: reader.name },
      around,
      say: hand => this.#router.tellAttempts(hand === null ? null : { starts: options.breaker.starts, hand }),
    });
    this.#options = options;
    const cursor = newCursor();
    const routes = routesOf(plan, reader);
    const { finishes } = options;
    const own = finishes === undefined ? routes : routes.filter(route => finishes.routes.some(isSame(route)));
    const { programs = ONE_PROGRAM, revision, assignment } = around;
    // Letters go with the first route; where that is gone, so are they: in another they would count as rows of it.
    this.#sendsLetters = own[0] === routes[0];
    this.#router = new Router({
      deployment,
      writer: readerWriter(reader.name),
      routes: own,
      ...{ log, clock, random, cursor, watchCalls },
      owner: finishes?.owner ?? { revision, assignment },
      program: finishes?.program ?? programs.present,
      mark: () => this.#source.mark,
      publishedMs: seq => this.#source.publications.at(seq),
      onLanded: () => this.#reading.schedule(),
      onFailed: error => this.#fail(error),
    });
    const run = new Run(reader.program, {
      cursor,
      exits: routes.map(route => this.#router.exits[own.indexOf(route)] ?? NOWHERE),
      tables: null,
      late: () => {},
      poison: record => this.#poison(record),
      drop: (_, reason) => this.#drop(reason),
      ...(watchCalls === undefined ? {} : { watchCalls: node => watchCalls(node, cursor) }),
    });
    const index = sourcesOf(plan).findIndex(source => source.name === reader.source.name);
    if (reader.source.kind === 'kv' && finishes === undefined) {
      this.#census = new BucketCensus({
        spec: reader.source,
        log,
        clock,
        source: {
          position: () => this.#source.position - this.#source.mark.base,
          inHand: () => seqOfOrigin(cursor.origin) - this.#source.mark.base,
        },
        onListed: (keys, groups) => {
          if (this.phase !== 'running') return;
          this.#router.census(keys, { groups, origin: originOf(index, this.#source.position) });
          this.#router.flush(() => this.#state());
        },
        onFailed: error => this.#fail(lostTable(this.name, error)),
      });
    }
    this.#source = new Source({
      spec:
        watchCalls === undefined ? reader.source : watchedSource(reader.source, watchCalls(reader.source.name, cursor)),
      index,
      log,
      clock,
      meter,
      target: {
        entry: this.#census?.seeing(run.entries[0]!) ?? run.entries[0]!,
        cursor,
        letter: letter => this.#letter(letter),
        drop: reason => this.#drop(reason),
      },
    });
    this.#reading = new Reading({
      source: this.#source,
      router: this.#router,
      counting: this.#counting,
      caution: this.#caution,
      dropped: this.dropped,
      clock,
      through: finishes?.through,
      isRunning: () => this.phase === 'running',
      onRead: () => this.#report(),
      onDone: through => this.#endAfter(through),
      onFailed: error => this.#fail(reader.source.kind === 'kv' ? lostTable(this.name, error) : error),
      land: position => this.#land(position),
    });
  }

  #poison({ operator, cause, change }: PoisonedRecord): void {
    this.#letter(this.#source.letter({ operator, code: cause.code, message: cause.message, bytes: null, change }));
  }

  #letter(letter: Letter): void {
    if (this.#sendsLetters) this.#router.letter(letter);
  }

  #drop(reason: string): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
  }

  get source(): Source {
    return this.#source;
  }

  /** What it has done since it was first deployed; null: not read back yet. */
  get counted(): Counted | null {
    return this.#counting.total(this.#source, this.dropped);
  }

  start(): void {
    this.#open().catch(error => this.#fail(error));
  }

  async #open(): Promise<void> {
    const { plan, around } = this.#options;
    const opened = this.#options.finishes === undefined ? await this.#finished() : await this.#router.open();
    this.#counting.begin(opened.counted);
    const place = { ...(await this.#placeOf(opened)), through: opened.through };
    // Nobody has seen which rows have vanished since those were sent that others have.
    if (opened.place !== null) this.#census?.doubt();
    await this.#census?.look();
    if (this.phase !== 'opening') return;
    // What earlier starts have come to (*in hand*, `journal/attempts.ts`).
    await this.#caution.begin(this.#router.attempts ?? NO_ATTEMPTS);
    this.#reading.begin(opened.place?.position ?? 0);
    if (this.phase !== 'opening') return;
    await this.#source.open(place, () => this.#reading.schedule());
    if (this.#source.mark.base !== place.mark.base) {
      around.observer.emit({ event: 'table.replaced', level: 'warn', pipeline: plan.pipeline, reader: this.name });
    }
    this.#sample();
    // From here on the place is on record, so that a source that starts at the stream's end does so once.
    await this.#router.broadcast();
    if (this.phase !== 'opening') return;
    this.phase = 'running';
    around.observer.emit({
      event: 'reader.opened',
      level: 'info',
      pipeline: plan.pipeline,
      reader: this.name,
      position: place.position,
    });
    this.#tick();
    this.#reading.schedule();
  }

  /** Claims the reader, and opens its channels when nothing of a former program is left to be done. Throws why it cannot be. */
  async #finished(): Promise<Opened> {
    const finished = new Set<number>();
    for (;;) {
      const opened = await this.#router.open();
      const unfinished = this.#router.unfinished(finished);
      if (unfinished === null || this.phase !== 'opening') return opened;
      await this.#finish(unfinished);
      finished.add(unfinished.program.since);
    }
  }

  async #finish({ program, through, routes: certain }: Unfinished): Promise<void> {
    const { around, plan: present, reader: own } = this.#options;
    const plan = await (around.programs ?? ONE_PROGRAM).planOf(program);
    const reader = plan.readers.find(({ name }) => name === this.name);
    const former = reader === undefined ? [] : routesOf(plan, reader);
    if (reader === undefined || !certain.every(route => former.some(isSame(route)))) {
      throw new MillraceError(
        'PROGRAM_MISSING',
        `what is kept as the code of revision ${program.since} does not have reader ${this.name} as it was: ${BEGIN_ANEW}`,
      );
    }
    if (this.phase !== 'opening') return;
    const routes = routesOf(present, own).filter(route => former.some(isSame(route)));
    const about = { pipeline: plan.pipeline, reader: this.name, program: program.since, through };
    around.observer.emit({ event: 'reader.finishing', level: 'info', ...about });
    await new Promise<void>((resolve, reject) => {
      const finishes = { program, through, routes, owner: this.#router.owner };
      const breaker = new Breaker();
      this.#former = new Reader({ plan, reader, around, breaker, finishes, onEnded: reject, onDone: resolve });
      this.#former.start();
    });
    this.#former = null;
  }

  /**
   * What the last frames hold is further than what was counted when it was last told: it is read again, and passed over by
   * the channels, as long as the stream has it.
   */
  async #placeOf(opened: Opened): Promise<SourcePlace> {
    const place = await this.#placeToRead(opened);
    const countedTo = opened.counted?.to ?? Number.POSITIVE_INFINITY;
    if (countedTo >= place.position) return place;
    const { base } = place.mark;
    if (countedTo < base) return place;
    const info = await this.#options.around.log.info(this.#source.spec.stream);
    return info !== null && info.firstSeq + base <= countedTo + 1 ? { ...place, position: countedTo } : place;
  }

  /** A stage that has had nothing yet gets all from the source's start on; what others have had of it they pass over. */
  async #placeToRead({ place, isBegun, through }: Opened): Promise<SourcePlace> {
    if (place !== null && isBegun) return place;
    if (place !== null && this.#census !== null) return readAnew(place, through);
    const first = await this.#source.firstPlace();
    // A source that starts at the stream's end must not pass over what the others have not had.
    return place !== null && place.position < first.position ? place : first;
  }

  #state(): WriterState {
    const { position, bootstrapped } = this.#source;
    const { watermarkMs, clockMs, quietMs } = this.#source.time;
    return { position, watermarkMs, clockMs, quietMs, bootstrapped };
  }

  #sample(): void {
    this.#router.sample(this.#state(), this.counted);
  }

  #tick(): void {
    this.#cancelTick = this.#options.around.clock.after(TICK_MS, () => {
      if (this.phase !== 'running') return;
      this.#source.tick();
      this.#census?.tick();
      this.#sample();
      (this.#caution.isWell(this.#reading) ? this.#caution.sayWell() : this.#router.broadcast()).catch(error =>
        this.#fail(error),
      );
      this.#reading.pump();
      this.#tick();
    });
  }

  #report(): void {
    this.#ends.report({ late: 0, dead: 0, dropped: this.dropped });
    this.#sample();
    this.#router.flush(() => this.#state());
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    if (this.phase === 'stopped' || this.phase === 'failed') return;
    this.phase = 'failed';
    const { plan, around, onEnded } = this.#options;
    around.observer.emit({
      event: 'reader.failed',
      level: fateOfPart(error) === 'retry' ? 'warn' : 'error',
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
    this.#census?.stop();
    this.#router.stop();
    await this.#source.stop();
  }

  /** All that a former program had to do has been read. */
  #endAfter(position: number): void {
    this.phase = 'stopped';
    this.#land(position).then(
      () => this.#close().then(() => this.#options.onDone?.()),
      error => this.#close().then(() => this.#options.onEnded(error)),
    );
  }

  /** Lets all land that was read, and says up to where that is. */
  async #land(position: number): Promise<void> {
    this.#router.flush(() => this.#state());
    await this.#router.landed();
    if (this.#failure !== null) throw this.#failure.error;
    if (this.#router.hasTold(position)) return;
    this.#router.sample({ ...this.#state(), position }, this.counted);
    await this.#router.lastBroadcast();
  }

  /** What was tried is of no interest any more either. */
  async #landLast(): Promise<void> {
    await this.#land(this.#source.position);
    if (this.#router.attempts !== null) await this.#router.tellAttempts(null);
  }

  /**
   * Ends at one position on all channels, if all that was read lands in time; what has not is read again by whoever goes
   * on, and the program that made it is needed then.
   */
  async stop({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    if (this.phase === 'stopped' || this.phase === 'failed') return;
    const wasRunning = this.phase === 'running';
    this.phase = 'stopped';
    await this.#former?.stop({ deadlineMs });
    if (wasRunning) {
      const landing = this.#landLast().catch(error => {
        if (!isMillraceError(error)) throw error;
      });
      await Promise.race([landing, sleep(this.#options.around.clock, deadlineMs)]);
    }
    await this.#close();
  }
}

const NOWHERE: Receiver = { receive() {} };
