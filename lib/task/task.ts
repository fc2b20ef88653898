/**
 * The task: one partition of one stage, an actor with one batch in hand. READ `journal/writer.ts` FIRST.
 *
 *   restore, claim ─► send what is not out ─► ┌─ feed ─► execute ─► commit ─► relay ─┐ ─► release
 *                                             └──────────────────────────────────────┘
 *
 * A batch is as large as what waits and as small as what has arrived. While commit N is on its way to the journal, batch
 * N+1 executes; its own append waits for N. Nothing that a batch did is visible before its commit has landed, and if a
 * commit is refused the task is dropped with all its memory, so state is changed in place and never undone.
 *
 * *Under way*: what is due at a watermark may be more than one commit holds. Then commits follow one
 * another without anything being read, and each says the watermark that is wholly fired, which is what the next stages are
 * told, and the one that is under way (`Commit.dueMs`). What has fired is gone from state in the commit that sends it, so
 * whoever restores at the first and advances to the second fires exactly the rest. No record comes between, so none is
 * judged by a watermark that a restart would forget.
 *
 * The loop sleeps until `#wake`, and on waking looks at everything again: a wake-up cannot be lost, whichever of the
 * gates (input, room in the relay, the clock, stop) it came from.
 */
import { fateOfPart, isMillraceError, MillraceError } from '../base/errors.ts';
import type { Commit } from '../journal/entry.ts';
import { bytesOf, isEmpty, type Outbox } from '../journal/outbox.ts';
import { JournalWriter } from '../journal/writer.ts';
import { addDropped, type Counts, NO_COUNTS } from '../observe/counts.ts';
import { errorFields } from '../observe/events.ts';
import { EndsReporter } from '../observe/meter.ts';
import { TraceCollector } from '../observe/tracing.ts';
import { tablesOf } from '../operator/tables.ts';
import type { StageRoute } from '../outlet/next-stages.ts';
import { Relay } from '../outlet/relay.ts';
import type { Store } from '../port/store.ts';
import { channelsStream, journalStream, journalSubject, stateLocation } from '../record/names.ts';
import { sourceOfOrigin } from '../record/origin.ts';
import { Checkpoints } from '../replica/checkpoint.ts';
import type { Place } from '../replica/place.ts';
import { Replica } from '../replica/replica.ts';
import type { Source } from '../source/source.ts';
import type { SourceSpec } from '../source/spec.ts';
import type { Checkpoint } from '../state/checkpoint.ts';
import type { StateLook } from '../state/look.ts';
import { TaskState } from '../state/state.ts';
import { taskPart } from '../topology/parts.ts';
import { type Plan, type StagePlan, sourcesOf } from '../topology/plan.ts';
import type { Voice } from '../window/watermark.ts';
import { type Breaker, deadly } from './breaker.ts';
import type { Share } from './budget.ts';
import { Caution } from './caution.ts';
import { DirectInput } from './direct-input.ts';
import { Feeding, type NextRecord } from './feeding.ts';
import { inputsOf } from './inputs.ts';
import { Looks } from './looks.ts';
import { Originals } from './original.ts';
import type { Pace } from './pace.ts';
import { Processor } from './processor.ts';
import { Rhythm } from './rhythm.ts';
import { Slice } from './slice.ts';
import type { Surroundings, TaskLimits } from './surroundings.ts';

export interface TaskOptions {
  readonly plan: Plan;
  readonly stage: StagePlan;
  readonly partition: number;
  readonly around: Surroundings;
  readonly limits: TaskLimits;
  /** Its share of the worker's memory; the task says how much it uses. */
  readonly share: Share;
  /** Outlives the task. */
  readonly pace: Pace;
  /** As the pace. */
  readonly breaker: Breaker;
  /** The task's replica, to be taken over; absent: it begins with an empty one. */
  readonly replica?: Replica | undefined;
  /** The task has ended by itself; the error's fate says what next. */
  onEnded(error: unknown): void;
}

/** `fenced`: a newer owner has it. `failed`: it ended with an error that its owner judges. */
export type TaskPhase =
  | 'claiming'
  | 'restoring'
  | 'relaying'
  | 'running'
  | 'stopping'
  | 'stopped'
  | 'fenced'
  | 'failed';

/** What goes with a commit and is not in it. */
interface AboutCommit {
  /** Publish time of its oldest source message; Infinity: unknown. */
  readonly publishedMs: number;
  readonly records: number;
  readonly traced: ReturnType<TraceCollector['take']>;
  readonly checkpoint: Checkpoint | null;
}

const NOTHING_ABOUT: AboutCommit = {
  publishedMs: Number.POSITIVE_INFINITY,
  records: 0,
  traced: null,
  checkpoint: null,
};

const TICK_MS = 100;

/** What is in hand, as the journal says it. */
function placeText(next: NextRecord | null, dueMs: number): string {
  return next === null ? `due ${dueMs}` : `${next.input.name} ${next.place.seq} ${next.place.row}`;
}

export class Task {
  readonly stage: string;
  readonly partition: number;
  readonly journal: JournalWriter;
  readonly processor: Processor;
  phase: TaskPhase = 'claiming';
  #recordsCommitted = 0;
  #options: TaskOptions;
  #around: Surroundings;
  #sources: readonly SourceSpec[];
  #feeding: Feeding;
  #routes: readonly StageRoute[];
  #checkpoints: Checkpoints;
  #replica: Replica;
  /** It was followed here before. */
  readonly #isWarm: boolean;
  /** How far the task is, as of the last commit that has landed. */
  #place: Place | null = null;
  /** What former owners had done. */
  #before: Counts = NO_COUNTS;
  #relay: Relay | null = null;
  #isRelayOpen = false;
  #store: Store | null = null;
  /** All that is due at it has fired. */
  #watermarkMs = Number.NEGATIVE_INFINITY;
  /** The last batch was full before all had fired that is due: nothing is read before it has. */
  #hasMoreDue = false;
  #inFlight: Promise<void> = Promise.resolve();
  /** Commits handed to the journal; the last may be in flight. */
  #commits = 0;
  #rhythm = new Rhythm();
  readonly #slice: Slice;
  readonly #caution: Caution;
  readonly #originals = new Originals();
  /** The last commit that sends anything. */
  #lastSending = 0;
  #ends: EndsReporter;
  /** Traces read since the last commit was made; null: nobody traces. */
  #traced: TraceCollector | null;
  #looks: Looks;
  #signal = false;
  #resolveWake: (() => void) | null = null;
  #stopping = false;
  /** Stopped before it ran. */
  #isLeft = false;
  #failure: { error: unknown } | null = null;
  #cancelTick: (() => void) | null = null;
  #ended: Promise<void> | null = null;

  constructor(options: TaskOptions) {
    const { plan, stage, partition, around } = options;
    const { deployment, revision, assignment, log, clock, random, meter, observer } = around;
    this.#ends = new EndsReporter(meter);
    this.#slice = new Slice(clock);
    this.#traced = around.tracing === undefined ? null : new TraceCollector(() => clock.now());
    this.stage = stage.name;
    this.partition = partition;
    this.#options = options;
    this.#around = around;
    this.#sources = sourcesOf(plan);
    const place = { stage: stage.name, partition };
    const subject = journalSubject(deployment, place);
    const stream = journalStream(deployment);
    this.journal = new JournalWriter({ log, clock, random, stream, subject, revision, assignment });
    this.#caution = new Caution({
      breaker: options.breaker,
      about: { pipeline: plan.pipeline, part: taskPart(place) },
      around,
      say: async hand => {
        await this.#landed();
        await this.journal.takeInHand(hand);
      },
    });
    this.#checkpoints = new Checkpoints({
      blobs: around.blobs,
      clock,
      random,
      prefix: stateLocation(deployment, place),
      turns: around.checkpointTurns,
      onFailed: error => this.#fail(error),
      onWritten: ({ bytes, tookMs }) => {
        observer.emit({ event: 'task.checkpointed', level: 'debug', pipeline: plan.pipeline, ...place, bytes, tookMs });
      },
    });
    this.#isWarm = options.replica !== undefined;
    this.#replica =
      options.replica ??
      new Replica({
        ...{ log, clock, random, stream, subject },
        stores: around.stores,
        location: stateLocation(deployment, place),
        snapshots: this.#checkpoints.snapshots,
        state: new TaskState(tablesOf(stage.program)),
        stateBytesMax: options.limits.stateBytesMax,
        standsAlone: around.standsAlone ?? false,
      });
    const channels = stage.program.exits.flatMap(exit =>
      exit.kind === 'channel' ? [channelsStream(deployment, exit)] : [],
    );
    this.processor = new Processor({
      plan,
      stage,
      partition,
      messageBytesMax: Math.min(log.messageBytesMax, ...channels.map(one => log.messageBytesMaxOf(one))),
      messageBytesMaxOf: one => log.messageBytesMaxOf(one),
      watchCalls: around.watchCalls,
      pace: options.pace,
      slice: this.#slice,
      state: this.#replica.state,
      ...(around.seal === undefined ? {} : { seal: around.seal }),
      ...(stage.direct === null ? {} : { original: about => this.source!.letter({ bytes: null, ...about }) }),
    });
    const traced = this.#traced;
    const inputs = inputsOf(options, this.processor, {
      failed: error => this.#fail(error),
      traced: traced === null ? undefined : trace => traced.add(trace),
      pace: options.pace,
    });
    this.#feeding = new Feeding(inputs);
    this.#looks = new Looks(this.processor.state.look);
    this.#routes = stage.program.exits.flatMap((exit, index) => {
      const lagMs = this.processor.exitLagsMs[index]!;
      if (exit.kind !== 'channel') return [];
      const { partitions } = plan.stages.find(candidate => candidate.name === exit.stage)!;
      return [{ stage: exit.stage, input: exit.input, partitions, lagMs }];
    });
  }

  get name(): string {
    return `${this.#options.plan.pipeline}/${this.stage}/${this.partition}`;
  }

  get watermarkMs(): number {
    return this.#watermarkMs;
  }

  /** The source or stage that event time waits for here, when others are further; null: none in particular. */
  get waitsFor(): Voice | null {
    return this.phase === 'running' ? this.#feeding.waitsFor : null;
  }

  /** The source that this task reads itself, rather than from a reader; null: none. */
  get source(): Source | null {
    const input = this.#feeding.inputs[0];
    return input instanceof DirectInput ? input.source : null;
  }

  get recordsIn(): number {
    return this.#feeding.records;
  }

  /** What it has done since its journal began: rows as they go out, the rest as it happens; null: not read back yet. */
  get counts(): Counts | null {
    if (this.#relay === null) return null;
    return { ...this.#counts(), out: this.#place!.counts.out - this.#relay.waitingRows };
  }

  #counts(): Counts {
    const before = this.#before;
    const { late, dead, dropped, rowsOut } = this.processor;
    return {
      in: before.in + this.recordsIn,
      out: before.out + rowsOut,
      late: before.late + late,
      dead: before.dead + dead,
      dropped: addDropped(before.dropped, dropped),
    };
  }

  get backlogBytes(): number {
    return this.#relay?.backlogBytes ?? 0;
  }

  /** What no cut of the journal has dropped yet. */
  get uncut(): { readonly bytes: number; readonly commits: number } {
    return this.#checkpoints.uncut;
  }

  /** Runs the task until it is stopped or ends by itself. */
  start(): void {
    this.#ended = this.#live().catch(error => this.#end(error));
  }

  async #live(): Promise<void> {
    await this.#take();
    this.phase = 'running';
    this.#tick();
    await this.#loop();
    await this.#handOver();
  }

  /**
   * Restore, claim, and send what a former owner has left: then there is nothing of the past to think of. What there is to
   * restore is restored before the claim, since from then on until we run nobody does.
   */
  async #take(): Promise<void> {
    const { plan, stage, partition, around } = this.#options;
    const { deployment, log, clock, random, observer, meter } = around;
    const sinceMs = clock.monotonic();
    await this.journal.look();
    this.phase = 'restoring';
    await this.#replica.catchUp();
    await this.journal.claim(this.#replica.begin);
    const restored = await this.#replica.complete(this.journal);
    const { store, place } = restored;
    const { unsent, positions, dueMs } = place;
    this.#store = store;
    this.#place = place;
    this.journal.adopt(restored.cutSteps);
    this.#checkpoints.resume(restored);
    const { state } = this.processor;
    if (restored.held !== null) {
      this.#checkpoints.takeUp(restored.held, { state, store, epoch: this.journal.epoch });
    }
    this.#before = place.counts;
    this.#watermarkMs = place.watermarkMs;
    this.#hasMoreDue = dueMs > place.watermarkMs;
    this.#feeding.resume(dueMs);
    this.#commits = this.journal.commit;
    this.processor.resume(place.watermarkMs);
    this.phase = 'relaying';
    this.#relay = new Relay({
      deployment,
      stage: stage.name,
      partition,
      routes: this.#routes,
      targets: this.processor.targets,
      kinds: around.outlets,
      sender: { task: this.name, life: deployment.life, sourceStreams: this.#sources.map(source => source.stream) },
      log,
      clock,
      random,
      tails: place.tails,
      relayedThrough: place.relayedThrough,
      past: {
        inheritedTo: this.#commits,
        inheritedFromMs: unsent[0]?.timeMs ?? Number.NEGATIVE_INFINITY,
        confirm: () => this.journal.confirm(),
      },
      onProgress: () => this.#wake(),
      onFailed: error => this.#fail(error),
      meter,
      tracing: around.tracing,
    });
    for (const { commit, outbox, watermarkMs } of unsent) this.#send(commit, outbox, watermarkMs);
    this.#openRelay(this.#relay);
    while (!this.#isRelayed) await this.#woken();
    const isNew = await this.#feeding.open({ positions, watermarkMs: dueMs }, () => this.#wake());
    await this.#caution.begin(restored.attempts);
    this.#checkFailure();
    if (isNew) await this.#begin();
    this.#rhythm.restart(clock.monotonic());
    observer.emit({
      event: 'task.restored',
      level: 'info',
      pipeline: plan.pipeline,
      stage: stage.name,
      partition,
      epoch: this.journal.epoch,
      commits: this.journal.commit,
      commitsReplayed: restored.replayed,
      entries: this.processor.state.entries,
      from: restored.from,
      warm: this.#isWarm,
      tookMs: Math.round(clock.monotonic() - sinceMs),
    });
  }

  /** Where a source begins that is read from now on is decided once: it is journaled before anybody is told that we run. */
  async #begin(): Promise<void> {
    this.#rhythm.hurry();
    await this.#commitIfNeeded();
    await this.#landed();
  }

  #openRelay(relay: Relay): void {
    relay.open().then(
      () => {
        this.#isRelayOpen = true;
        this.#wake();
      },
      error => this.#fail(error),
    );
  }

  /** All destinations fit the journal, and all that it says is sent. Before that nothing may be committed. */
  get #isRelayed(): boolean {
    return this.#isRelayOpen && this.#relay!.relayedThrough >= this.#commits;
  }

  #send(commit: number, outbox: Outbox, watermarkMs: number, publishedMs?: number): void {
    if (!isEmpty(outbox)) this.#lastSending = commit;
    this.#relay!.send(commit, outbox, watermarkMs, publishedMs);
  }

  async #loop(): Promise<void> {
    const { limits } = this.#options;
    const { full } = this.processor;
    const feed = { recordsMax: limits.batchRecordsMax, bytesMax: limits.batchBytesMax, full };
    while (!this.#stopping) {
      const hasRoom = this.#relay!.backlogBytes < limits.relayBytesMax;
      if (this.#caution.isCareful) {
        if (hasRoom && (await this.#takeInHand())) continue;
        if (this.#isQuietCommitDue()) await this.#commitIfNeeded();
        await this.#rest();
        continue;
      }
      this.#slice.begin();
      const hasFed = hasRoom && !this.#hasMoreDue && this.#feeding.feed(feed);
      const hasDue = this.#hasMoreDue ? hasRoom : this.#feeding.moveWatermark();
      if (hasFed || hasDue) {
        const executing = this.#execute(this.#feeding.dueMs, hasFed);
        // Nothing is awaited that need not be: with each `await` all other tasks come in between.
        if (executing !== null) await executing;
      }
      const isLong = this.#slice.end();
      if (hasFed || hasDue || this.#isQuietCommitDue()) await this.#commitIfNeeded();
      if (!hasFed && !(hasDue && this.#hasMoreDue)) await this.#rest();
      else if (this.#looks.waits) await this.#showState();
      else if (this.#hasMoreDue || isLong) await this.#turn();
    }
    await this.#landed();
  }

  /** There is nothing to do until something wakes us. */
  async #rest(): Promise<void> {
    if (this.#isWell) await this.#caution.sayWell();
    if (this.#looks.waits) await this.#showState();
    await this.#woken();
  }

  get #isWell(): boolean {
    return this.#caution.isWell({ hasRead: this.recordsIn > 0 });
  }

  /** Runs what was fed, and moves event time on. Null: it is done already. */
  #execute(watermarkMs: number, hasFed: boolean): Promise<void> | null {
    if (hasFed && this.processor.hasMadeTooMuch) this.#refuseLast();
    const byRecord = hasFed && this.processor.hasMadeEnough;
    const executing = this.processor.execute(watermarkMs, this.#store);
    if (typeof executing !== 'boolean') {
      return executing.then(async done => {
        await this.#executed(watermarkMs, { done, byRecord });
      });
    }
    return this.#executed(watermarkMs, { done: executing, byRecord });
  }

  #executed(watermarkMs: number, { done, byRecord }: { done: boolean; byRecord: boolean }): Promise<void> | null {
    if (done) this.#watermarkMs = watermarkMs;
    this.#hasMoreDue = !done;
    if (!this.processor.hasPending) return this.#judgeBatch(byRecord);
    this.#slice.rest();
    return this.#settleLetters().then(() => {
      this.#slice.goOn();
      this.#judgeBatch(byRecord);
    });
  }

  #judgeBatch(byRecord: boolean): null {
    if (this.processor.hasOutgrown) this.#dropBatch(byRecord);
    this.#options.pace.made(this.processor.madeBytes);
    return null;
  }

  /**
   * Takes one record or a few, or what is due by now, and has it committed, having said so before (*in hand*). Records and
   * what is due by them are never in hand together, or one would be blamed for the other. False: there is nothing.
   */
  async #takeInHand(): Promise<boolean> {
    const hasDue = this.#hasMoreDue || this.#feeding.moveWatermark();
    const next = hasDue ? null : this.#feeding.next();
    if (!hasDue && next === null) {
      // Says what ended an input, if something has.
      this.#feeding.feed({ recordsMax: 1, bytesMax: 1, full: () => true });
      return false;
    }
    await this.#caution.hold(placeText(next, this.#feeding.dueMs), {
      records: next !== null,
      work: async isDeadly => {
        if (isDeadly) this.#giveUp(next);
        this.#slice.begin();
        if (next !== null) this.#feedFew(next);
        const executing = this.#execute(next === null ? this.#feeding.dueMs : this.#watermarkMs, next !== null);
        if (executing !== null) await executing;
        if (next !== null && !this.#hasMoreDue) this.#hasMoreDue = this.#feeding.moveWatermark();
        this.#rhythm.hurry();
        await this.#commitIfNeeded();
        await this.#landed();
      },
    });
    if (this.#looks.waits) await this.#showState();
    return true;
  }

  /** What is committed has landed. */
  async #landed(): Promise<void> {
    await this.#inFlight;
    this.#checkFailure();
  }

  #feedFew(next: NextRecord): void {
    const { rows } = this.#caution.breaker;
    if (rows === 1) return this.#feeding.feedOne(next);
    let left = rows;
    const full = () => --left <= 0 || this.processor.full();
    this.#feeding.feed({ recordsMax: rows, bytesMax: this.#options.limits.batchBytesMax, full });
  }

  /** The record becomes a letter before anybody's code has it. What is due cannot. */
  #giveUp(next: NextRecord | null): void {
    if (next === null) {
      const text = `task ${this.name}: ${deadly('what is due').message}, a window, a timer or an unmatched record. Mend its functions, or make less of it, and deploy again.`;
      throw new MillraceError('LIMIT_REACHED', text);
    }
    const { input, place } = next;
    const why = this.#caution.deadly('this record', { input: input.name, sequence: place.seq });
    this.#options.pace.refuse(input.name, place, why);
  }

  /** What is due may take many batches, and what is slow: all others have their turn between two of them. */
  #turn(): Promise<void> {
    return new Promise(resolve => this.#around.clock.soon(resolve));
  }

  /**
   * Has `read` look at the state between two batches, once all that was executed is committed. It holds the task up, so
   * it must be short. Throws what it throws, and WORKER_UNAVAILABLE while the task does not run.
   */
  look<T>(read: (look: StateLook, store: Store) => Promise<T>): Promise<T> {
    const refusal = () =>
      new MillraceError('WORKER_UNAVAILABLE', `task ${this.name} is ${this.phase}; try again when it runs`);
    if (this.phase !== 'running') return Promise.reject(refusal());
    const looking = this.#looks.ask(read, refusal);
    this.#wake();
    return looking;
  }

  async #showState(): Promise<void> {
    await this.#landed();
    await this.#looks.show(this.#store!);
  }

  /**
   * The batch is more than a commit holds: all that it did to state is dropped with the task, and done again more slowly,
   * until it is certain which record is to blame. One that fires of itself has none, and then only a person can help.
   */
  #dropBatch(byRecord: boolean): never {
    const { pace, limits } = this.#options;
    if (pace.isLeast) {
      if (byRecord) this.#refuseLast();
      else {
        throw new MillraceError(
          'LIMIT_REACHED',
          `${this.name}: what one window, session, timer or unmatched record makes is more than recordBytesMax (${limits.recordBytesMax}) allows. Make less of it, and deploy again.`,
        );
      }
    }
    pace.slowDown();
    throw this.#outgrown();
  }

  /** The record that was fed last is the one: next time it becomes a letter before any operator has it. */
  #refuseLast(): never {
    const { input, place } = this.#feeding.last!;
    const text = 'what this record makes is more than recordBytesMax allows: split it, or make less of it';
    this.#options.pace.refuse(input, place, new MillraceError('LIMIT_REACHED', text));
    throw this.#outgrown();
  }

  #outgrown(): MillraceError {
    const { pace } = this.#options;
    return new MillraceError(
      'BATCH_OUTGROWN',
      `${this.name}: a batch made more than ${pace.outgrownBytes} bytes; it is done again in smaller ones`,
    );
  }

  /** Letters of records that failed here are given the bytes of the source message, while it still exists. */
  async #settleLetters(): Promise<void> {
    for (const pending of this.processor.takePending()) {
      const source = this.#sources[sourceOfOrigin(pending.origin)];
      this.processor.letter(await this.#originals.fetch(pending, source ?? null, this.#around.log));
    }
    this.#originals.forget();
  }

  #isQuietCommitDue(): boolean {
    const toSay = {
      watermarkMs: this.#watermarkMs,
      relayedThrough: this.#relay!.relayedThrough,
      lastSending: this.#lastSending,
      feeding: this.#feeding,
      isRouted: this.#routes.length > 0,
      hasNewRecords: this.recordsIn > this.#recordsCommitted,
    };
    return this.#rhythm.isDue(toSay, this.#around.clock.monotonic());
  }

  /** Makes a commit of what has happened since the last, if it changed or sends anything, or it is time to. */
  async #commitIfNeeded(): Promise<void> {
    const number = this.#commits + 1;
    const watermarkMs = this.#watermarkMs;
    const publishedMs = this.#feeding.takePublishedMs();
    const { delta, outbox } = this.processor.take(number, watermarkMs, publishedMs);
    if (delta === null && isEmpty(outbox) && !this.#isQuietCommitDue()) return;
    this.#commits = number;
    const positions = this.#feeding.positions();
    const counts = this.#counts();
    // Taken at this boundary, before the next batch changes anything.
    const { state } = this.processor;
    const commitBytes = (delta?.length ?? 0) + bytesOf(outbox);
    const checkpoint = this.#checkpoints.begin({ state, commitBytes, limits: this.#options.limits });
    await this.#landed();
    const traced = this.#traced?.take() ?? null;
    const records = this.recordsIn - this.#recordsCommitted;
    this.#recordsCommitted = this.recordsIn;
    const content = { positions, watermarkMs, dueMs: this.#feeding.dueMs, delta, outbox, counts };
    this.#inFlight = this.#append(number, content, { publishedMs, checkpoint, traced, records }).catch(error =>
      this.#fail(error),
    );
    this.#evict();
  }

  /** Keeps within the task's share of memory, which may have become less. */
  #evict(): void {
    const { state } = this.processor;
    const { share, limits } = this.#options;
    share.stateBytes = state.bytes;
    const { stateBytesMax } = limits;
    if (share.stateBytes > stateBytesMax) state.evict(stateBytesMax);
  }

  #tell(commit: number, { traces, sinceMs }: { traces: readonly string[]; sinceMs: number }, records: number): void {
    const { plan, around, stage, partition } = this.#options;
    const about = { pipeline: plan.pipeline, stage: stage.name, partition, commit, traces, records };
    around.tracing?.processed({ startMs: sinceMs, endMs: around.clock.now(), ...about });
  }

  async #append(
    number: number,
    content: Pick<Commit, 'positions' | 'watermarkMs' | 'dueMs' | 'delta' | 'outbox' | 'counts'>,
    { publishedMs, records, traced, checkpoint }: AboutCommit,
  ): Promise<void> {
    const { clock, meter } = this.#around;
    const relay = this.#relay!;
    const relayedThrough = relay.relayedThrough;
    const snapshot = this.#checkpoints.announce(relayedThrough);
    const sinceMs = clock.monotonic();
    const { watermarkMs, outbox } = content;
    const place = this.#place!;
    // From here on, and not when it has landed: or a task that wakes meanwhile would say the same again.
    this.#rhythm.said({ watermarkMs, relayedThrough, positions: content.positions }, sinceMs);
    const commit: Commit = {
      epoch: this.journal.epoch,
      commit: number,
      relayedThrough,
      tails: relay.takeTails(),
      snapshot: snapshot?.manifest.commitSeq ?? 0,
      isCheckpoint: checkpoint !== null,
      // Last: what is added to a spread makes a hidden class for each commit.
      ...content,
    };
    const landed = await this.journal.append(commit);
    place.take(commit);
    meter.committed(this, clock.monotonic() - sinceMs);
    this.#ends.report(this.processor);
    this.#send(number, outbox, watermarkMs, publishedMs);
    this.#feeding.committed(content.positions);
    if (snapshot !== null) this.#checkpoints.cut(snapshot, this.journal);
    if (traced !== null) this.#tell(number, traced, records);
    if (checkpoint !== null) {
      const pointer = { epoch: this.journal.epoch, commit: number, seq: landed.lastSeq, crc: landed.crc };
      const { state } = this.processor;
      this.#checkpoints.finish(checkpoint, pointer, { state, store: this.#store!, place: place.toParts() });
    }
  }

  #tick(): void {
    this.#cancelTick = this.#around.clock.after(TICK_MS, () => {
      if (this.#stopping) return;
      this.#feeding.tick();
      // All else that there may be to do has its own wake-up.
      if (this.#isQuietCommitDue() || this.#isWell) this.#wake();
      this.#tellNext();
      this.#tick();
    });
  }

  /** Tells the next stages, if there are any. */
  #tellNext(): void {
    if (this.#routes.length === 0) return;
    this.#relay!.tell(this.#feeding.silence).catch(error => this.#fail(error));
  }

  #wake(): void {
    this.#signal = true;
    this.#resolveWake?.();
    this.#resolveWake = null;
  }

  async #woken(): Promise<void> {
    if (!this.#signal) {
      await new Promise<void>(resolve => {
        this.#resolveWake = resolve;
      });
    }
    this.#signal = false;
    this.#checkFailure();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  #checkFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /**
   * Nothing that was promised is left half done: what is committed is sent, and the journal says so. What can be left is:
   * a checkpoint, a cut.
   */
  async #handOver(): Promise<void> {
    this.phase = 'stopping';
    const relay = this.#relay!;
    this.#checkpoints.leave();
    while (!this.#isRelayed) await this.#woken();
    const { delta, outbox } = this.processor.take(this.#commits + 1, this.#watermarkMs);
    this.#commits++;
    const time = { watermarkMs: this.#watermarkMs, dueMs: this.#feeding.dueMs };
    const content = { positions: this.#feeding.positions(), delta, outbox, counts: this.#counts(), ...time };
    await this.#append(this.#commits, content, NOTHING_ABOUT);
    while (relay.relayedThrough < this.#commits) await this.#woken();
    await this.journal.release();
    await this.#close();
    this.phase = 'stopped';
  }

  async #end(thrown: unknown): Promise<void> {
    if (this.#isLeft) {
      this.phase = 'stopped';
      return this.#close();
    }
    const error = await this.#judged(thrown);
    this.phase = isMillraceError(error) && error.fate === 'fence' ? 'fenced' : 'failed';
    const { plan, stage, partition, around, onEnded } = this.#options;
    const fate = fateOfPart(error);
    around.observer.emit({
      event: this.phase === 'fenced' ? 'task.fenced' : 'task.failed',
      level: fate === 'retry' || fate === 'fence' ? 'warn' : 'error',
      pipeline: plan.pipeline,
      stage: stage.name,
      partition,
      ...errorFields(error),
    });
    // Whoever waits for its end hears of it, though something does not close: that is of less use than why it ended.
    await this.#close().catch(() => {});
    onEnded(error);
  }

  /**
   * What does not fit together may be the work of an owner after us: it reads on, and drops what it has read, while we know
   * nothing of it. So nobody is alarmed before the journal has said that we own the task still. Restoring asks it by itself.
   */
  async #judged(error: unknown): Promise<unknown> {
    if (!isMillraceError(error) || error.fate !== 'stop') return error;
    if (this.phase === 'claiming' || this.phase === 'restoring') return error;
    try {
      await this.journal.confirm();
      return error;
    } catch (cause) {
      return cause;
    }
  }

  async #close(): Promise<void> {
    this.#cancelTick?.();
    this.#looks.refuse();
    this.#relay?.stop();
    this.journal.stop();
    // The store is closed whatever else is not, or nobody could open it again.
    try {
      await this.#replica.stop();
      await this.#checkpoints.stop();
      await this.#feeding.stop();
    } finally {
      const store = this.#store;
      this.#store = null;
      await store?.close();
    }
  }

  /**
   * Stops softly; after `deadlineMs` hard, and then the next owner recovers from the journal. A task that does not run yet
   * has done nothing: whoever follows it finds what it found, and need not wait until it has gone through all of that.
   */
  async stop({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    if (this.#ended === null) return;
    this.#stopping = true;
    this.#isLeft = this.phase === 'claiming' || this.phase === 'restoring' || this.phase === 'relaying';
    if (this.#isLeft) this.abandon();
    this.#wake();
    const cancel = this.#around.clock.after(deadlineMs, () => this.abandon());
    await this.#ended;
    cancel();
  }

  /** Ends at once, whatever is under way. */
  abandon(): void {
    this.#relay?.stop();
    this.journal.stop();
    this.#replica.leave();
    // What it was at passes to whoever comes next.
    this.#fail(new MillraceError('BROKER_UNAVAILABLE', `task ${this.name} was stopped before it was done`));
  }
}
