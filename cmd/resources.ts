/**
 * The kinds of things that can be listed, and what is shown of each: columns for people, and for programs values whose
 * fields are those of `proto/` by their JSON names. What is not known there is left out; states and levels are words.
 */
import type { EventInfo, PipelineInfo } from '../lib/control/client.ts';
import type { EntryView, TableView } from '../lib/engine/views.ts';
import { fieldText } from '../lib/observe/log.ts';
import type { PipelineCounts } from '../lib/observe/status.ts';
import type { AuditEntry } from '../lib/service/audit.ts';
import type { LetterView, MoveView, TaskView, WorkerView } from '../lib/service/views.ts';
import { eventTimeText } from './event-time.ts';
import { ago, bytes, type Column, count, optional, type Resource, span, time } from './output.ts';
import type { Paint } from './terminal.ts';

/** Without fields that are null, all the way down. */
export function known(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(known);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, part]) => (part === null || part === undefined ? [] : [[key, known(part)]])),
  );
}

export const pipelines: Resource<PipelineInfo> = {
  kind: 'pipeline',
  none: 'no pipelines; deploy one with: millrace deploy FILE',
  name: pipeline => pipeline.name,
  json: pipelineJson,
  columns: [
    { head: 'NAME', cell: pipeline => pipeline.name },
    { head: 'STATE', cell: stateOf, paint: pipeline => paintOf(stateOf(pipeline)) },
    { head: 'REVISION', right: true, cell: pipeline => String(pipeline.revision) },
    { head: 'IN', right: true, cell: ({ status }) => totalOf(status.counts, 'in') },
    { head: 'OUT', right: true, cell: ({ status }) => totalOf(status.counts, 'out') },
    { head: 'LATE', right: true, cell: ({ status }) => totalOf(status.counts, 'late') },
    {
      head: 'DEAD',
      right: true,
      cell: ({ status }) => totalOf(status.counts, 'dead'),
      paint: ({ status }) => (status.counts.dead > 0 ? 'warn' : null),
    },
    { head: 'LAG', right: true, cell: pipeline => optional(lagOf(pipeline), count) },
    { head: 'WATERMARK', cell: ({ status }) => time(status.watermarkMs) },
    { head: 'WORKERS', cell: pipeline => workersOf(pipeline) },
    { head: 'AGE', right: true, cell: pipeline => ago(pipeline.deployedAtMs) },
    { head: 'FILE', wide: true, cell: pipeline => pipeline.file },
    { head: 'BUNDLE', wide: true, cell: pipeline => pipeline.bundleHash.slice(0, 12) },
    { head: 'REASON', wide: true, cell: pipeline => pipeline.status.reason?.replaceAll('\n', ' ') ?? '' },
  ],
  more: (pipeline, terminal) =>
    [
      ...ageLines(pipeline),
      ...reasonLines(pipeline),
      ...quarantineLines(pipeline),
      ...droppedLines(pipeline),
      eventTimeText(pipeline, terminal),
    ]
      .filter(part => part !== '')
      .join('\n\n'),
};

/** By name where they are few. */
function workersOf({ workers }: PipelineInfo): string {
  if (workers.length === 0) return '–';
  return workers.length <= WORKERS_NAMED_MAX ? workers.join(', ') : String(workers.length);
}

const WORKERS_NAMED_MAX = 2;

/** What it has done; `–` where that is not known of all its parts. */
export function totalOf(counts: PipelineCounts, what: 'in' | 'out' | 'late' | 'dead'): string {
  return counts.partial ? '–' : count(counts[what]);
}

/** What ended without a result, by reason: `2 duplicate, 7 filtered`; nothing: ''. */
export function droppedText({ dropped }: PipelineCounts): string {
  return Object.entries(dropped)
    .map(([reason, amount]) => `${count(amount)} ${reason}`)
    .join(', ');
}

function droppedLines({ status: { counts } }: PipelineInfo): string[] {
  const text = droppedText(counts);
  return text === '' ? [] : [`dropped: ${text}`];
}

/** What is shown is older than it looks. */
export function ageLines({ status }: PipelineInfo): string[] {
  return status.ageMs === 0
    ? []
    : [`as of ${span(status.ageMs)} ago: ${status.reason ?? 'the engine does not answer'}`];
}

/** Why it is in the state it is in, unless its age is the reason. */
function reasonLines({ status }: PipelineInfo): string[] {
  return status.reason === null || status.ageMs !== 0 ? [] : [`${status.state}: ${status.reason}`];
}

/** Why it is in a thread of its own. */
function quarantineLines({ status }: PipelineInfo): string[] {
  return status.quarantine === null ? [] : [`in a thread of its own: ${status.quarantine}`];
}

/** Field by field, so that what the client adds is not printed before `proto/` says what it is. */
function pipelineJson({ status, worker, workers, atMs, ...pipeline }: PipelineInfo): unknown {
  const { state, reason, quarantine, sources, tasks, operators, watermarkMs, counts, ageMs } = status;
  const shown = {
    state,
    reason,
    worker,
    workers,
    sources,
    tasks,
    counts,
    atMs,
    operators,
    watermarkMs,
    ageMs,
    quarantine,
  };
  return known({ ...pipeline, status: shown });
}

export type Role = 'leader' | 'worker' | 'cordoned' | 'draining' | 'silent';

const ROLE_PAINTS: Readonly<Record<Role, Paint | null>> = {
  ...{ leader: 'good', worker: null, cordoned: 'warn', draining: 'warn', silent: 'bad' },
};

/** What is most worth knowing of it: one that leads may drain, too. */
export function roleOf({ active, cordoned, draining, pipelines, silent }: WorkerView): Role {
  if (silent) return 'silent';
  if (draining || (cordoned && pipelines > 0)) return 'draining';
  if (cordoned) return 'cordoned';
  return active ? 'leader' : 'worker';
}

export const workers: Resource<WorkerView> = {
  kind: 'worker',
  none: 'no workers; start one with: millrace worker',
  name: worker => worker.name,
  json: known,
  columns: [
    { head: 'NAME', cell: worker => worker.name },
    { head: 'ROLE', cell: roleOf, paint: worker => ROLE_PAINTS[roleOf(worker)] },
    { head: 'ZONE', cell: worker => worker.zone || '–' },
    { head: 'PIPELINES', right: true, cell: worker => count(worker.pipelines) },
    { head: 'TASKS', right: true, cell: worker => count(worker.tasks) },
    { head: 'FOLLOWS', right: true, cell: worker => count(worker.follows) },
    { head: 'CAPACITY', right: true, wide: true, cell: worker => String(worker.capacity) },
    { head: 'VERSION', cell: worker => worker.version },
    { head: 'ADDRESS', cell: worker => worker.address ?? '–' },
    { head: 'SEEN', right: true, cell: worker => ago(worker.seenAtMs) },
    { head: 'AGE', right: true, cell: worker => ago(worker.startedAtMs) },
  ],
};

export const tasks: Resource<TaskView> = {
  kind: 'task',
  none: 'no tasks run; see why with: millrace get pipelines',
  name: taskName,
  json: known,
  columns: [
    { head: 'NAME', cell: taskName },
    { head: 'STATE', cell: ({ status }) => status.state, paint: ({ status }) => paintOf(status.state) },
    { head: 'EPOCH', right: true, cell: ({ status }) => String(status.epoch) },
    { head: 'COMMITS', right: true, cell: ({ status }) => count(status.commits) },
    { head: 'IN', right: true, cell: ({ status }) => count(status.recordsIn) },
    { head: 'OUT', right: true, cell: ({ status }) => count(status.recordsOut) },
    { head: 'STATE SIZE', right: true, cell: ({ status }) => bytes(status.stateBytes) },
    { head: 'ENTRIES', right: true, cell: ({ status }) => count(status.stateEntries) },
    { head: 'WATERMARK', cell: ({ status }) => time(status.watermarkMs) },
    { head: 'WORKER', cell: task => task.worker },
    { head: 'FOLLOWERS', cell: followersText },
  ],
};

/** Its columns within one pipeline: the rest would be the same in each row. */
export const taskColumns: readonly Column<TaskView>[] = [
  { head: 'TASK', cell: ({ status }) => `${status.stage}/${status.partition}` },
  ...tasks.columns.filter(({ head }) => head !== 'NAME' && head !== 'WORKER' && head !== 'FOLLOWERS'),
];

const WHY: Readonly<Record<MoveView['why'], string>> = {
  new: 'nobody has it yet',
  gone: 'its owner has gone',
  draining: 'its owner is drained',
  balance: 'its owner has more than its share',
};

export const moves: Resource<MoveView> = {
  kind: 'move',
  none: 'nothing would move: all is where it should be',
  name: move => `${move.pipeline}/${move.part}`,
  json: ({ why, ...move }) => known({ ...move, reason: why }),
  columns: [
    { head: 'PIPELINE', cell: move => move.pipeline },
    { head: 'PART', cell: move => move.part },
    { head: 'FROM', cell: move => move.from ?? '–' },
    { head: 'TO', cell: move => move.to },
    { head: 'WHY', cell: ({ why }) => WHY[why] ?? why },
  ],
};

export const tables: Resource<TableView> = {
  kind: 'table',
  none: 'its operators keep no state',
  name: table => `${table.operator}/${table.table}`,
  json: known,
  columns: [
    { head: 'OPERATOR', cell: table => table.operator },
    { head: 'TABLE', cell: table => table.table },
    { head: 'STAGE', cell: table => table.stage },
    { head: 'ENTRIES', right: true, cell: table => count(table.entries) },
    { head: 'SIZE', right: true, cell: table => bytes(table.bytes) },
  ],
};

const VALUE_CHARACTERS_MAX = 120;

export const entries: Resource<EntryView> = {
  kind: 'entry',
  none: 'nothing is remembered of it; the keys that there are: millrace state scan PIPELINE OPERATOR',
  name: entry => `${entry.operator}/${entry.table}/${JSON.stringify(entry.key)}`,
  json: ({ key, value, ...entry }) => ({ ...entry, key, value }),
  columns: [
    { head: 'TABLE', cell: entry => entry.table },
    { head: 'PARTITION', right: true, cell: entry => String(entry.partition) },
    { head: 'BUCKET', right: true, cell: entry => String(entry.bucket) },
    { head: 'KEY', cell: entry => JSON.stringify(entry.key) },
    { head: 'VALUE', cell: entry => cut(JSON.stringify(entry.value) ?? '–', VALUE_CHARACTERS_MAX) },
  ],
};

export const letters: Resource<LetterView> = {
  kind: 'letter',
  none: 'no letters',
  name: letter => String(letter.number),
  json: letter => known({ ...letter, content: letter.content === null ? null : textOf(letter.content) }),
  columns: [
    { head: 'NUMBER', right: true, cell: letter => String(letter.number) },
    { head: 'KIND', cell: letter => letter.kind, paint: letter => (letter.kind === 'dead' ? 'bad' : 'warn') },
    { head: 'OPERATOR', cell: letter => letter.operator },
    { head: 'CODE', cell: letter => letter.code ?? '–' },
    { head: 'AGE', right: true, cell: letter => ago(letter.atMs) },
    { head: 'SUBJECT', cell: letter => letter.subject ?? '–' },
    { head: 'SIZE', right: true, wide: true, cell: letter => bytes(letter.sizeBytes) },
    { head: 'MESSAGE', cell: letter => cut(letter.message.replaceAll('\n', ' '), VALUE_CHARACTERS_MAX) },
    {
      head: 'CONTENT',
      wide: true,
      cell: letter => (letter.content === null ? '–' : cut(textOf(letter.content), VALUE_CHARACTERS_MAX)),
    },
  ],
};

const LEVEL_PAINTS: Readonly<Record<string, Paint>> = { debug: 'faint', warn: 'warn', error: 'bad' };

export const events: Resource<EventInfo> = {
  kind: 'event',
  none: 'nothing has happened since the workers were started',
  name: event => event.event,
  json: event => known(event),
  columns: [
    { head: 'TIME', cell: event => time(event.atMs) },
    { head: 'LEVEL', cell: event => event.level, paint: event => LEVEL_PAINTS[event.level] ?? null },
    { head: 'WORKER', cell: event => event.worker || '–' },
    { head: 'PIPELINE', cell: event => event.pipeline ?? '–' },
    { head: 'EVENT', cell: event => event.event },
    {
      head: 'MESSAGE',
      cell: event =>
        [
          event.message.replaceAll('\n', ' '),
          ...Object.entries(event.fields).map(([key, value]) =>
            value === null ? '' : fieldText(key, value as string),
          ),
        ]
          .filter(part => part !== '')
          .join('  '),
    },
  ],
};

export const audit: Resource<AuditEntry> = {
  kind: 'audit',
  none: 'nothing has been changed or refused in that time',
  name: entry => `${new Date(entry.atMs).toISOString()}`,
  json: entry => known(entry),
  columns: [
    { head: 'TIME', cell: entry => time(entry.atMs) },
    { head: 'WHO', cell: entry => entry.who ?? '–' },
    { head: 'FROM', cell: entry => (entry.via === null ? entry.from || '–' : `${entry.from} by ${entry.via}`) },
    { head: 'METHOD', cell: entry => entry.method ?? '–' },
    { head: 'PIPELINE', cell: entry => entry.pipeline ?? '–' },
    { head: 'REVISION', right: true, cell: entry => (entry.revision === null ? '–' : String(entry.revision)) },
    { head: 'BUNDLE', wide: true, cell: entry => entry.bundleHash?.slice(0, 12) ?? '–' },
    { head: 'WORKER', wide: true, cell: entry => entry.worker },
    {
      head: 'OUTCOME',
      cell: ({ outcome, code, times }) =>
        [outcome, code ?? '', times > 1 ? `${times} times` : ''].filter(part => part !== '').join(' '),
      paint: ({ code, outcome }) => (outcome === 'refused' ? 'warn' : code === null ? null : 'bad'),
    },
  ],
};

/** Who keeps a copy of its state, and how far behind. */
export function followersText({ followers }: Pick<TaskView, 'followers'>): string {
  if (followers.length === 0) return '–';
  return followers.map(({ worker, behind }) => (behind === 0 ? worker : `${worker} (−${count(behind)})`)).join(', ');
}

export function taskName({ pipeline, status }: TaskView): string {
  return `${pipeline}/${status.stage}/${status.partition}`;
}

export function stateOf(pipeline: PipelineInfo): string {
  return pipeline.deleting ? 'deleting' : pipeline.status.state;
}

export function paintOf(state: string): Paint | null {
  if (state === 'running') return 'good';
  if (state === 'failed') return 'bad';
  return state === 'paused' || state === 'stopped' ? 'faint' : 'warn';
}

/** What is left to read of all sources together; null: not known. */
export function lagOf(pipeline: PipelineInfo): number | null {
  const lags = pipeline.status.sources.map(source => source.lag);
  if (lags.length === 0 || lags.some(lag => lag === null)) return null;
  return lags.reduce<number>((sum, lag) => sum + (lag ?? 0), 0);
}

/** As text where it is text, else in base64. */
export function textOf(content: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return `base64:${Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('base64')}`;
  }
}

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}
