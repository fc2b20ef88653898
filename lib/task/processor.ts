/**
 * The processor: the synchronous middle of a task. Records in; a batch's state delta and outbox out. No clock, no
 * broker, no await but to bring back state that is on disk. Everything it does is a function of what it is fed, so it is
 * also what the test driver runs.
 */
import { MillraceError } from '../base/errors.ts';
import { type Change, INSERT } from '../change/change.ts';
import { FrameEncoding } from '../channel/encoding.ts';
import { StageExit } from '../channel/exit.ts';
import { BatchSize } from '../journal/batch-size.ts';
import { LETTERS, type Outbox } from '../journal/outbox.ts';
import type { WatchCalls } from '../operator/call-watch.ts';
import { LetterContents } from '../operator/letter-contents.ts';
import { type Cursor, type LateRecord, newCursor, type PoisonedRecord, type Receiver, Run } from '../operator/run.ts';
import { tablesOf } from '../operator/tables.ts';
import { addressingOf } from '../outlet/addressing.ts';
import { lettersDestination, targetText } from '../outlet/nats/destination.ts';
import type { SinkTarget } from '../outlet/relay.ts';
import { roomIn } from '../port/log.ts';
import type { Store } from '../port/store.ts';
import { type Letter, REASON_LENGTH_MAX } from '../record/letter.ts';
import { lettersStream } from '../record/names.ts';
import { RunningMean } from '../state/size.ts';
import { TaskState } from '../state/state.ts';
import { type Lineage, lineagesOf } from '../topology/lineage.ts';
import type { Plan, StagePlan } from '../topology/plan.ts';
import { trailing } from '../window/watermark.ts';
import { deadLetter, type LetterOptions, lateLetter } from './letters.ts';
import { Outgoing, SinkExit } from './outgoing.ts';
import type { Pace } from './pace.ts';
import type { Slice } from './slice.ts';

const HEADROOM_BYTES = 4096;
/** Operators make so many values in a batch, though a filter leaves nothing of them: others wait while it runs. */
const EMITTED_MAX = 100_000;
/** Values of what is kept that one batch goes through beside its records: some tens of ms. */
const WORKED_MAX = 1_000_000;
/** Adding up the tables costs as much as a small record, so it is done for so many at a time, less one; … */
const LOOK_MASK = 15;
/** … unless batches are so small that it matters. */
const LOOK_ALWAYS_BYTES = 64 << 10;
/** What a letter is taken for that has not got its original yet. */
const PENDING_BYTES = 4096;

export interface ProcessorOptions {
  readonly plan: Plan;
  readonly stage: StagePlan;
  readonly partition: number;
  /** What a message to another stage may be, bytes. */
  readonly messageBytesMax: number;
  /** What a message of a stream may be at present, bytes; absent: the same of all. */
  readonly messageBytesMaxOf?: (stream: string) => number;
  /** A letter about the record in hand with its original bytes, where the surroundings have them at hand. */
  original?(about: Pick<Letter, 'operator' | 'code' | 'message' | 'change'>): Letter;
  /** See `Surroundings`. */
  readonly watchCalls?: WatchCalls | undefined;
  /** With the tables of the stage's program (`tablesOf`); absent: empty. */
  readonly state?: TaskState;
  /** How much a batch may make; absent: anything. */
  readonly pace?: Pace;
  /** How long it may be at work; absent: as long as it takes. */
  readonly slice?: Slice;
  /** What stands before a sink's exit to see its rows with their keys and times. */
  watch?(exit: SinkExit): Receiver;
}

export class Processor {
  readonly state: TaskState;
  readonly cursor: Cursor = newCursor();
  readonly dropped = new Map<string, number>();
  late = 0;
  dead = 0;
  /** Letters are none. */
  rowsOut = 0;
  #run: Run;
  #outgoing: Outgoing;
  #poison: (record: PoisonedRecord) => void;
  #contents: LetterContents;
  #pipeline: string;
  #letterBytesMax: () => number;
  #lineages: ReadonlyMap<string, Lineage>;
  #pending: Letter[] = [];
  #size: BatchSize;
  #pace: Pace | null;
  #slice: Slice | null;
  /** Looks at how much was made, and what the tables had changed at the last one that asked them. */
  #looks = 0;
  #stateBytes = 0;
  /** Rows that the batch will end with, and about how large one is. */
  #owedRows = 0;
  /** See `OperatorContext.worked`. */
  #worked = 0;
  #rowBytes = new RunningMean(128);

  constructor(options: ProcessorOptions) {
    const { plan, stage, partition, messageBytesMax, original, watchCalls, watch, pace } = options;
    const bytesMaxOf = (stream: string | null) =>
      stream === null ? messageBytesMax : (options.messageBytesMaxOf?.(stream) ?? messageBytesMax);
    this.state = options.state ?? new TaskState(tablesOf(stage.program));
    const { cursor } = this;
    const contents = new LetterContents(watchCalls);
    this.#contents = contents;
    this.#pace = pace ?? null;
    this.#slice = options.slice ?? null;
    const size = new BatchSize(pace?.outgrownBytes ?? Number.POSITIVE_INFINITY);
    this.#size = size;
    this.#pipeline = plan.pipeline;
    const letters = lettersStream(plan.pipeline);
    this.#letterBytesMax = () => bytesMaxOf(letters);
    this.#lineages = lineagesOf(plan);
    const poison = ({ operator, cause, value, change }: PoisonedRecord) => {
      const about = aboutLetter(operator, cause, change);
      if (original !== undefined) this.letter(original(about));
      else {
        const { origin } = cursor;
        this.#await({ bytes: contents.of(value, { operator, origin }), origin, index: 0, subject: '', ...about });
      }
    };
    this.#poison = poison;
    const exits = stage.program.exits.map(exit => {
      if (exit.kind === 'channel') {
        const { partitions } = plan.stages.find(candidate => candidate.name === exit.stage)!;
        const route = { stage: exit.stage, input: exit.input };
        return new StageExit({
          route,
          partitions,
          cursor,
          size,
          encoding: new FrameEncoding(exit.stage, watchCalls),
          calls: watchCalls?.(exit.stage, cursor),
          refuse: poison,
        });
      }
      const sink = plan.sinks.find(candidate => candidate.name === exit.sink)!;
      const addressing = addressingOf(sink, partition);
      const rowBytesMax = () => roomIn(bytesMaxOf(addressing.stream), HEADROOM_BYTES);
      return new SinkExit({ sink, addressing, cursor, size, rowBytesMax, refuse: poison, watchCalls });
    });
    this.#outgoing = new Outgoing({
      exits,
      letters: { kind: 'nats', target: targetText(lettersDestination(plan.pipeline)) },
      size,
      frameBytesMax: roomIn(messageBytesMax, HEADROOM_BYTES),
      refuseRecord: (exit, cause, { value, origin, change }) => {
        // The commit is being made: there is no more time to fetch the original.
        const about = aboutLetter(exit.route.stage, cause, change);
        const bytes = contents.of(value, { operator: about.operator, origin });
        this.letter({ bytes, origin, index: 0, subject: '', ...about });
      },
    });
    this.#run = new Run(stage.program, {
      cursor,
      exits: watch === undefined ? exits : exits.map(exit => (exit instanceof SinkExit ? watch(exit) : exit)),
      tables: operator => this.state.tables(operator),
      late: record => this.#late(record),
      poison,
      drop: (_operator, reason) => this.drop(reason),
      pipeline: plan.pipeline,
      resident: () => this.state.resident,
      full: this.full,
      owe: rows => {
        this.#owedRows += rows;
      },
      worked: values => {
        this.#worked += values;
      },
      ...(watchCalls === undefined ? {} : { watchCalls: node => watchCalls(node, cursor) }),
    });
  }

  /** By input of the stage. */
  get entries(): readonly Receiver[] {
    return this.#run.entries;
  }

  /** By exit: how far the event times of what leaves trail the stage's watermark. */
  get exitLagsMs(): readonly number[] {
    return this.#run.exitLagsMs;
  }

  /** Where rows go, letters among them. */
  get targets(): readonly SinkTarget[] {
    return this.#outgoing.blocks;
  }

  /** A letter that came with a frame: of one that a reader made on its way out, the original is still to be fetched. */
  passLetter(letter: Letter): void {
    if (letter.subject === '') this.#await(letter);
    else this.letter(letter);
  }

  #await(letter: Letter): void {
    if (this.#size.outgrown) return;
    this.#size.bytes += PENDING_BYTES + letter.bytes.length;
    this.#pending.push(letter);
  }

  /** The record in hand becomes a letter before any operator has had it. */
  refuse(operator: string, cause: MillraceError, { value, change }: { value: unknown; change: Change }): void {
    this.#poison({ operator, cause, value, change });
  }

  letter(letter: Letter): void {
    this.dead++;
    this.#outgoing.addLetter(deadLetter(this.#pipeline, letter, this.#aboutLetter(letter.operator)), letter);
  }

  #late(record: LateRecord): void {
    this.late++;
    const content = this.#contents.of(record.value, { operator: record.operator, origin: this.cursor.origin });
    const options = { content, ...this.#aboutLetter(record.operator) };
    this.#outgoing.addLetter(lateLetter(this.#pipeline, record, options), this.cursor);
  }

  #aboutLetter(operator: string): LetterOptions {
    return { messageBytesMax: this.#letterBytesMax(), lineage: this.#lineages.get(operator) ?? null };
  }

  /** A record ends here without a result. */
  drop(reason: string): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
  }

  /** After a restart: the watermark that the restored state reflects. */
  resume(watermarkMs: number): void {
    for (const step of this.#run.steps) step.resume(watermarkMs);
  }

  /**
   * Runs what was fed and has not run yet, then moves event time on. False: the batch is full before all has fired that is
   * due at this watermark; the next one, which is fed nothing, goes on with it. Waits only where state has to be read back
   * from the store. From a batch's first record to here nobody may evict: whether it needs the store was settled then.
   */
  execute(watermarkMs: number, store: Store | null): boolean | Promise<boolean> {
    if (store !== null && !this.#run.passes) return this.#executeFromStore(watermarkMs, store);
    let done = true;
    for (const step of this.#run.steps) {
      step.pass();
      done &&= step.advance(watermarkMs);
    }
    this.#run.endBatch(done);
    return done;
  }

  /**
   * Step by step: what a step will touch is known when the one before it has run. What a prefetch brought in stays
   * until the batch is done, so nothing that a step was promised can be evicted before it runs (*held for the batch*,
   * `state/bucket.ts`).
   */
  async #executeFromStore(watermarkMs: number, store: Store): Promise<boolean> {
    let done = true;
    for (const step of this.#run.steps) {
      const wants = this.state.wants();
      step.want(wants);
      // Timers lead to their keys, so what is wanted is asked for until nothing new comes up.
      do if (done) step.wantAdvance(wants, watermarkMs);
      while ((await this.#prefetch(store)) > 0);
      step.pass();
      done &&= step.advance(watermarkMs);
    }
    this.#run.endBatch(done);
    this.state.endBatch();
    return done;
  }

  async #prefetch(store: Store): Promise<number> {
    this.#slice?.rest();
    const fetched = await this.state.prefetch(store);
    this.#slice?.goOn();
    return fetched;
  }

  /** What the operators hold and wait for, between two batches. */
  look(watermarkMs: number) {
    return this.#run.steps.map(step => step.look(watermarkMs));
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Poisoned records whose originals are to be fetched; each must come back by `letter`. */
  takePending(): Letter[] {
    const pending = this.#pending;
    this.#pending = [];
    return pending;
  }

  /** The batch has made what a batch may make, or its slice is over: no more is fed to it, and nothing more fires in it. */
  readonly full = (): boolean => (this.#slice?.isOver() ?? false) || this.hasMadeEnough;

  /** It has made what a batch may make. */
  get hasMadeEnough(): boolean {
    const pace = this.#pace;
    if (pace === null) return false;
    if (this.#run.emitted >= EMITTED_MAX || this.#worked >= WORKED_MAX) return true;
    if ((this.#looks++ & LOOK_MASK) === 0 || pace.bytesMax < LOOK_ALWAYS_BYTES) {
      this.#stateBytes = this.state.deltaBytes;
    }
    const owedBytes = this.#owedRows * this.#rowBytes.value;
    return this.#size.bytes + this.#run.heldBytes + this.#stateBytes + owedBytes > pace.bytesMax;
  }

  /** About how large the commit would be now. */
  get madeBytes(): number {
    return this.#size.bytes + this.state.deltaBytes;
  }

  /**
   * Rows, frames and letters alone are too much for any commit. Where records run as they are fed, it is the last one that
   * has made it so, since the batch was not full before it.
   */
  get hasMadeTooMuch(): boolean {
    return this.#size.outgrown;
  }

  /** The batch in hand is too large for any commit: the task must be dropped. */
  get hasOutgrown(): boolean {
    return this.#size.outgrown || (this.#pace !== null && this.madeBytes > this.#pace.outgrownBytes);
  }

  /**
   * What the batch changed and sends, as commit number `commit`.
   * @param publishedMs when its oldest source message was published, ms since 1970; Infinity: unknown
   */
  take(
    commit: number,
    watermarkMs: number,
    publishedMs = Number.POSITIVE_INFINITY,
  ): { delta: Uint8Array | null; outbox: Outbox } {
    const outbox = this.#outgoing.take(commit, exit => trailing(watermarkMs, this.exitLagsMs[exit]!), publishedMs);
    for (const rows of outbox.rows) {
      if (rows.sink !== LETTERS) this.rowsOut += rows.lengths.length;
      this.#rowBytes.show(rows.bytes.length / rows.lengths.length);
    }
    this.#owedRows = 0;
    this.#worked = 0;
    this.#stateBytes = 0;
    this.#looks = 0;
    try {
      return { delta: this.state.takeDelta(), outbox };
    } catch (cause) {
      if (!(cause instanceof MillraceError) || cause.code !== 'RECORD_UNWRITABLE') throw cause;
      throw new MillraceError(
        'LIMIT_REACHED',
        `a value that the pipeline's own functions made cannot be kept as state: ${cause.message}. Return plain data from map, combine, reduce and process functions.`,
        { cause },
      );
    }
  }
}

/** Who refuses a record and why, and what the record does to its table where it is no insert. */
function aboutLetter(operator: string, { code, message }: MillraceError, change: Change) {
  const about = { operator, code, message: message.slice(0, REASON_LENGTH_MAX) };
  return change === INSERT ? about : { change, ...about };
}
