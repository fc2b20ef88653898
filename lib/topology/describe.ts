/**
 * The plan as text, for people: what runs where, what it keeps, which streams are read, written and made. Made from the
 * summary, so that a stored plan can be shown like a fresh one.
 */
import { durationText } from '../base/duration.ts';
import type { Exit } from '../operator/program.ts';
import type { SinkMode } from '../outlet/nats/destination.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import type { CaptureLimits } from '../source/spec.ts';
import type { OperatorSummary, PlanSummary, SourceSummary, StageSummary } from './summary.ts';

const WAYS: Readonly<Record<SinkMode, string>> = {
  owned: 'exactly once, a subject for each task',
  shared: 'exactly once, in atomic batches with markers',
  'at-least-once': 'at least once; exactly once within the duplicate window of the stream',
};

export function describe(plan: PlanSummary): string {
  const lines = [`pipeline ${plan.pipeline}  (fingerprint ${plan.fingerprint})`];
  if (plan.readers.length > 0)
    lines.push('', 'readers: read a stream and send each record to the task that has its key');
  for (const reader of plan.readers) {
    lines.push(`  ${reader.source.name}`, ...sourceLines(reader.source));
    lines.push(...operatorLines(reader.operators), ...exitLines(reader.exits));
  }
  lines.push('', 'stages: tasks with state');
  for (const stage of plan.stages) {
    const tasks = stage.partitions === 1 ? '1 task' : `${stage.partitions} tasks`;
    lines.push(
      `  ${stage.name}  ${stage.direct === null ? `${tasks}, one a partition of its key` : `${tasks}, without a key`}`,
    );
    if (stage.direct === null) {
      const inputs = stage.inputs.map(({ name, from, bootstrap }) => [
        'input',
        name,
        `from ${from.kind === 'reader' ? `reader ${from.reader}` : `stage ${from.stage}`}${bootstrap ? ', read to its end before anything else' : ''}`,
      ]);
      lines.push(...columns(inputs), ...waitLines(stage, plan));
    } else {
      lines.push(...sourceLines(stage.direct));
    }
    lines.push(...operatorLines(stage.operators), ...exitLines(stage.exits));
  }
  lines.push('', 'sinks: what comes out');
  lines.push(
    ...columns(
      plan.sinks.map(sink => [
        sink.name,
        sink.target.template,
        formatText(sink),
        `stream ${sink.target.stream.name}${sink.target.stream.create ? ' (made)' : ''}`,
        wayText(sink, plan),
      ]),
      2,
    ),
  );
  if (plan.env !== undefined)
    lines.push('', 'variables: what its code reads of the environment', `  ${plan.env.join(', ')}`);
  return lines.join('\n');
}

export function formatText({ format, target: { frame } }: SinkSpec): string {
  return frame === 'none' ? format : `${format} in ${frame} frames`;
}

export function wayText({ name, target: { mode } }: SinkSpec, { changing }: Pick<PlanSummary, 'changing'>): string {
  return changing.includes(name) ? `${WAYS[mode]}; rows may take back others` : WAYS[mode];
}

function sourceLines(source: SourceSummary): string[] {
  const { subject, stream, capture, keeps } = source;
  const what = source.kind === 'kv' ? 'bucket' : 'subject';
  const made = capture === null ? '' : ' (made)';
  const lines = columns([['reads', `${what} ${subject}`, `stream ${stream}${made}`, sourceTraits(source).join(', ')]]);
  const found = keeps === null ? null : `at least ${keepsText(keeps)}; more by nats stream edit ${stream}`;
  const kept = capture === null ? found : captureText(source, capture);
  return kept === null ? lines : [...lines, ...columns([['keeps', kept]])];
}

/** How it is read, for people. */
export function sourceTraits(source: SourceSummary): string[] {
  const traits = [source.format, source.schema ? 'with a schema' : 'without a schema'];
  if (source.kind === 'stream') {
    traits.push(source.eventTime ? 'event time of its own' : "the broker's time");
    if (source.changes) traits.push('changes of a table');
    if (source.maxDelayMs !== null) traits.push(`published within ${durationText(source.maxDelayMs)}`);
    if (source.maxOutOfOrderMs > 0) traits.push(`up to ${durationText(source.maxOutOfOrderMs)} out of order`);
    if (source.start === 'new') traits.push('from now on');
  }
  return traits;
}

/** What is gone from a stream that is made for a source, and when: what comes later than that is not read any more. */
function captureText({ stream }: SourceSummary, capture: CaptureLimits): string {
  return `${keepsText(capture)}; otherwise by capture: { maxAge, maxBytes }, or later by nats stream edit ${stream}`;
}

function keepsText({ maxAgeMs, maxBytes }: CaptureLimits): string {
  const mib = Math.round(maxBytes / 2 ** 20);
  const size = mib % 1024 === 0 ? `${mib / 1024} GiB` : `${mib} MiB`;
  return `messages for ${durationText(maxAgeMs)}, at most ${size}`;
}

/** What a deploy says of each stream that it makes for a source. */
export function captureNotices({ readers, stages }: Pick<PlanSummary, 'readers' | 'stages'>): string[] {
  const sources = [...readers.map(({ source }) => source), ...stages.flatMap(({ direct }) => direct ?? [])];
  return sources.flatMap(source =>
    source.capture === null ? [] : [`stream ${source.stream} is made; it keeps ${captureText(source, source.capture)}`],
  );
}

/** Event time of a stage with several inputs is that of the one that is furthest behind: what each does when it is quiet. */
function waitLines({ inputs }: StageSummary, plan: PlanSummary): string[] {
  const streams = inputs.filter(({ bootstrap }) => !bootstrap);
  if (streams.length < 2) return [];
  return columns(
    streams.map(({ from }) => {
      if (from.kind === 'stage') return ['waits', `for stage ${from.stage}`, 'as far as its own event time is'];
      const { name, idle, idleAfterMs } = plan.readers.find(({ source }) => source.name === from.reader)!.source;
      const quiet = `quiet for ${durationText(idleAfterMs)} it`;
      return [
        'waits',
        `for ${name}`,
        idle === 'skip' ? `${quiet} is waited for no more` : `${quiet} goes on with the clock`,
      ];
    }),
  );
}

function operatorLines(operators: readonly OperatorSummary[]): string[] {
  return columns(operators.map(({ name, text, state }) => [state ? 'state' : 'does', name, text]));
}

function exitLines(exits: readonly Exit[]): string[] {
  return columns(
    exits.map(exit =>
      exit.kind === 'sink'
        ? ['sends', `to sink ${exit.sink}`]
        : ['sends', `to stage ${exit.stage}`, `as its input ${exit.input}`],
    ),
  );
}

/** Rows with their cells aligned; the first ones alike everywhere. */
function columns(rows: readonly (readonly string[])[], indent = 4): string[] {
  const widths: number[] = ['reads'.length];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows.map(row =>
    (' '.repeat(indent) + row.map((cell, i) => cell.padEnd(widths[i] as number)).join('  ')).trimEnd(),
  );
}
