/**
 * Why something is late, for people: how far event time is on each source, who waits for whom, and what operators hold and
 * wait for. Behind what `get` and `describe` show of a pipeline, and on the screen of `dev`.
 */
import type { PipelineInfo } from '../lib/control/client.ts';
import type { OperatorStatus, SourceStatus } from '../lib/observe/status.ts';
import { type Column, count, optional, span, table, time } from './output.ts';
import type { Terminal } from './terminal.ts';

type Named = Pick<PipelineInfo, 'name' | 'status'>;

interface SourceRow {
  readonly source: SourceStatus;
  /** Stages that wait for it while others are further. */
  readonly waiting: readonly string[];
}

const SOURCES: readonly Column<SourceRow>[] = [
  { head: 'SOURCE', cell: ({ source }) => source.name },
  { head: 'POSITION', right: true, cell: ({ source }) => count(source.position) },
  { head: 'LAG', right: true, cell: ({ source }) => optional(source.lag, count) },
  { head: 'BEHIND', right: true, cell: ({ source }) => optional(source.lagMs, span) },
  { head: 'RECORDS', right: true, cell: ({ source }) => count(source.recordsIn) },
  { head: 'COMPLETE TO', cell: ({ source }) => time(source.watermarkMs) },
  { head: 'BEHIND CLOCK', right: true, cell: ({ source }) => optional(behindClockOf(source), span) },
  { head: 'QUIET SINCE', cell: ({ source }) => time(quietSinceOf(source)) },
  {
    head: 'WAITED FOR BY',
    cell: ({ waiting }) => (waiting.length === 0 ? '–' : waiting.join(', ')),
    paint: ({ waiting }) => (waiting.length === 0 ? null : 'warn'),
  },
];

const OPERATORS: readonly Column<OperatorStatus>[] = [
  { head: 'OPERATOR', cell: operator => operator.name },
  { head: 'STAGE', cell: operator => operator.stage },
  { head: 'WATERMARK', cell: operator => time(operator.watermarkMs) },
  { head: 'HOLDS', cell: heldText },
];

/** The sources and operators of one pipeline, and what waits. Empty: nothing runs. */
export function eventTimeText({ name, status }: Named, terminal: Terminal): string {
  const { sources, operators, tasks } = status;
  const waiting = (source: string) => [
    ...new Set(tasks.flatMap(({ stage, waitsFor }) => (waitsFor === source ? [stage] : []))),
  ];
  const rows = sources.map(source => ({ source, waiting: waiting(source.name) }));
  const parts = [
    ...(rows.length === 0 ? [] : [table(SOURCES, rows, { terminal })]),
    ...(operators.length === 0 ? [] : [table(OPERATORS, operators, { terminal })]),
    ...waitsOf({ name, status }),
  ];
  return parts.join('\n\n');
}

/** How far event time is behind the broker's clock, ms. */
function behindClockOf({ watermarkMs, clockMs }: SourceStatus): number | null {
  return watermarkMs === null || clockMs === null ? null : clockMs - watermarkMs;
}

/** When its last message was published, by the broker's clock, ms since 1970. */
function quietSinceOf({ clockMs, quietMs }: SourceStatus): number | null {
  return clockMs === null || quietMs === null || quietMs === 0 ? null : clockMs - quietMs;
}

interface Words {
  /** `3 windows open` */
  readonly one: string;
  readonly many: string;
  /** `closes at`: what becomes of one at that event time; and of the first of many. */
  readonly alone: string;
  readonly first: string;
}

const WORDS: Readonly<Record<string, Words>> = {
  windows: { one: 'window open', many: 'windows open', alone: 'closes at', first: 'the first closes at' },
  panes: {
    one: 'pane of open windows',
    many: 'panes of open windows',
    alone: 'the next window closes at',
    first: 'the next window closes at',
  },
  sessions: { one: 'session open', many: 'sessions open', alone: 'closes at', first: 'the first closes at' },
  unmatched: { one: 'waiting for a partner', many: 'waiting for a partner', alone: 'until', first: 'the first until' },
  records: {
    one: 'record kept for partners',
    many: 'records kept for partners',
    alone: 'until',
    first: 'the first until',
  },
  timers: { one: 'timer set', many: 'timers set', alone: 'fires at', first: 'the first fires at' },
  ids: { one: 'id remembered', many: 'ids remembered', alone: 'until', first: 'the first until' },
  rows: { one: 'row', many: 'rows', alone: 'until', first: 'the first until' },
};

/** `1 window open, closes at 2026-01-01T18:10:00Z event time` */
export function heldText({ unit, held, more, nextMs }: OperatorStatus): string {
  const words = WORDS[unit] ?? { one: unit, many: unit, alone: 'until', first: 'the first until' };
  const isOne = held === 1 && !more;
  const text = `${more ? 'more than ' : ''}${count(held)} ${isOne ? words.one : words.many}`;
  return nextMs === null ? text : `${text}, ${isOne ? words.alone : words.first} ${time(nextMs)} event time`;
}

/**
 * What stages wait for, a line each: the sources or stages that are behind others and say nothing. Event time follows the
 * clock there, which in a replay is slow, so whoever looks should know.
 */
export function waitsOf({ name, status }: Named): string[] {
  const waits = new Set(
    status.tasks.flatMap(({ stage, waitsFor }) => (waitsFor === null ? [] : [`${stage} ${waitsFor}`])),
  );
  return [...waits].map(wait => {
    const [stage, writer] = wait.split(' ') as [string, string];
    const source = status.sources.find(one => one.name === writer);
    if (source === undefined) return `${stage} waits for stage ${writer}`;
    const { watermarkMs, quietMs } = source;
    const stands = watermarkMs === null ? 'has said nothing yet' : `stands at ${time(watermarkMs)}`;
    const quiet = quietMs === null ? '' : ` and has been quiet for ${span(quietMs)}`;
    const remedy = `millrace advance ${name} ${writer} --to TIME|end`;
    return `${stage} waits for ${writer}, which ${stands}${quiet} (to go on without: ${remedy})`;
  });
}
