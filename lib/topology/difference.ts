/**
 * What a deploy would change of what is deployed: parts that come, go or become others, and the state that goes on. Made
 * from two summaries; whether the state can be read at all is judged in `summary.ts`. Pure.
 */
import { durationText } from '../base/duration.ts';
import { formatText, sourceTraits, wayText } from './describe.ts';
import { type PlanSummary, readSummary, type SourceSummary } from './summary.ts';

/** What a part does, as text, by what people call it. */
type Parts = ReadonlyMap<string, string>;

/**
 * A line each: `+` what comes, `-` what goes, `~` what becomes another, `=` whose state goes on. `before`: a summary as it
 * was stored; of one that another version wrote nothing can be said.
 */
export function differenceOf(before: unknown, after: PlanSummary, options: { readsState: boolean }): readonly string[] {
  const old = readSummary(before);
  if (old === null) return [];
  const lines = compare(partsOf(old), partsOf(after));
  if (lines.length === 0) lines.push('~ code alone, or nothing: sources, operators and sinks are the same');
  const keeping = options.readsState ? namesOfState(after) : [];
  if (keeping.length > 0) lines.push(`= state goes on: ${keeping.join(', ')}`);
  return lines;
}

function compare(before: Parts, after: Parts): string[] {
  const lines: string[] = [];
  for (const [name, old] of before) {
    const now = after.get(name);
    if (now === undefined) lines.push(`- ${name}: ${old}`);
    else if (now !== old) lines.push(`~ ${name}: ${old} → ${now}`);
  }
  for (const [name, now] of after) if (!before.has(name)) lines.push(`+ ${name}: ${now}`);
  return lines;
}

function partsOf(plan: PlanSummary): Parts {
  const parts = new Map<string, string>();
  // An operator without a key may stand in several places.
  const add = (name: string, text: string) => {
    const there = parts.get(name);
    parts.set(name, there === undefined ? text : `${there}; ${text}`);
  };
  for (const { source, operators } of plan.readers) {
    parts.set(`source ${source.name}`, sourceText(source));
    for (const { name, text } of operators) add(`operator ${name}`, `${text}, in reader ${source.name}`);
  }
  for (const { name: stage, partitions, direct, operators } of plan.stages) {
    if (direct !== null) parts.set(`source ${direct.name}`, sourceText(direct));
    add(`stage ${stage}`, partitions === 1 ? '1 task' : `${partitions} tasks`);
    for (const { name, text } of operators) add(`operator ${name}`, `${text}, in stage ${stage}`);
  }
  for (const sink of plan.sinks) {
    const { template, stream } = sink.target;
    parts.set(`sink ${sink.name}`, `'${template}', ${formatText(sink)}, stream ${stream.name}, ${wayText(sink, plan)}`);
  }
  return parts;
}

function sourceText(source: SourceSummary): string {
  const { kind, subject, stream, idle, idleAfterMs } = source;
  const quiet = `${idle === 'skip' ? 'skipped' : 'followed'} when quiet for ${durationText(idleAfterMs)}`;
  return [`'${subject}' of stream ${stream}`, ...sourceTraits(source), ...(kind === 'kv' ? [] : [quiet])].join(', ');
}

function namesOfState({ stages }: PlanSummary): string[] {
  return stages.flatMap(({ operators }) => operators.filter(({ state }) => state).map(({ name }) => name));
}
