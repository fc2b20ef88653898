/**
 * The fingerprint: may this plan read that state? Over everything that lays out state and positions, and nothing else:
 * user functions, schemas, formats and sinks may change while a pipeline keeps its state.
 */
import { createHash } from 'node:crypto';
import { durationText } from '../base/duration.ts';
import type { Program } from '../operator/program.ts';
import type { OperatorSpec, WindowSpec } from '../operator/spec.ts';
import type { SourceSpec } from '../source/spec.ts';
import type { Plan } from './plan.ts';

/** What of a plan state depends on: plain JSON. */
export interface StateLayout {
  readonly readers: Readonly<Record<string, string>>;
  readonly stages: Readonly<Record<string, StageLayout>>;
}

export interface StageLayout {
  readonly partitions: number;
  /** What a direct stage reads; '' for others. */
  readonly reads: string;
  /** Where each input comes from. */
  readonly inputs: Readonly<Record<string, string>>;
  /** What each stateful operator keeps. */
  readonly operators: Readonly<Record<string, string>>;
}

export function layoutOf(plan: Omit<Plan, 'fingerprint'>): StateLayout {
  return {
    readers: sorted(plan.readers.map(reader => [reader.name, readText(reader.source)])),
    stages: sorted(
      plan.stages.map(stage => [
        stage.name,
        {
          partitions: stage.partitions,
          reads: stage.direct === null ? '' : readText(stage.direct),
          inputs: sorted(
            stage.inputs.map(({ name, from }) => [
              name,
              from.kind === 'reader' ? `reader ${from.reader}` : `stage ${from.stage}`,
            ]),
          ),
          operators: operatorTexts(stage.program),
        },
      ]),
    ),
  };
}

function sorted<V>(entries: readonly (readonly [string, V])[]): Record<string, V> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function readText(source: SourceSpec): string {
  return `${source.subject} of stream ${source.stream}`;
}

function operatorTexts(program: Program): Record<string, string> {
  const texts: [string, string][] = [];
  for (const { name, spec } of program.nodes) {
    const { text, state } = operatorText(spec);
    if (state) texts.push([name, text]);
  }
  return sorted(texts);
}

/** What an operator does as far as state depends on it, and whether it keeps any. */
export function operatorText(spec: OperatorSpec): { text: string; state: boolean } {
  switch (spec.kind) {
    case 'dedupe':
      return { text: `keeps the ${spec.keep} of copies within ${durationText(spec.withinMs)}`, state: true };
    case 'join': {
      const reach = `${durationText(spec.beforeMs)} before to ${durationText(spec.afterMs)} after`;
      return { text: `${spec.join} join, ${reach}`, state: true };
    }
    case 'tableJoin':
      // Inner or left is told when a record passes, and leaves no trace in the table.
      return { text: 'join with a table', state: true };
    case 'process':
      return { text: 'code with state and timers', state: true };
    case 'window': {
      const kinds = spec.aggregates.map(({ kind }) => kind).join(', ');
      const emits = spec.emit === 'updates' ? ', every change' : '';
      return { text: `${windowText(spec.window)}${emits}: ${kinds}`, state: true };
    }
    case 'carryId':
      return { text: 'computes the id that copies are found by', state: false };
    case 'keyBy':
      return { text: 'computes the key', state: false };
    default:
      return { text: spec.kind, state: false };
  }
}

function windowText(window: WindowSpec): string {
  switch (window.kind) {
    case 'tumbling':
      return `windows of ${durationText(window.sizeMs)}${offsetText(window.offsetMs)}`;
    case 'hopping':
      return `windows of ${durationText(window.sizeMs)} every ${durationText(window.advanceMs)}${offsetText(window.offsetMs)}`;
    case 'session':
      return `sessions that end with a pause of more than ${durationText(window.gapMs)}`;
  }
}

function offsetText(offsetMs: number): string {
  return offsetMs === 0 ? '' : `, moved by ${durationText(offsetMs)}`;
}

/** 32 hex digits of SHA-256 over the layout. */
export function fingerprintOf(plan: Omit<Plan, 'fingerprint'>): string {
  return createHash('sha256')
    .update(JSON.stringify(layoutOf(plan)))
    .digest('hex')
    .slice(0, 32);
}

/** Why state laid out as `before` cannot be read by `after`, each reason a line for a person; empty: it can. */
export function layoutChanges(before: StateLayout, after: StateLayout): string[] {
  const reasons: string[] = [];
  compare(before.readers, after.readers, {
    gone: name => reasons.push(`source ${name} is gone, and with it the place up to which it was read`),
    come: name => reasons.push(`source ${name} is new: stages that run already have not read it from its beginning`),
    both: (name, old, now) => {
      if (old !== now) reasons.push(`source ${name} read ${old} and would now read ${now}`);
    },
  });
  compare(before.stages, after.stages, {
    gone: name => reasons.push(`stage ${name} is gone, and with it its state`),
    come: name => reasons.push(`stage ${name} is new, and what it should have seen has been read already`),
    both: (name, old, now) => reasons.push(...stageChanges(name, old, now)),
  });
  return reasons;
}

function stageChanges(stage: string, before: StageLayout, after: StageLayout): string[] {
  const reasons: string[] = [];
  if (before.partitions !== after.partitions) {
    reasons.push(
      `stage ${stage} has ${before.partitions} partitions and would have ${after.partitions}: keys would move`,
    );
  }
  if (before.reads !== after.reads)
    reasons.push(`stage ${stage} read ${before.reads} and would now read ${after.reads}`);
  compare(before.inputs, after.inputs, {
    gone: name => reasons.push(`input ${name} of stage ${stage} is gone`),
    come: name => reasons.push(`input ${name} of stage ${stage} is new`),
    both: (name, old, now) => {
      if (old !== now) reasons.push(`input ${name} of stage ${stage} came from ${old} and would now come from ${now}`);
    },
  });
  compare(before.operators, after.operators, {
    gone: name => reasons.push(`operator ${name} of stage ${stage} is gone, and with it its state`),
    come: name => reasons.push(`operator ${name} of stage ${stage} is new: it has not seen the records before`),
    both: (name, old, now) => {
      if (old !== now) reasons.push(`operator ${name} of stage ${stage} was (${old}) and would be (${now})`);
    },
  });
  return reasons;
}

function compare<V>(
  before: Readonly<Record<string, V>>,
  after: Readonly<Record<string, V>>,
  tell: { gone(name: string): void; come(name: string): void; both(name: string, old: V, now: V): void },
): void {
  for (const [name, old] of Object.entries(before)) {
    const now = Object.hasOwn(after, name) ? after[name] : undefined;
    if (now === undefined) tell.gone(name);
    else tell.both(name, old, now);
  }
  for (const name of Object.keys(after)) if (!Object.hasOwn(before, name)) tell.come(name);
}
