/**
 * The summary: a plan as plain JSON, without functions. Stored with each deployed revision and shown by the API; what
 * the next revision is judged by (`incompatibilities`).
 */
import { BEGIN_ANEW } from '../base/errors.ts';
import type { Exit, Program } from '../operator/program.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import type { SourceSpec } from '../source/spec.ts';
import { layoutChanges, layoutOf, operatorText, type StateLayout } from './fingerprint.ts';
import type { InputPlan, Plan } from './plan.ts';

export const SUMMARY_VERSION = 3;

export interface SourceSummary {
  readonly name: string;
  readonly kind: SourceSpec['kind'];
  readonly subject: string;
  readonly stream: string;
  /** See `SourceSpec`. */
  readonly streams: readonly string[];
  /** What the stream keeps that is made for it; null: one is there. */
  readonly capture: SourceSpec['capture'];
  /** See `SourceSpec`. */
  readonly keeps: SourceSpec['keeps'];
  readonly start: SourceSpec['start'];
  readonly format: string;
  readonly schema: boolean;
  readonly eventTime: boolean;
  /** Whether its records may be other changes than inserts. */
  readonly changes: boolean;
  readonly maxOutOfOrderMs: number;
  readonly idleAfterMs: number;
  readonly idle: SourceSpec['idle'];
  readonly maxDelayMs: number | null;
}

export interface OperatorSummary {
  readonly name: string;
  readonly kind: string;
  /** What it does, for people. */
  readonly text: string;
  readonly state: boolean;
}

export interface ReaderSummary {
  readonly source: SourceSummary;
  readonly operators: readonly OperatorSummary[];
  readonly exits: readonly Exit[];
}

export interface StageSummary {
  readonly name: string;
  readonly partitions: number;
  readonly direct: SourceSummary | null;
  readonly inputs: readonly InputPlan[];
  readonly operators: readonly OperatorSummary[];
  readonly exits: readonly Exit[];
}

export interface PlanSummary {
  readonly version: typeof SUMMARY_VERSION;
  readonly pipeline: string;
  readonly fingerprint: string;
  readonly readers: readonly ReaderSummary[];
  readonly stages: readonly StageSummary[];
  readonly sinks: readonly SinkSpec[];
  /** See `Plan`; absent: none, or it was stored by an earlier version. */
  readonly env?: readonly string[];
  /** Names of the sinks that get them. */
  readonly changing: readonly string[];
  /** See `Plan`; as it was when this was planned. */
  readonly warnings: readonly string[];
  readonly layout: StateLayout;
}

export function summarize(plan: Plan): PlanSummary {
  return {
    version: SUMMARY_VERSION,
    pipeline: plan.pipeline,
    fingerprint: plan.fingerprint,
    readers: plan.readers.map(({ source, program }) => ({
      source: sourceSummary(source),
      operators: operators(program),
      exits: program.exits,
    })),
    stages: plan.stages.map(({ name, partitions, direct, inputs, program }) => ({
      name,
      partitions,
      direct: direct === null ? null : sourceSummary(direct),
      inputs,
      operators: operators(program),
      exits: program.exits,
    })),
    sinks: plan.sinks,
    ...(plan.env.length === 0 ? {} : { env: plan.env }),
    changing: plan.changing,
    warnings: plan.warnings,
    layout: layoutOf(plan),
  };
}

function sourceSummary(source: SourceSpec): SourceSummary {
  const { name, kind, subject, stream, streams, start, maxOutOfOrderMs, idleAfterMs, idle, maxDelayMs } = source;
  return {
    name,
    kind,
    subject,
    stream,
    streams,
    capture: source.capture,
    keeps: source.keeps,
    start,
    format: source.decoder.name,
    schema: source.validate !== null,
    eventTime: source.time !== null,
    changes: source.change !== null,
    maxOutOfOrderMs,
    idleAfterMs,
    idle,
    maxDelayMs,
  };
}

function operators(program: Program): OperatorSummary[] {
  return program.nodes.map(({ name, spec }) => ({ name, kind: spec.kind, ...operatorText(spec) }));
}

/**
 * Why the state of a running plan cannot be read by its next revision, each reason a line for a person; empty: it can.
 * Both are summaries, as they were stored.
 */
export function incompatibilities(before: unknown, after: unknown): readonly string[] {
  if (!isSummary(before) || !isSummary(after)) {
    return [
      `the plan that is running was stored by another version, in a form that this one does not know: ${BEGIN_ANEW}`,
    ];
  }
  if (before.pipeline !== after.pipeline) return [`this is pipeline ${after.pipeline}, not ${before.pipeline}`];
  if (before.fingerprint === after.fingerprint) return [];
  return layoutChanges(before.layout, after.layout);
}

/** The sources of a stored plan that have a say in event time: all but tables, each once. */
export function streamsOfSummary(summary: unknown): SourceSummary[] {
  if (!isSummary(summary)) return [];
  const all = [...summary.readers.map(({ source }) => source), ...summary.stages.flatMap(({ direct }) => direct ?? [])];
  const streams = all.filter(({ kind }) => kind === 'stream');
  return [...new Map(streams.map(source => [source.name, source])).values()];
}

/** A summary as it was stored; null: by another version, in a form that this one does not know. */
export function readSummary(value: unknown): PlanSummary | null {
  return isSummary(value) ? value : null;
}

function isSummary(value: unknown): value is PlanSummary {
  return typeof value === 'object' && value !== null && (value as Partial<PlanSummary>).version === SUMMARY_VERSION;
}
