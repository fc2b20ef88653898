/**
 * The fingerprint: may this plan read that state? Over everything that lays out state and positions, and nothing else:
 * user functions, schemas, formats and sinks may change while a pipeline keeps its state.
 *
 * So may whether a source's records are inserts alone. What is on its way when that is said anew carries its changes along,
 * and comes only to operators that both plans have let it come to: one with state is part of the layout with all inputs
 * that lead to it, and has inserts alone from each.
 */
import { createHash } from 'node:crypto';
import { durationText } from '../base/duration.ts';
import type { Program, Target } from '../operator/program.ts';
import type { OperatorSpec, WindowSpec } from '../operator/spec.ts';
import { keepsPanes } from '../operator/window.ts';
import type { SourceSpec } from '../source/spec.ts';
import type { Plan, StagePlan } from './plan.ts';

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
          operators: operatorTexts(stage),
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

/**
 * What each stateful operator of a stage keeps, and of which inputs: two joins of one kind whose sides have changed
 * places, or two windows that have, would else take each other's state for their own.
 */
function operatorTexts({ program, inputs }: Pick<StagePlan, 'program' | 'inputs'>): Record<string, string> {
  const fed = feedsOf(program);
  const texts: [string, string][] = [];
  for (const [index, { name, spec }] of program.nodes.entries()) {
    const { text, state } = operatorText(spec);
    if (!state) continue;
    const sides = (fed[index] ?? []).map(side =>
      [...side]
        .map(input => inputs[input]?.name)
        .sort()
        .join(' and '),
    );
    texts.push([name, `${text}; from ${sides.join(', with ')}`]);
  }
  return sorted(texts);
}

/** By node and port: the inputs whose records may arrive there, whatever has become of them on the way. */
function feedsOf({ nodes, entries }: Program): Set<number>[][] {
  const feeds: Set<number>[][] = nodes.map(() => []);
  const arrive = (target: Target, inputs: Iterable<number>) => {
    if ('exit' in target) return;
    const ports = feeds[target.node] as Set<number>[];
    for (let port = ports.length; port <= target.port; port++) ports.push(new Set());
    for (const input of inputs) ports[target.port]?.add(input);
  };
  for (const [input, targets] of entries.entries()) for (const target of targets) arrive(target, [input]);
  // Nodes stand in topological order: all that arrives at one is known when it is its turn.
  for (const [index, { targets }] of nodes.entries()) {
    const inputs = new Set((feeds[index] as Set<number>[]).flatMap(side => [...side]));
    for (const target of targets) arrive(target, inputs);
  }
  return feeds;
}

/** What an operator does as far as state depends on it, and whether it keeps any. */
export function operatorText(spec: OperatorSpec): { text: string; state: boolean } {
  switch (spec.kind) {
    case 'dedupe':
      return {
        text: `keeps the ${spec.keep} of copies within ${durationText(spec.withinMs)}${graceText(spec)}`,
        state: true,
      };
    case 'join': {
      const reach = `${durationText(spec.beforeMs)} before to ${durationText(spec.afterMs)} after`;
      return { text: `${spec.join} join, ${reach}${graceText(spec)}`, state: true };
    }
    case 'tableJoin':
      // Inner or left is told when a record passes, and leaves no trace in the table.
      return { text: 'join with a table', state: true };
    case 'process':
      return { text: 'code with state and timers', state: true };
    case 'window': {
      const results = spec.results.map((name, i) => `${name} (${spec.aggregates[i]?.kind})`).join(', ');
      const emits = spec.emit === 'updates' ? ', every change' : '';
      const panes = keepsPanes(spec) ? ' in panes' : '';
      return { text: `${windowText(spec.window)}${panes}${graceText(spec)}${emits}: ${results}`, state: true };
    }
    case 'carryId':
      return { text: 'computes the id that copies are found by', state: false };
    case 'keyBy':
      return { text: 'computes the key', state: false };
    default:
      return { text: spec.kind, state: false };
  }
}

/**
 * With more grace, what has been judged, closed or sent as unmatched would be open again, without its state; with less,
 * what is sent next would be late for the stages behind. So grace is a part of what state means.
 */
function graceText({ graceMs }: { readonly graceMs: number }): string {
  return graceMs === 0 ? '' : `, grace ${durationText(graceMs)}`;
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
