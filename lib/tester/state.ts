/**
 * What operators keep, as a test looks at it: the same as `millrace state` shows of a running pipeline.
 */
import { isDeepStrictEqual } from 'node:util';
import { MillraceError } from '../base/errors.ts';
import type { ProgramNode } from '../operator/program.ts';
import { isStateful } from '../operator/run.ts';
import { showEntry } from '../operator/shown.ts';
import type { StatefulSpec } from '../operator/spec.ts';
import type { Key } from '../record/key.ts';
import type { TestStage } from './stage.ts';

/** An entry of an operator's state. */
export interface StateEntry {
  /** `marks` of a dedupe, `left` and `right` of a join, `windows`, `state` and `timers` of `process`, … */
  readonly table: string;
  /** The record's; of a mark `[key, id]`, or the id where that is the key; of a timer `[key, name]`. */
  readonly key: Key;
  readonly partition: number;
  /** Plain data. */
  readonly value: unknown;
}

interface Keeper extends ProgramNode {
  readonly spec: StatefulSpec;
}

function keepersOf({ plan }: TestStage): Keeper[] {
  return plan.program.nodes.filter((node): node is Keeper => isStateful(node.spec));
}

/** @param key of records; undefined: all */
export function stateOf(stages: readonly TestStage[], operator: string, key: Key | undefined): StateEntry[] {
  for (const stage of stages) {
    const keeper = keepersOf(stage).find(({ name }) => name === operator);
    if (keeper === undefined) continue;
    const entries = stage.tasks.flatMap(({ processor, partition }) =>
      Array.from(processor.state.entriesOf(operator), entry => {
        return { table: entry.table, partition, ...showEntry(keeper.spec, entry) };
      }),
    );
    return key === undefined ? entries : entries.filter(entry => isOf(entry, key));
  }
  const known = stages.flatMap(keepersOf).map(({ name }) => name);
  throw new MillraceError(
    'NOT_FOUND',
    `no operator '${operator}' keeps state; those that do: ${known.join(', ') || 'none'}`,
  );
}

function isOf(entry: StateEntry, key: Key): boolean {
  if (isDeepStrictEqual(entry.key, key)) return true;
  const isCompound = entry.table === 'marks' || entry.table === 'timers';
  return isCompound && Array.isArray(entry.key) && isDeepStrictEqual(entry.key[0], key);
}
