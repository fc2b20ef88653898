/**
 * What is on a plan's output subjects already, and who wrote it last: what whoever deploys should know, and what a new
 * owner of subjects must not take for its own.
 */
import type { SinkMode } from '../outlet/nats/destination.ts';
import { HEADER_SINK, HEADER_TASK } from '../outlet/nats/rows-item.ts';
import type { Log } from '../port/log.ts';
import { parseTemplate } from '../record/template.ts';
import type { PlanSummary } from '../topology/summary.ts';

/** A sink of a plan, and what it will find. */
export interface Results {
  readonly sink: string;
  readonly template: string;
  readonly mode: SinkMode;
  readonly stream: string;
  /** All subjects of the template, as a filter. */
  readonly covers: string;
  /** How many messages are on these subjects. */
  readonly messages: number;
  /** Last sequence of the stream, whatever the subject; 0: there is no stream yet. */
  readonly lastSeq: number;
  /** Who wrote the last message on these subjects; null: there is none, or it was no pipeline. */
  readonly writer: Writer | null;
}

export interface Writer {
  readonly pipeline: string;
  readonly life: string;
}

/** One for each sink, in the order of the plan. */
export type LookAtResults = (plan: Pick<PlanSummary, 'sinks'>) => Promise<readonly Results[]>;

export function resultsFinder(log: Log): LookAtResults {
  return plan =>
    Promise.all(
      plan.sinks.map(async ({ name, target }): Promise<Results> => {
        const { template, mode, stream } = target;
        const { covers } = parseTemplate(template);
        const sink = { sink: name, template, mode, stream: stream.name, covers };
        // The stream's end before all else: what lands meanwhile is after it, and nobody's past.
        const info = await log.info(stream.name);
        if (info === null) return { ...sink, messages: 0, lastSeq: 0, writer: null };
        const at = { stream: stream.name, subject: covers };
        const [messages, last] = await Promise.all([log.count(at), log.last(at)]);
        return { ...sink, messages, lastSeq: info.lastSeq, writer: writerOf(last?.headers ?? {}) };
      }),
    );
}

function writerOf(headers: Readonly<Record<string, string>>): Writer | null {
  const pipeline = headers[HEADER_TASK]?.split('/')[0];
  const life = headers[HEADER_SINK]?.split('/')[0];
  return pipeline === undefined || life === undefined ? null : { pipeline, life };
}
