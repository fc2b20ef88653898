/**
 * One stage of a pipeline under test: all its tasks, each a processor as a worker has it, without journal and relay. It
 * is fed frames, as a task reads them from its channels, and told how far event time is on each of its inputs; what its
 * tasks send comes back from `run`.
 */
import { decodeFrame } from '../channel/frame.ts';
import type { Outbox } from '../journal/outbox.ts';
import { changeAt } from '../record/columns.ts';
import type { Letter } from '../record/letter.ts';
import { seqOfOrigin } from '../record/origin.ts';
import { Processor, type ProcessorOptions } from '../task/processor.ts';
import type { Plan, StagePlan } from '../topology/plan.ts';
import { InputWatermarks, NO_WATERMARK, trailing, type Voice } from '../window/watermark.ts';
import type { Note } from './results.ts';

interface Watched {
  readonly sink: string;
  notes: Note[];
}

interface Task {
  readonly partition: number;
  readonly processor: Processor;
  readonly watched: readonly Watched[];
  fed: boolean;
}

/** What one task sends after a batch. `notesOf` gives keys and times of the next rows of a sink. */
export interface Sent {
  readonly partition: number;
  readonly outbox: Outbox;
  notesOf(sink: string): readonly Note[];
}

export class TestStage {
  readonly plan: StagePlan;
  readonly tasks: readonly Task[];
  watermarkMs = NO_WATERMARK;
  #eventTime: InputWatermarks;
  #commits = 0;

  /** @param options.voices of those who write to it; tables have no say */
  constructor(options: {
    plan: Plan;
    stage: StagePlan;
    voices: readonly Voice[];
    messageBytesMax: number;
    original?: NonNullable<ProcessorOptions['original']>;
  }) {
    const { plan, stage, voices, messageBytesMax, original } = options;
    this.plan = stage;
    this.#eventTime = new InputWatermarks({ voices });
    this.tasks = Array.from({ length: stage.partitions }, (_, partition) => {
      const watched: Watched[] = [];
      const processor = new Processor({
        plan,
        stage,
        partition,
        messageBytesMax,
        ...(original === undefined ? {} : { original }),
        watch: exit => {
          const { block } = exit;
          const own: Watched = { sink: block.sink, notes: [] };
          watched.push(own);
          return {
            receive(key, value, timeMs, change) {
              const before = block.rows;
              exit.receive(key, value, timeMs, change);
              if (block.rows > before) own.notes.push({ key, timeMs });
            },
          };
        },
      });
      return { partition, processor, watched, fed: false };
    });
  }

  /** What the stage that an exit leads to hears of this one. */
  voice(exit: number, traits: Pick<Voice, 'name' | 'idleAfterMs' | 'skips'>): Voice {
    const lagMs = this.tasks[0]!.processor.exitLagsMs[exit]!;
    const time = this.#eventTime;
    const stage = this;
    return {
      ...traits,
      quietMs: 0,
      get watermarkMs() {
        return trailing(stage.watermarkMs, lagMs);
      },
      get clockMs() {
        const isWaiting = stage.watermarkMs === NO_WATERMARK && !time.isSilent;
        return isWaiting ? Number.NEGATIVE_INFINITY : time.clockMs;
      },
    };
  }

  /** A frame for a task, on one of the stage's inputs. */
  feed(frame: { input: string; partition: number; bytes: Uint8Array }): void {
    const index = this.plan.inputs.findIndex(({ name }) => name === frame.input);
    const task = this.tasks[frame.partition]!;
    const { cursor, entries } = task.processor;
    const entry = entries[index]!;
    const { keys, timesMs, origins, ids, values, changes } = decodeFrame(frame.bytes).columns;
    for (let i = 0; i < keys.length; i++) {
      cursor.origin = origins[i]!;
      cursor.id = ids?.[i] ?? null;
      entry.receive(keys[i]!, values[i], timesMs[i]!, changeAt(changes, i));
    }
    cursor.id = null;
    task.fed = true;
  }

  /** The stage's one task has read its source itself. */
  fed(): void {
    this.tasks[0]!.fed = true;
  }

  /** A letter of a reader, for one of the tasks to send. */
  letter(letter: Letter): void {
    const task = this.tasks[seqOfOrigin(letter.origin) % this.tasks.length]!;
    task.processor.passLetter(letter);
    task.fed = true;
  }

  /** Runs what was fed, after event time has moved as far as the inputs say. `settle` is called before each commit. */
  run(settle: (processor: Processor) => void): Sent[] {
    const watermarkMs = Math.floor(this.#eventTime.advance());
    const moved = watermarkMs > this.watermarkMs;
    if (moved) this.watermarkMs = watermarkMs;
    const sent: Sent[] = [];
    for (const task of this.tasks) {
      if (!task.fed && !moved) continue;
      task.fed = false;
      const { partition, processor, watched } = task;
      // Without a pace no batch is ever full: all that is due has fired.
      processor.execute(this.watermarkMs, null);
      settle(processor);
      const { outbox } = processor.take(++this.#commits, this.watermarkMs);
      sent.push({ partition, outbox, notesOf: sink => takeNotes(watched, sink) });
    }
    return sent;
  }
}

/** Rows come exit by exit, each with all that it was given. */
function takeNotes(watched: readonly Watched[], sink: string): readonly Note[] {
  const next = watched.find(exit => exit.sink === sink && exit.notes.length > 0);
  const notes = next?.notes ?? [];
  if (next !== undefined) next.notes = [];
  return notes;
}
