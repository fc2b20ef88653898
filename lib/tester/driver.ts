/**
 * The test driver: a pipeline in one thread, without broker, worker and waiting. The planner is the planner, and what
 * runs are the sources, operators and sinks of a worker; streams are lists, journals and relays are left out, and the
 * clock stands still until it is told to go on.
 *
 * Each call does all that it leads to before it returns, in an order that its arguments alone decide. Where a worker's
 * batches are as the traffic makes them, here each message is one, so of what a worker may do this is one possible way:
 * the one in which it is never behind.
 */
import { type Duration, durationMs } from '../base/duration.ts';
import { MillraceError } from '../base/errors.ts';
import type { Headers } from '../port/log.ts';
import type { Key } from '../record/key.ts';
import type { Letter } from '../record/letter.ts';
import { bucketOf } from '../record/names.ts';
import { seqOfOrigin, sourceOfOrigin } from '../record/origin.ts';
import { matches } from '../record/subject.ts';
import type { Source } from '../source/source.ts';
import type { SourceSpec } from '../source/spec.ts';
import { Originals } from '../task/original.ts';
import type { Processor } from '../task/processor.ts';
import { assumedView } from '../topology/assumed.ts';
import { isPipeline, type Pipeline } from '../topology/builder.ts';
import { type Plan, type StagePlan, sourcesOf } from '../topology/plan.ts';
import { planWith } from '../topology/planner.ts';
import { mistakesText } from '../topology/validate.ts';
import { sourceVoice, stageVoice, voiceOf } from '../topology/waits.ts';
import { TestClock } from './clock.ts';
import { bytesOf, type Moment, momentMs } from './given.ts';
import { openSource, type SourceWorld, TestReader } from './reader.ts';
import { restMs, timersOf } from './rest.ts';
import { type DeadRow, isLetters, type LateRow, lettersOf, type Row, rowsOf } from './results.ts';
import { TestStage } from './stage.ts';
import { type StateEntry, stateOf } from './state.ts';
import { MESSAGE_BYTES_MAX, TestStreams } from './streams.ts';

/** So often does a worker look how far event time is. */
const TICK_MS = 100;
/** Longest frame: what a message holds beside its head and headers. */
const FRAME_BYTES_MAX = MESSAGE_BYTES_MAX - 4096;

export interface TestOptions {
  /** Where the clock stands. Default: at the first message, which is then published at the event time of its records. */
  readonly now?: Moment;
}

export interface PushOptions {
  readonly headers?: Headers;
  /** When the broker got it. Default: now, or at its event time if that is later. */
  readonly publishedAt?: Moment;
  /** Which of the streams has it that a source lists. Default: the first. */
  readonly stream?: string;
}

/** A pipeline ready to be told what happens. Throws PLAN_INVALID with all of its mistakes. */
export function testPipeline(pipeline: Pipeline, options: TestOptions = {}): PipelineDriver {
  return new PipelineDriver(pipeline, options);
}

export class PipelineDriver {
  #plan: Plan;
  #specs: readonly SourceSpec[];
  readonly #originals = new Originals();
  #clock: TestClock;
  #streams: TestStreams;
  #readers: readonly TestReader[];
  /** Writers before those that they write to. */
  #stages: readonly TestStage[];
  /** Sources that stages read themselves, by stage. */
  #direct = new Map<TestStage, Source>();
  /** When the latest message was published, ms since 1970: the clock is never behind that when it goes on. */
  #latestMs = Number.NEGATIVE_INFINITY;
  #rows: Row[] = [];
  #late: LateRow[] = [];
  #dead: DeadRow[] = [];

  constructor(pipeline: Pipeline, options: TestOptions) {
    if (!isPipeline(pipeline)) {
      throw new MillraceError('INVALID_ARGUMENT', 'testPipeline takes what pipeline(…) returned: import it by default');
    }
    const planned = planWith(pipeline, assumedView(pipeline.graph));
    if ('mistakes' in planned) {
      throw new MillraceError('PLAN_INVALID', mistakesText(pipeline.name, planned.mistakes));
    }
    const { plan } = planned;
    this.#plan = plan;
    this.#specs = sourcesOf(plan);
    this.#clock = new TestClock(options.now === undefined ? null : momentMs(options.now, 'now'));
    this.#streams = new TestStreams(this.#clock);
    const world = { plan, streams: this.#streams, clock: this.#clock, bytesMax: FRAME_BYTES_MAX };
    this.#readers = plan.readers.map(
      reader => new TestReader({ ...world, reader, letter: letter => this.#deliver(reader.program.exits[0]!, letter) }),
    );
    const stages: TestStage[] = [];
    for (const stage of inOrder(plan.stages)) stages.push(this.#open(stage, world, stages));
    this.#stages = stages;
  }

  #open(stage: StagePlan, world: SourceWorld, before: readonly TestStage[]): TestStage {
    const options = { plan: this.#plan, stage, messageBytesMax: MESSAGE_BYTES_MAX };
    if (stage.direct !== null) {
      const made: TestStage = new TestStage({
        ...options,
        voices: [voiceOf(() => this.#direct.get(made)!.time, sourceVoice(stage.direct))],
        original: about => this.#direct.get(made)!.letter({ ...about, bytes: null }),
      });
      const { processor } = made.tasks[0]!;
      const target = {
        entry: processor.entries[0]!,
        cursor: processor.cursor,
        letter: (letter: Letter) => processor.passLetter(letter),
        drop: (reason: string) => processor.drop(reason),
      };
      this.#direct.set(made, openSource({ ...world, spec: stage.direct, target }));
      return made;
    }
    const voices = stage.inputs
      .filter(({ bootstrap }) => !bootstrap)
      .map(({ name, from }) => {
        if (from.kind === 'reader') {
          const { source } = this.#readers.find(({ plan }) => plan.name === from.reader)!;
          return voiceOf(() => source.time, sourceVoice(source.spec));
        }
        const writer = before.find(({ plan }) => plan.name === from.stage)!;
        const exit = writer.plan.program.exits.findIndex(
          to => to.kind === 'channel' && to.stage === stage.name && to.input === name,
        );
        return writer.voice(exit, stageVoice(this.#plan, from.stage));
      });
    return new TestStage({ ...options, voices });
  }

  /** The clock, ms since 1970. */
  get nowMs(): number {
    return this.#clock.now();
  }

  /** Event time of the stage that is furthest behind, ms since 1970; null: some source has not spoken yet. */
  get watermarkMs(): number | null {
    const least = Math.min(...this.#stages.map(({ watermarkMs }) => watermarkMs));
    return Number.isFinite(least) ? least : null;
  }

  /** Records that ended without a result, by reason: `duplicate`, `filtered`, `null-value`, `null-key`, `skipped`. */
  get dropped(): Readonly<Record<string, number>> {
    const sums: Record<string, number> = {};
    const processors = this.#stages.flatMap(({ tasks }) => tasks.map(({ processor }) => processor));
    for (const { dropped } of [...this.#readers, ...processors]) {
      for (const [reason, count] of dropped) sums[reason] = (sums[reason] ?? 0) + count;
    }
    return sums;
  }

  /**
   * Publishes a message. Bytes and texts are sent as they are, anything else as JSON. Throws INVALID_ARGUMENT for a
   * subject that no source reads, and what would stop the pipeline.
   */
  push(subject: string, content: unknown, options: PushOptions = {}): void {
    const { stream } = options;
    const streams = this.#specs.filter(spec => {
      const isThere = spec.streams.length === 0 || spec.stream === (stream ?? spec.streams[0]);
      return spec.kind === 'stream' && isThere && matches(spec.subject, subject);
    });
    if (streams.length === 0) {
      const known = this.#specs.filter(({ kind }) => kind === 'stream').map(spec => `'${spec.subject}'`);
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `no source reads '${subject}'${stream === undefined ? '' : ` of stream ${stream}`}; those of pipeline '${this.#plan.pipeline}' read ${known.join(', ')}`,
      );
    }
    const publishedMs = options.publishedAt === undefined ? null : momentMs(options.publishedAt, 'publishedAt');
    this.#publish(streams, { subject, data: bytesOf(content), headers: options.headers ?? null, publishedMs });
  }

  /** Puts a row into a KV bucket that is a table. As `push`. */
  put(bucket: string, key: string, content: unknown): void {
    this.#write(bucket, key, { data: bytesOf(content), headers: null });
  }

  /** Deletes a row of a KV bucket. */
  delete(bucket: string, key: string): void {
    this.#write(bucket, key, { data: new Uint8Array(), headers: { 'KV-Operation': 'DEL' } });
  }

  #write(bucket: string, key: string, message: { data: Uint8Array; headers: Headers | null }): void {
    const tables = this.#specs.filter(({ kind }) => kind === 'kv');
    const own = tables.filter(spec => bucketOf(spec.subject) === bucket);
    if (own.length === 0) {
      const known = tables.map(spec => `'${bucketOf(spec.subject)}'`).join(', ') || 'none';
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `no table is the bucket '${bucket}'; those of pipeline '${this.#plan.pipeline}': ${known}`,
      );
    }
    this.#publish(own, { subject: `$KV.${bucket}.${key}`, ...message, publishedMs: null });
  }

  #publish(
    readBy: readonly SourceSpec[],
    message: { subject: string; data: Uint8Array; headers: Headers | null; publishedMs: number | null },
  ): void {
    if (message.data.length > MESSAGE_BYTES_MAX) {
      const text = `a message of ${message.data.length} bytes is more than a broker takes (${MESSAGE_BYTES_MAX})`;
      throw new MillraceError('MESSAGE_TOO_LARGE', text);
    }
    const nowMs = this.nowMs;
    const stored = [...new Set(readBy.map(spec => spec.stream))].map(name =>
      this.#streams.stream(name).append({ ...message, nowMs }),
    );
    this.#run();
    const latestMs = Math.max(...stored.map(({ timeMs }) => timeMs));
    this.#clock.begin(latestMs);
    this.#latestMs = Math.max(this.#latestMs, latestMs);
  }

  /**
   * Lets the clock go on, from the moment of the latest publication if it is behind that. Event time goes on with it once
   * all sources have been quiet for their `idleAfter`.
   */
  advance(duration: Duration): void {
    this.#catchUp();
    this.#goTo(this.#clock.monotonic() + durationMs(duration, 'advance'));
  }

  /** Nothing is looked at on the way: what was published meanwhile has been pushed already. */
  #catchUp(): void {
    const behindMs = this.#latestMs - this.nowMs;
    if (behindMs > 0) this.#clock.goTo(this.#clock.monotonic() + behindMs);
  }

  /** As `advance`, up to a moment. Throws INVALID_ARGUMENT for one that has passed. */
  advanceTo(moment: Moment): void {
    const timeMs = momentMs(moment, 'advanceTo');
    this.#clock.begin(timeMs);
    const leftMs = timeMs - this.nowMs;
    if (leftMs < 0) {
      const [to, now] = [timeMs, this.nowMs].map(ms => new Date(ms).toISOString());
      throw new MillraceError('INVALID_ARGUMENT', `the clock cannot go back to ${to}: it is ${now}`);
    }
    this.#goTo(this.#clock.monotonic() + leftMs);
  }

  /**
   * Lets the clock go on until the source that is furthest behind has come to where the furthest is, and all that waits
   * has come out: windows, sessions, unmatched records, timers. A timer that is set by one that fires meanwhile is not
   * waited for, so this ends.
   */
  finish(): void {
    const disorderMs = Math.max(0, ...this.#specs.map(spec => spec.maxOutOfOrderMs));
    const quietMs = Math.max(0, ...this.#specs.map(spec => spec.idleAfterMs));
    const spoken = this.#sources.map(({ time }) => time.watermarkMs).filter(Number.isFinite);
    const apartMs = spoken.length === 0 ? 0 : Math.max(...spoken) - Math.min(...spoken);
    const waitMs = restMs(this.#plan);
    this.#catchUp();
    this.#goTo(this.#clock.monotonic() + apartMs + quietMs + disorderMs + waitMs);
    // Timers of one stage may lead to timers of the next.
    for (const stage of this.#stages) {
      const leftMs = timersOf(stage).reduce((most, dueMs) => Math.max(most, dueMs), 0) - stage.watermarkMs;
      if (leftMs > 0 && Number.isFinite(leftMs)) this.#goTo(this.#clock.monotonic() + leftMs + waitMs);
    }
  }

  /** From moment to moment at which something happens: a source falls quiet, or a timer falls due. */
  #goTo(elapsedMs: number): void {
    let overdue = { timeMs: Number.NaN, waitMs: 0 };
    for (let nextMs = 0; nextMs < elapsedMs; ) {
      const nowMs = this.#clock.monotonic();
      const quietMs = this.#sources.map(source => nowMs + quietInMs(source, this.nowMs)).filter(ms => ms > nowMs);
      nextMs = Math.min(elapsedMs, ...quietMs);
      // Once all are idle, event time goes as the clock does.
      if (quietMs.length === 0) {
        const due = this.#nextTimer();
        nextMs = Math.min(nextMs, nowMs + Math.ceil(due.inMs));
        // One that was set for the past fires when event time has moved; one behind a window when that has caught up.
        if (due.overdueMs !== null) {
          const isSame = due.overdueMs === overdue.timeMs;
          overdue = { timeMs: due.overdueMs, waitMs: isSame ? overdue.waitMs * 2 : TICK_MS };
          nextMs = Math.min(nextMs, nowMs + overdue.waitMs);
        }
      }
      this.#clock.goTo(nextMs);
      for (const source of this.#sources) source.looked(this.#streams.end(source.spec.stream));
      this.#run();
    }
  }

  /** Those that have a say in event time. */
  get #sources(): Source[] {
    return [...this.#readers.map(({ source }) => source), ...this.#direct.values()].filter(
      ({ spec }) => spec.kind === 'stream',
    );
  }

  /** How long until the next timer falls due, and when the first of those was due that are. */
  #nextTimer(): { inMs: number; overdueMs: number | null } {
    let inMs = Number.POSITIVE_INFINITY;
    let overdueMs: number | null = null;
    for (const stage of this.#stages) {
      for (const dueMs of timersOf(stage)) {
        if (dueMs > stage.watermarkMs) inMs = Math.min(inMs, dueMs - stage.watermarkMs);
        else if (overdueMs === null || dueMs < overdueMs) overdueMs = dueMs;
      }
    }
    return { inMs, overdueMs };
  }

  /** The results since the last read on subjects that match, wildcards allowed, in order; they are taken. */
  read<T = unknown>(subject = '>'): Row<T>[] {
    const found = this.#rows.filter(row => matches(subject, row.subject));
    this.#rows = this.#rows.filter(row => !matches(subject, row.subject));
    return found as Row<T>[];
  }

  /** The late records since this was last asked. */
  late(): LateRow[] {
    return this.#late.splice(0);
  }

  /** The dead letters since this was last asked. */
  dead(): DeadRow[] {
    return this.#dead.splice(0);
  }

  /** What an operator keeps, of one key or of all. Throws NOT_FOUND when no operator of that name keeps anything. */
  state(operator: string, key?: Key): StateEntry[] {
    return stateOf(this.#stages, operator, key);
  }

  #deliver(exit: TestReader['plan']['program']['exits'][number], letter: Letter): void {
    if (exit.kind !== 'channel') return;
    const stage = this.#stages.find(({ plan }) => plan.name === exit.stage)!;
    stage.letter(letter);
  }

  /** Everything that there is to do, sources first, then stage by stage. */
  #run(): void {
    const limits = { messagesMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY };
    for (const { source } of this.#readers) source.poll(limits);
    for (const reader of this.#readers) for (const frame of reader.takeFrames()) this.#stageOf(frame.stage).feed(frame);
    for (const stage of this.#stages) {
      if ((this.#direct.get(stage)?.poll(limits) ?? 0) > 0) stage.fed();
      for (const { partition, outbox, notesOf } of stage.run(this.#settle)) {
        for (const { route, partition: to, bytes } of outbox.frames) {
          this.#stageOf(route.stage).feed({ input: route.input, partition: to, bytes });
        }
        const task = `${this.#plan.pipeline}/${stage.plan.name}/${partition}`;
        const sender = { task, life: 'test', sourceStreams: this.#specs.map(spec => spec.stream) };
        for (const rows of outbox.rows) {
          if (isLetters(rows)) {
            const { late, dead } = lettersOf(rows, sender);
            this.#late.push(...late);
            this.#dead.push(...dead);
          } else {
            const sink = this.#plan.sinks.find(({ name }) => name === rows.sink)!;
            this.#rows.push(...rowsOf(rows, { sink, partition, sender, notes: notesOf(rows.sink) }));
          }
        }
      }
    }
  }

  /** Letters about records that failed in a stage are given what the service sent. */
  #settle = (processor: Processor): void => {
    for (const pending of processor.takePending()) {
      const source = pending.origin < 0 ? undefined : this.#specs[sourceOfOrigin(pending.origin)];
      const message = source && this.#streams.stream(source.stream).at(seqOfOrigin(pending.origin));
      const from = source && message ? { source, message, payloadBytesMax: MESSAGE_BYTES_MAX } : null;
      processor.letter(from === null ? pending : this.#originals.add(pending, from));
    }
  };

  #stageOf(name: string): TestStage {
    return this.#stages.find(({ plan }) => plan.name === name)!;
  }
}

/** Until a source has been quiet for its `idleAfter`; not above 0: it has, or has never had a message. */
function quietInMs({ spec, time }: Source, nowMs: number): number {
  return time.clockMs - time.quietMs + spec.idleAfterMs - nowMs;
}

/** Stages, each after those that write to it. */
function inOrder(stages: readonly StagePlan[]): StagePlan[] {
  const ordered: StagePlan[] = [];
  const visit = (stage: StagePlan): void => {
    if (ordered.includes(stage)) return;
    for (const { from } of stage.inputs) {
      if (from.kind === 'stage') visit(stages.find(({ name }) => name === from.stage)!);
    }
    ordered.push(stage);
  };
  stages.forEach(visit);
  return ordered;
}
