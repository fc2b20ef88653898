/**
 * The processor: the synchronous middle of a task. Records in; a batch's state delta and outbox out. No clock, no
 * broker, no await but to bring back state that is on disk. Everything it does is a function of what it is fed, so it is
 * also what the test driver runs.
 */
import { MillraceError } from '../base/errors.ts';
import { lettersDestination } from '../commit/destination.ts';
import type { Outbox } from '../commit/outbox.ts';
import type { SinkTarget } from '../commit/relay.ts';
import type { GripOn } from '../operator/hand.ts';
import { type Cursor, type LateRecord, newCursor, type PoisonedRecord, type Receiver, Run } from '../operator/run.ts';
import type { Store } from '../port/store.ts';
import { type Letter, REASON_LENGTH_MAX } from '../record/frame.ts';
import { readable } from '../record/output.ts';
import { TaskState } from '../state/state.ts';
import { type Lineage, lineagesOf } from '../topology/lineage.ts';
import type { Plan, StagePlan } from '../topology/plan.ts';
import { trailing } from '../window/watermark.ts';
import { deadLetter, lateLetter } from './letters.ts';
import { Outgoing, SinkExit, StageExit } from './outgoing.ts';

const HEADROOM_BYTES = 4096;

export interface ProcessorOptions {
  readonly plan: Plan;
  readonly stage: StagePlan;
  readonly partition: number;
  readonly messageBytesMax: number;
  /** A letter about the record in hand with its original bytes, where the surroundings have them at hand. */
  original?(options: { operator: string; code: string; message: string }): Letter;
  /** See `Surroundings`. */
  readonly grip?: GripOn | undefined;
  /** What stands before a sink's exit to see its rows with their keys and times. */
  watch?(exit: SinkExit): Receiver;
}

export class Processor {
  readonly state = new TaskState();
  readonly cursor: Cursor = newCursor();
  readonly dropped = new Map<string, number>();
  late = 0;
  dead = 0;
  rowsOut = 0;
  #run: Run;
  #outgoing: Outgoing;
  #pipeline: string;
  #letterBytesMax: number;
  #lineages: ReadonlyMap<string, Lineage>;
  #pending: Letter[] = [];

  constructor(options: ProcessorOptions) {
    const { plan, stage, partition, messageBytesMax, original, grip, watch } = options;
    const { cursor } = this;
    this.#pipeline = plan.pipeline;
    this.#letterBytesMax = messageBytesMax - HEADROOM_BYTES;
    this.#lineages = lineagesOf(plan);
    const poison = ({ operator, cause, value }: PoisonedRecord) => {
      const about = { operator, code: cause.code, message: cause.message.slice(0, REASON_LENGTH_MAX) };
      if (original !== undefined) this.letter(original(about));
      else this.#pending.push({ bytes: readable(value), origin: cursor.origin, index: 0, subject: '', ...about });
    };
    const exits = stage.program.exits.map(exit => {
      if (exit.kind === 'channel') {
        const { partitions } = plan.stages.find(candidate => candidate.name === exit.stage)!;
        const route = { stage: exit.stage, input: exit.input };
        return new StageExit({ route, partitions, cursor });
      }
      const sink = plan.sinks.find(candidate => candidate.name === exit.sink)!;
      const refuse = (name: string, cause: MillraceError, value: unknown) => poison({ operator: name, cause, value });
      return new SinkExit({ sink, partition, cursor, rowBytesMax: messageBytesMax - HEADROOM_BYTES, refuse });
    });
    this.#outgoing = new Outgoing({
      exits,
      letters: lettersDestination(plan.pipeline),
      frameBytesMax: messageBytesMax - HEADROOM_BYTES,
      refuseRecord: (exit, cause, value, origin) => {
        // The commit is being made: there is no more time to fetch the original.
        const about = {
          operator: exit.route.stage,
          code: cause.code,
          message: cause.message.slice(0, REASON_LENGTH_MAX),
        };
        this.letter({ bytes: readable(value), origin, index: 0, subject: '', ...about });
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
      ...(grip === undefined ? {} : { grip: node => grip(node, cursor) }),
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
    if (letter.subject === '') this.#pending.push(letter);
    else this.letter(letter);
  }

  letter(letter: Letter): void {
    this.dead++;
    const lineage = this.#lineages.get(letter.operator) ?? null;
    const about = { bytesMax: this.#letterBytesMax, lineage };
    const { subject, bytes, headers } = deadLetter(this.#pipeline, letter, about);
    this.#outgoing.addLetter(subject, bytes, headers, letter);
  }

  #late(record: LateRecord): void {
    this.late++;
    const { subject, bytes, headers } = lateLetter(this.#pipeline, record, this.#letterBytesMax);
    this.#outgoing.addLetter(subject, bytes, headers, this.cursor);
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
   * Runs what was fed and has not run yet, then moves event time on. Waits only where state has to be read back from the
   * store. From a batch's first record to here nobody may evict: whether it needs the store was settled then.
   */
  execute(watermarkMs: number, store: Store | null): void | Promise<void> {
    if (store !== null && !this.#run.passes) return this.#executeFromStore(watermarkMs, store);
    for (const step of this.#run.steps) step.execute(watermarkMs);
    this.#run.endBatch();
  }

  /**
   * Step by step: what a step will touch is known when the one before it has run. What a prefetch brought in stays
   * until the batch is done, so nothing that a step was promised can be evicted before it runs (invariant G).
   */
  async #executeFromStore(watermarkMs: number, store: Store): Promise<void> {
    for (const step of this.#run.steps) {
      const wants = this.state.wants();
      step.want(wants);
      // Timers lead to their keys, so what is wanted is asked for until nothing new comes up.
      do step.wantAdvance(wants, watermarkMs);
      while ((await this.state.prefetch(store)) > 0);
      step.execute(watermarkMs);
    }
    this.state.endBatch();
    this.#run.endBatch();
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

  /** About how large the commit would be now. */
  get pendingBytes(): number {
    return this.state.deltaBytes;
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
    for (const rows of outbox.rows) this.rowsOut += rows.lengths.length;
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
