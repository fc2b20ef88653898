/**
 * Makes the inputs of a task from its stage's plan, each feeding the processor's entry of the same number.
 */
import { MillraceError } from '../base/errors.ts';
import { ChannelReader, type WriterPlan } from '../channel/reader.ts';
import type { Refusals, TaskInput } from '../operator/feed.ts';
import { readerWriter, taskWriter } from '../record/names.ts';
import { sourceOfOrigin } from '../record/origin.ts';
import type { SourceSpec } from '../source/spec.ts';
import { watchedSource } from '../source/watched.ts';
import { type InputPlan, type Plan, type StagePlan, sourcesOf } from '../topology/plan.ts';
import { sourceVoice, stageVoice } from '../topology/waits.ts';
import { DirectInput } from './direct-input.ts';
import type { Pace } from './pace.ts';
import type { Processor } from './processor.ts';
import type { Surroundings } from './surroundings.ts';

export function inputsOf(
  place: { plan: Plan; stage: StagePlan; partition: number; around: Surroundings },
  processor: Processor,
  on: { failed(error: unknown): void; readonly traced: ((trace: string) => void) | undefined; readonly pace: Pace },
): TaskInput[] {
  const { plan, stage, partition, around } = place;
  const { deployment, log, clock, meter, watchCalls } = around;
  const { cursor, entries } = processor;
  const { direct } = stage;
  const sources = sourcesOf(plan);
  const refusalsOn = (input: string): Refusals => ({
    refused: () => on.pace.refusedOn(input),
    refuse(why, value, change) {
      if (why.code === 'RECORD_DEADLY' && !takesLetter(why, sources, cursor.origin)) return processor.drop('skipped');
      processor.refuse(stage.name, why, { value, change });
    },
    pass: letter => processor.letter(letter),
  });
  if (direct !== null) {
    const index = sources.findIndex(source => source.name === direct.name);
    const letter = processor.letter.bind(processor);
    const drop = processor.drop.bind(processor);
    const target = { entry: entries[0]!, cursor, letter, drop, traced: on.traced };
    const spec = watchCalls === undefined ? direct : watchedSource(direct, watchCalls(direct.name, cursor));
    return [new DirectInput({ spec, index, log, clock, target, meter, refusals: refusalsOn(direct.name) })];
  }
  const letter = processor.passLetter.bind(processor);
  return stage.inputs.map((input, i) => {
    const { name, bootstrap } = input;
    const channels = { deployment, stage: stage.name, partition, writers: writersOf(plan, input) };
    return new ChannelReader({
      name,
      bootstrap,
      ...channels,
      log,
      clock,
      entry: entries[i]!,
      cursor,
      letter,
      refusals: refusalsOn(name),
      traced: on.traced,
      onFailed: on.failed,
    });
  });
}

/** What the source says of its bad records (`onPoison`) holds for one that ends its process, wherever it does so. False: it is skipped. */
function takesLetter(why: MillraceError, sources: readonly SourceSpec[], origin: number): boolean {
  const { name, onPoison } = sources[sourceOfOrigin(origin)] ?? { name: '', onPoison: 'deadLetter' };
  if (onPoison !== 'stop') return onPoison === 'deadLetter';
  throw new MillraceError(
    'LIMIT_REACHED',
    `source ${name} stops at a bad record, as its onPoison says: ${why.message}`,
  );
}

/** Who writes to an input: one reader, or every task of a stage. */
function writersOf(plan: Plan, { from }: InputPlan): WriterPlan[] {
  if (from.kind === 'reader') {
    const { source } = plan.readers.find(reader => reader.name === from.reader)!;
    return [{ writer: readerWriter(from.reader), ...sourceVoice(source) }];
  }
  const { partitions } = plan.stages.find(stage => stage.name === from.stage)!;
  const voice = stageVoice(plan, from.stage);
  return Array.from({ length: partitions }, (_, partition) => ({
    writer: taskWriter({ stage: from.stage, partition }),
    ...voice,
  }));
}
