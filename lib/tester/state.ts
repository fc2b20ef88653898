/**
 * What operators keep, as a test looks at it: entries by operator, table and key, decoded.
 */
import { MillraceError } from '../base/errors.ts';
import { readMark } from '../operator/dedupe.ts';
import { readTimerId } from '../operator/process.ts';
import { decodeKey } from '../record/key.ts';
import type { TestStage } from './stage.ts';

/** An entry of an operator's state. */
export interface StateEntry {
  /** `marks` of a dedupe, `left` and `right` of a join, `windows` or `panes`, `state` and `timers` of `process`, … */
  readonly table: string;
  readonly key: unknown;
  /** A dedupe's id, a timer's name; null for others. */
  readonly id: string | null;
  readonly partition: number;
  /** A copy, in the operator's own form. */
  readonly value: unknown;
}

const STATEFUL: ReadonlySet<string> = new Set(['dedupe', 'join', 'window', 'tableJoin', 'process']);

/** @param key encoded; null: of all keys */
export function stateOf(stages: readonly TestStage[], operator: string, key: string | null): StateEntry[] {
  const namesOf = ({ plan }: TestStage) =>
    plan.program.nodes.filter(({ spec }) => STATEFUL.has(spec.kind)).map(({ name }) => name);
  const stage = stages.find(candidate => namesOf(candidate).includes(operator));
  if (stage === undefined) {
    const known = stages.flatMap(namesOf).join(', ') || 'none';
    throw new MillraceError('NOT_FOUND', `no operator '${operator}' keeps state; those that do: ${known}`);
  }
  return stage.tasks.flatMap(({ processor, partition }) =>
    [...processor.state.entriesOf(operator)]
      .map(({ table, key: text, content }) => ({ table, content, ...keyAndId(table, text) }))
      .filter(entry => key === null || entry.key === key)
      .map(({ table, key: text, id, content }) => {
        return { table, key: decodeKey(text), id, partition, value: structuredClone(content) };
      }),
  );
}

/** How operators name the entries of a key: dedupe by key and id, timers by name and key. */
function keyAndId(table: string, text: string): { key: string; id: string | null } {
  if (table === 'marks') return readMark(text);
  if (table !== 'timers') return { key: text, id: null };
  const { name, key } = readTimerId(text);
  return { key, id: name };
}
