/**
 * From wire messages to the values that commands and clients work with, and back. Where the wire has 0 or an empty text
 * for "none", values have null. Nothing is decided here.
 */

import type { EntryView } from '../engine/views.ts';
import type { Event, Field, Level } from '../observe/events.ts';
import { type PipelineState, type PipelineStatus, type TaskStatus, UNKNOWN_COUNTS } from '../observe/status.ts';
import type { DecodedKey, Key } from '../record/key.ts';
import type { AuditEntry } from '../service/audit.ts';
import type { PipelineView } from '../service/pipelines.ts';
import type { DeployOutcome, PlanAnswer } from '../service/plan.ts';
import type {
  LetterFilter,
  LetterKind,
  LetterView,
  MoveView,
  TaskView,
  ToldEvent,
  WorkerView,
} from '../service/views.ts';
import type {
  AuditWire,
  EntryWire,
  EventWire,
  FilterWire,
  LetterWire,
  MoveWire,
  PipelineWire,
  PlanWire,
  ServerInfoWire,
  StatusWire,
  TaskStatusWire,
  TaskWire,
  WorkerWire,
} from './wire.ts';

/** A pipeline as a client sees it. */
export interface PipelineInfo {
  readonly name: string;
  readonly revision: number;
  /** SHA-256 of the bundle that runs. */
  readonly bundleHash: string;
  readonly file: string;
  readonly fingerprint: string;
  /** Ms since 1970. */
  readonly deployedAtMs: number;
  /** The identity that asked for this revision; null: that was not known. */
  readonly deployedBy: string | null;
  /** Its delete was asked for and is being carried out. */
  readonly deleting: boolean;
  /** It should not run until it is resumed. */
  readonly paused: boolean;
  readonly status: PipelineStatus;
  /** The first of `workers`; null: none. */
  readonly worker: string | null;
  /** Those that have a part of it, by name. */
  readonly workers: readonly string[];
  /** Clock of the worker at the snapshot, ms since 1970. */
  readonly atMs: number;
}

export interface ServerInfo {
  readonly version: string;
  /** The worker that answers. */
  readonly worker: string;
  /** Null: none at the moment. */
  readonly activeWorker: string | null;
  /** `host:port`; null: none at the moment, or others are not told. */
  readonly activeAddress: string | null;
  /** Without credentials. */
  readonly natsUrl: string;
  /** Ms since 1970. */
  readonly startedAtMs: number;
  /** Null while it is not connected. */
  readonly natsVersion: string | null;
  readonly natsConnected: boolean;
  /** Folder of the project whose `millrace dev` it is; null: it is a worker. */
  readonly project: string | null;
}

/** Something that happened, as a client sees it. */
export interface EventInfo {
  /** Ms since 1970. */
  readonly atMs: number;
  readonly level: Level;
  readonly event: string;
  /** Null: it is about the worker. */
  readonly pipeline: string | null;
  /** Empty when the name says it all. */
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Who tells it. */
  readonly worker: string;
}

const STATE = 'PIPELINE_STATE_';
const OUTCOME = 'DEPLOY_OUTCOME_';
const KIND = 'LETTER_KIND_';
const LEVEL = 'EVENT_LEVEL_';
const REASON = 'MOVE_REASON_';

function stateToWire(state: PipelineState): string {
  return state === 'unknown' ? `${STATE}UNSPECIFIED` : STATE + state.toUpperCase();
}

function stateFromWire(state: string): PipelineState {
  const name = state.slice(STATE.length).toLowerCase();
  return name === 'unspecified' ? 'unknown' : (name as PipelineState);
}

export function outcomeToWire(outcome: DeployOutcome): string {
  return OUTCOME + outcome.toUpperCase();
}

export function outcomeFromWire(outcome: string): DeployOutcome {
  return outcome.slice(OUTCOME.length).toLowerCase() as DeployOutcome;
}

function taskStatusToWire({ watermarkMs, waitsFor, ...task }: TaskStatus): TaskStatusWire {
  return {
    ...task,
    ...(watermarkMs === null ? {} : { watermarkMs }),
    ...(waitsFor === null ? {} : { waitsFor }),
  };
}

function taskStatusFromWire(task: TaskStatusWire): TaskStatus {
  return { ...task, watermarkMs: task.watermarkMs ?? null, waitsFor: task.waitsFor ?? null };
}

/** @param options.tasks false: leave the tasks out, as lists do. */
export function pipelineToWire(view: PipelineView, options: { tasks: boolean }): PipelineWire {
  const { spec, status } = view;
  const desired: string = spec.desired;
  return {
    name: spec.name,
    revision: spec.revision,
    bundleHash: spec.bundle,
    file: spec.file,
    fingerprint: spec.fingerprint,
    deployedAtMs: spec.deployedAtMs,
    deployedBy: spec.deployedBy ?? '',
    deleting: desired === 'deleted',
    paused: desired === 'paused',
    status: {
      state: stateToWire(status.state),
      ...(status.reason === null ? {} : { reason: status.reason }),
      worker: view.workers[0] ?? '',
      workers: [...view.workers],
      sources: status.sources.map(({ lag, lagMs, watermarkMs, clockMs, quietMs, ...source }) => ({
        ...source,
        ...(lag === null ? {} : { lag }),
        ...(lagMs === null ? {} : { lagMs: Math.round(lagMs) }),
        ...(watermarkMs === null ? {} : { watermarkMs }),
        ...(clockMs === null ? {} : { clockMs }),
        ...(quietMs === null ? {} : { quietMs }),
      })),
      tasks: options.tasks ? status.tasks.map(taskStatusToWire) : [],
      counts: { ...status.counts, dropped: { ...status.counts.dropped } },
      atMs: view.atMs,
      operators: status.operators.map(({ watermarkMs, nextMs, ...operator }) => ({
        ...operator,
        ...(watermarkMs === null ? {} : { watermarkMs }),
        ...(nextMs === null ? {} : { nextMs }),
      })),
      ...(status.watermarkMs === null ? {} : { watermarkMs: status.watermarkMs }),
      ageMs: status.ageMs,
      ...(status.quarantine === null ? {} : { quarantine: status.quarantine }),
    },
  };
}

function statusFromWire(status: StatusWire | null): PipelineStatus {
  return {
    state: stateFromWire(status?.state ?? STATE),
    reason: status?.reason ?? null,
    quarantine: status?.quarantine ?? null,
    sources: (status?.sources ?? []).map(source => ({
      ...source,
      lag: source.lag ?? null,
      lagMs: source.lagMs ?? null,
      watermarkMs: source.watermarkMs ?? null,
      clockMs: source.clockMs ?? null,
      quietMs: source.quietMs ?? null,
    })),
    tasks: (status?.tasks ?? []).map(taskStatusFromWire),
    // Told with the tasks that they follow.
    followers: [],
    operators: (status?.operators ?? []).map(operator => ({
      ...operator,
      watermarkMs: operator.watermarkMs ?? null,
      nextMs: operator.nextMs ?? null,
    })),
    watermarkMs: status?.watermarkMs ?? null,
    counts: status?.counts ?? UNKNOWN_COUNTS,
    ageMs: status?.ageMs ?? 0,
  };
}

export function pipelineFromWire(wire: PipelineWire): PipelineInfo {
  const { status, deployedBy, ...rest } = wire;
  return {
    ...{ ...rest, deployedBy: deployedBy || null, status: statusFromWire(status) },
    ...{ worker: status?.worker || null, workers: status?.workers ?? [], atMs: status?.atMs ?? 0 },
  };
}

export function infoFromWire(wire: ServerInfoWire): ServerInfo {
  return {
    ...wire,
    activeWorker: wire.activeWorker || null,
    activeAddress: wire.activeAddress || null,
    natsVersion: wire.natsVersion || null,
    project: wire.project || null,
  };
}

export function planToWire(answer: PlanAnswer): PlanWire {
  return {
    name: answer.name,
    text: answer.text,
    summaryJson: JSON.stringify(answer.summary),
    fingerprint: answer.fingerprint,
    outcome: outcomeToWire(answer.outcome),
    incompatibilities: [...answer.incompatibilities],
    refusals: [...answer.refusals],
    notices: [...answer.notices],
    deployed: answer.deployed,
    differences: [...answer.differences],
  };
}

export function planFromWire({ summaryJson, outcome, ...rest }: PlanWire): PlanAnswer {
  return { ...rest, summary: JSON.parse(summaryJson) as unknown, outcome: outcomeFromWire(outcome) };
}

export function workerToWire(worker: WorkerView): WorkerWire {
  return { ...worker, address: worker.address ?? '' };
}

export function workerFromWire(wire: WorkerWire): WorkerView {
  return { ...wire, address: wire.address || null };
}

export function moveToWire({ why, ...move }: MoveView): MoveWire {
  return { ...move, from: move.from ?? '', reason: REASON + why.toUpperCase() };
}

/** A reason that is not known is of a later version. */
export function moveFromWire({ reason, ...move }: MoveWire): MoveView {
  return {
    ...move,
    from: move.from || null,
    why: String(reason).slice(REASON.length).toLowerCase() as MoveView['why'],
  };
}

export function taskToWire(task: TaskView): TaskWire {
  return { ...task, status: taskStatusToWire(task.status), followers: [...task.followers] };
}

export function taskFromWire({ status, ...wire }: TaskWire): TaskView {
  return { ...wire, status: taskStatusFromWire(status as TaskStatusWire) };
}

/** JSON has no big integers: one is written `{"bigint":"123"}`. */
export function keyToJson(key: Key): string {
  return JSON.stringify(key ?? null, (_, part: unknown) =>
    typeof part === 'bigint' ? { bigint: part.toString() } : part,
  );
}

/** The key, or undefined where the text is no JSON or no key. */
export function keyFromJson(text: string): DecodedKey | undefined {
  try {
    return keyOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function keyOf(part: unknown): DecodedKey {
  if (part === null || typeof part === 'string' || typeof part === 'number' || typeof part === 'boolean') return part;
  if (Array.isArray(part)) return part.map(keyOf);
  return BigInt((part as { bigint: string }).bigint);
}

/** What JSON cannot say (big integers, bytes, …) is said as text. */
export function entryToWire({ key, value, ...entry }: EntryView): EntryWire {
  const valueJson = JSON.stringify(value ?? null, (_, part: unknown) => (typeof part === 'bigint' ? `${part}` : part));
  return { ...entry, keyJson: keyToJson(key), valueJson };
}

export function entryFromWire({ keyJson, valueJson, ...entry }: EntryWire): EntryView {
  return { ...entry, key: keyFromJson(keyJson) ?? null, value: JSON.parse(valueJson) as unknown };
}

export function letterToWire(letter: LetterView): LetterWire {
  return {
    ...letter,
    kind: KIND + letter.kind.toUpperCase(),
    code: letter.code ?? '',
    subject: letter.subject ?? '',
    content: letter.content ?? new Uint8Array(0),
    headers: { ...letter.headers },
  };
}

/** @param asked whether content and headers were asked for; else they are null. */
export function letterFromWire(wire: LetterWire, asked: { content: boolean; headers: boolean }): LetterView {
  return {
    ...wire,
    kind: kindFromWire(wire.kind) ?? 'dead',
    code: wire.code || null,
    subject: wire.subject || null,
    content: asked.content ? wire.content : null,
    headers: asked.headers ? wire.headers : null,
  };
}

function kindFromWire(kind: string | number): LetterKind | null {
  const name = String(kind).slice(KIND.length).toLowerCase();
  return name === 'dead' || name === 'late' ? name : null;
}

export function filterToWire(filter: LetterFilter): FilterWire {
  return {
    pipeline: filter.pipeline,
    kind: filter.kind === null ? `${KIND}UNSPECIFIED` : KIND + filter.kind.toUpperCase(),
    operator: filter.operator ?? '',
    code: filter.code ?? '',
    numbers: [...filter.numbers],
    sinceMs: filter.sinceMs ?? 0,
  };
}

export function filterFromWire(wire: FilterWire): LetterFilter {
  return {
    pipeline: wire.pipeline,
    kind: kindFromWire(wire.kind),
    operator: wire.operator || null,
    code: wire.code || null,
    numbers: wire.numbers,
    sinceMs: wire.sinceMs || null,
  };
}

export function auditToWire(entry: AuditEntry): AuditWire {
  const text = (value: string | null) => value ?? '';
  return {
    ...entry,
    ...{ who: text(entry.who), via: text(entry.via), method: text(entry.method), pipeline: text(entry.pipeline) },
    ...{ revision: entry.revision ?? 0, bundleHash: text(entry.bundleHash), code: text(entry.code) },
  };
}

export function auditFromWire(wire: AuditWire): AuditEntry {
  return {
    ...wire,
    ...{ who: wire.who || null, via: wire.via || null, method: wire.method || null, pipeline: wire.pipeline || null },
    ...{ revision: wire.revision || null, bundleHash: wire.bundleHash || null, code: wire.code || null },
  };
}

export function levelToWire(level: Level): string {
  return LEVEL + level.toUpperCase();
}

/** Unspecified is info. */
export function levelFromWire(level: string | number): Level {
  const name = String(level).slice(LEVEL.length).toLowerCase();
  return name === 'debug' || name === 'warn' || name === 'error' ? name : 'info';
}

export function eventToWire({ atMs, event, worker }: ToldEvent): EventWire {
  const { event: name, level, pipeline, message, ...fields }: Event = event;
  return {
    atMs,
    level: levelToWire(level),
    event: name,
    pipeline: textOf(pipeline),
    message: textOf(message),
    fieldsJson: JSON.stringify(fields),
    worker,
  };
}

function textOf(field: Field): string {
  return field === null || field === undefined ? '' : String(field);
}

export function eventFromWire(wire: EventWire): EventInfo {
  const { level, pipeline, fieldsJson, ...rest } = wire;
  const fields = JSON.parse(fieldsJson) as Record<string, unknown>;
  return { ...rest, level: levelFromWire(level), pipeline: pipeline || null, fields };
}
