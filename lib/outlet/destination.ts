/**
 * Where rows go. Each commit says it of the rows that it holds, in a text that is made once for a plan, so that what waits
 * to be sent never depends on the plan that happens to run when it is: a sink may have been removed, renamed or moved to
 * another stream since, and its rows still go where their commit said.
 */
import { lettersStream } from '../record/names.ts';
import type { SinkMode, SinkSpec } from './sink-spec.ts';

export interface Destination {
  readonly mode: SinkMode;
  readonly stream: string;
  /** Of an owned sink the very subject; of others, whose rows name their own, what they have in common, for people. */
  readonly subject: string;
  readonly frame: SinkSpec['frame'];
  readonly format: SinkSpec['format'];
  /** See `SinkSpec`. */
  readonly sinceSeq: number;
}

/** Where a task's rows for a sink go. */
export function destinationOf(sink: SinkSpec, partition: number): Destination {
  const { mode, stream, template, frame, format, sinceSeq = 0 } = sink;
  const subject = mode === 'owned' ? template.replace('{partition}', String(partition)) : template;
  return { mode, stream: stream.name, subject, frame, format, sinceSeq };
}

/** Dead letters and late records travel as rows of a shared sink, one a message. */
export function lettersDestination(pipeline: string): Destination {
  const stream = lettersStream(pipeline);
  return { mode: 'shared', stream, subject: stream, frame: 'none', format: 'json', sinceSeq: 0 };
}

export function targetText({ mode, stream, subject, frame, format, sinceSeq }: Destination): string {
  return JSON.stringify([mode, stream, subject, frame, format, sinceSeq]);
}

export function destinationFrom(target: string): Destination {
  const [mode, stream, subject, frame, format, sinceSeq] = JSON.parse(target);
  return { mode, stream, subject, frame, format, sinceSeq };
}
