/**
 * The messages of `admin.proto` as TypeScript sees them on the wire, and how they become the values that commands and
 * clients work with. Field names and meanings are the proto's; nothing is decided here.
 */
import type { PipelineState, PipelineStatus } from '../observe/status.ts';
import type { DeployAnswer, DeployOutcome, PipelineView, PlanAnswer } from '../worker/commands.ts';
import type { Bundle } from '../worker/host.ts';

/** A pipeline as a client sees it. */
export interface PipelineInfo {
  readonly name: string;
  readonly revision: number;
  readonly bundleHash: string;
  readonly file: string;
  readonly fingerprint: string;
  /** Ms since 1970. */
  readonly deployedAtMs: number;
  readonly deleting: boolean;
  readonly status: PipelineStatus;
  /** The worker that runs it; null: none. */
  readonly worker: string | null;
  /** Clock of the worker at the snapshot, ms since 1970. */
  readonly atMs: number;
}

export interface ServerInfo {
  readonly version: string;
  readonly worker: string;
  /** Null: none at the moment. */
  readonly activeWorker: string | null;
  readonly activeAddress: string | null;
  readonly natsUrl: string;
  readonly startedAtMs: number;
}

export type BundleWire = Bundle;

export interface StatusWire {
  state: string;
  reason?: string;
  worker: string;
  readers: {
    name: string;
    position: number;
    lag?: number;
    watermarkMs?: number;
    recordsIn: number;
    idle: boolean;
  }[];
  tasks: {
    stage: string;
    partition: number;
    state: string;
    epoch: number;
    commits: number;
    recordsIn: number;
    recordsOut: number;
    watermarkMs?: number;
    stateBytes: number;
    stateEntries: number;
  }[];
  counts: { in: number; out: number; late: number; dead: number; dropped: Record<string, number> } | null;
  atMs: number;
}

export interface PipelineWire {
  name: string;
  revision: number;
  bundleHash: string;
  file: string;
  fingerprint: string;
  deployedAtMs: number;
  deleting: boolean;
  status: StatusWire | null;
}

export interface ServerInfoWire {
  version: string;
  worker: string;
  activeWorker: string;
  activeAddress: string;
  natsUrl: string;
  startedAtMs: number;
}

export interface PlanWire {
  name: string;
  text: string;
  summaryJson: string;
  fingerprint: string;
  outcome: string;
  incompatibilities: string[];
}

export interface DeployWire {
  name: string;
  revision: number;
  outcome: string;
}

export interface DescribeWire {
  pipeline: PipelineWire | null;
  text: string;
  summaryJson: string;
}

export interface DeleteWire {
  done: boolean;
  kept: string[];
  deleted: string[];
}

const STATE = 'PIPELINE_STATE_';
const OUTCOME = 'DEPLOY_OUTCOME_';

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

function outcomeFromWire(outcome: string): DeployOutcome {
  return outcome.slice(OUTCOME.length).toLowerCase() as DeployOutcome;
}

/** @param options.tasks false: leave the tasks out, as lists do. */
export function pipelineToWire(view: PipelineView, options: { tasks: boolean }): PipelineWire {
  const { spec, status } = view;
  return {
    name: spec.name,
    revision: spec.revision,
    bundleHash: spec.bundle,
    file: spec.file,
    fingerprint: spec.fingerprint,
    deployedAtMs: spec.deployedAtMs,
    deleting: spec.desired === 'deleted',
    status: {
      state: stateToWire(status.state),
      ...(status.reason === null ? {} : { reason: status.reason }),
      worker: view.worker ?? '',
      readers: status.readers.map(({ lag, watermarkMs, ...reader }) => ({
        ...reader,
        ...(lag === null ? {} : { lag }),
        ...(watermarkMs === null ? {} : { watermarkMs }),
      })),
      tasks: !options.tasks
        ? []
        : status.tasks.map(({ watermarkMs, ...task }) => ({
            ...task,
            ...(watermarkMs === null ? {} : { watermarkMs }),
          })),
      counts: { ...status.counts, dropped: { ...status.counts.dropped } },
      atMs: view.atMs,
    },
  };
}

export function pipelineFromWire(wire: PipelineWire): PipelineInfo {
  const { status, ...rest } = wire;
  return {
    ...rest,
    status: {
      state: stateFromWire(status?.state ?? STATE),
      reason: status?.reason ?? null,
      readers: (status?.readers ?? []).map(reader => ({
        ...reader,
        lag: reader.lag ?? null,
        watermarkMs: reader.watermarkMs ?? null,
      })),
      tasks: (status?.tasks ?? []).map(task => ({ ...task, watermarkMs: task.watermarkMs ?? null })),
      counts: status?.counts ?? { in: 0, out: 0, late: 0, dead: 0, dropped: {} },
    },
    worker: status === null || status.worker === '' ? null : status.worker,
    atMs: status?.atMs ?? 0,
  };
}

export function infoFromWire(wire: ServerInfoWire): ServerInfo {
  return { ...wire, activeWorker: wire.activeWorker || null, activeAddress: wire.activeAddress || null };
}

export function planToWire(answer: PlanAnswer): PlanWire {
  return {
    name: answer.name,
    text: answer.text,
    summaryJson: JSON.stringify(answer.summary),
    fingerprint: answer.fingerprint,
    outcome: outcomeToWire(answer.outcome),
    incompatibilities: [...answer.incompatibilities],
  };
}

export function planFromWire({ summaryJson, outcome, ...rest }: PlanWire): PlanAnswer {
  return { ...rest, summary: JSON.parse(summaryJson) as unknown, outcome: outcomeFromWire(outcome) };
}

export function deployFromWire({ outcome, ...rest }: DeployWire): DeployAnswer {
  return { ...rest, outcome: outcomeFromWire(outcome) as DeployAnswer['outcome'] };
}
