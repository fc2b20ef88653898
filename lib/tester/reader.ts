/**
 * One reader of a pipeline under test: the source, its stateless operators, and frames for the tasks of the next stages,
 * as a worker's reader makes them. No router: a frame is handed over as soon as it is cut.
 */
import { invariant } from '../base/errors.ts';
import { INSERT } from '../change/change.ts';
import { FrameEncoding } from '../channel/encoding.ts';
import { StageExit } from '../channel/exit.ts';
import { BatchSize } from '../journal/batch-size.ts';
import { noMeter } from '../observe/meter.ts';
import { newCursor, Run } from '../operator/run.ts';
import type { Letter } from '../record/letter.ts';
import { readerWriter } from '../record/names.ts';
import { readable } from '../record/output.ts';
import { NO_MARK } from '../source/poll.ts';
import { Source } from '../source/source.ts';
import type { SourceSpec } from '../source/spec.ts';
import { type Plan, type ReaderPlan, sourcesOf } from '../topology/plan.ts';
import { NO_TIME } from '../window/source-time.ts';
import type { TestClock } from './clock.ts';
import { TestMessage, type TestStreams } from './streams.ts';

/** Where a frame goes. */
export interface SentFrame {
  readonly stage: string;
  readonly input: string;
  readonly partition: number;
  readonly bytes: Uint8Array;
}

/** What every reader and every stage that reads its source itself needs. */
export interface SourceWorld {
  readonly plan: Plan;
  readonly streams: TestStreams;
  readonly clock: TestClock;
  /** Longest frame. */
  readonly bytesMax: number;
}

export class TestReader {
  readonly source: Source;
  readonly plan: ReaderPlan;
  readonly dropped = new Map<string, number>();
  #exits: readonly StageExit[];
  #bytesMax: number;
  #letter: (letter: Letter) => void;

  constructor(options: SourceWorld & { reader: ReaderPlan; letter(letter: Letter): void }) {
    const { plan, reader, letter } = options;
    this.plan = reader;
    this.#bytesMax = options.bytesMax;
    this.#letter = letter;
    const cursor = newCursor();
    const size = new BatchSize(Number.POSITIVE_INFINITY);
    this.#exits = reader.program.exits.map(exit => {
      invariant(exit.kind === 'channel', `reader ${reader.name} leads to a stage`);
      const { partitions } = plan.stages.find(({ name }) => name === exit.stage)!;
      const encoding = new FrameEncoding(readerWriter(reader.name), undefined);
      return new StageExit({ route: { stage: exit.stage, input: exit.input }, partitions, cursor, size, encoding });
    });
    const drop = (reason: string) => this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
    const run = new Run(reader.program, {
      cursor,
      exits: this.#exits,
      tables: null,
      late: () => {},
      poison: ({ operator, cause, change }) =>
        letter(this.source.letter({ operator, code: cause.code, message: cause.message, bytes: null, change })),
      drop: (_, reason) => drop(reason),
    });
    const target = { entry: run.entries[0]!, cursor, letter, drop };
    this.source = openSource({ ...options, spec: reader.source, target });
  }

  /** What the last poll has brought, as frames. */
  takeFrames(): SentFrame[] {
    const { name } = this.plan;
    return this.#exits.flatMap(exit => {
      const frames: Parameters<StageExit['take']>[1] = [];
      exit.take(
        {
          commit: this.source.position,
          watermarkMs: this.source.time.watermarkMs,
          publishedMs: Number.POSITIVE_INFINITY,
          bytesMax: this.#bytesMax,
          refuse: (cause, { value, origin, change }) =>
            this.#letter({
              ...(change === INSERT ? {} : { change }),
              operator: readerWriter(name),
              code: cause.code,
              message: cause.message,
              bytes: readable(value),
              origin,
              index: 0,
              subject: '',
            }),
        },
        frames,
      );
      return frames.map(({ partition, bytes }) => ({ ...exit.route, partition, bytes }));
    });
  }
}

/** A source at the beginning of its stream. */
export function openSource(
  options: SourceWorld & { spec: SourceSpec; target: ConstructorParameters<typeof Source>[0]['target'] },
): Source {
  const { plan, streams, clock, spec, target } = options;
  const index = sourcesOf(plan).findIndex(({ name }) => name === spec.name);
  const stream = streams.add(spec.stream);
  const source = new Source({ spec: following(spec), index, log: streams, clock, target, meter: noMeter });
  source.openOn(stream.info(), { position: 0, mark: NO_MARK, ...NO_TIME }, () => {});
  return source;
}

/** The source whose messages are told the event times of their records. */
function following(spec: SourceSpec): SourceSpec {
  const { time } = spec;
  if (time === null) return spec;
  return {
    ...spec,
    time(value, message) {
      const timeMs = time(value, message);
      if (message instanceof TestMessage) message.follow(timeMs);
      return timeMs;
    },
  };
}
