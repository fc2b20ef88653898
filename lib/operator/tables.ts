/**
 * The tables of operators, declared: what each opens when it is built (`build.ts`), told from its spec alone. So state can
 * be kept where the pipeline's code is not loaded. A test holds declaring and opening together.
 */
import type { TableSpec } from '../state/tables.ts';
import type { Program } from './program.ts';
import { isStateful } from './run.ts';
import type { StatefulSpec } from './spec.ts';
import { keepsPanes } from './window.ts';

const TIMERS = { name: 'timers', kind: 'numbers', inMemory: true } as const;

/** All tables of a program's state, by their whole names. JSON. */
export function tablesOf(program: Pick<Program, 'nodes'>): TableSpec[] {
  return program.nodes.flatMap(({ name: operator, spec }) =>
    isStateful(spec) ? tablesOfOperator(spec).map(table => ({ ...table, name: `${operator}.${table.name}` })) : [],
  );
}

function tablesOfOperator(spec: StatefulSpec): readonly TableSpec[] {
  switch (spec.kind) {
    case 'dedupe':
      // Numbers alone where copies do not go out: there may be very many of them.
      return [{ name: 'marks', key: 'key-and-id', kind: spec.keep === 'last' ? 'values' : 'numbers' }];
    case 'join':
      return [
        { name: 'left', key: 'key', kind: 'lists' },
        { name: 'right', key: 'key', kind: 'lists' },
      ];
    case 'window':
      if (spec.window.kind === 'session') {
        return [
          { name: 'sessions', key: 'key', kind: 'lists' },
          { ...TIMERS, key: 'key' },
        ];
      }
      if (!keepsPanes(spec)) return [{ name: 'windows', key: 'key', kind: 'values' }];
      return [
        { name: 'panes', key: 'key', kind: 'values' },
        { name: 'closed', key: 'task', kind: 'numbers', inMemory: true },
        { name: 'closing', key: 'key', kind: 'numbers', inMemory: true },
      ];
    case 'tableJoin':
      return [{ name: 'rows', key: 'key', kind: 'values' }];
    case 'process':
      return [
        { name: 'state', key: 'key', kind: 'values' },
        { ...TIMERS, key: 'name-and-key' },
      ];
  }
}
