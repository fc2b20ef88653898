/**
 * The tables of operators, declared: what each opens when it is built (`build.ts`), told from its spec alone. So state can
 * be kept where the pipeline's code is not loaded. A test holds declaring and opening together.
 */
import type { TableSpec } from '../state/tables.ts';
import type { Program } from './program.ts';
import { isStateful } from './run.ts';
import type { StatefulSpec } from './spec.ts';
import { keepsPanes } from './window.ts';

const TIMERS: TableSpec = { name: 'timers', kind: 'numbers', inMemory: true };

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
      return [{ name: 'marks', kind: spec.keep === 'last' ? 'values' : 'numbers' }];
    case 'join':
      return [
        { name: 'left', kind: 'lists' },
        { name: 'right', kind: 'lists' },
      ];
    case 'window':
      if (spec.window.kind === 'session') return [{ name: 'sessions', kind: 'values' }, TIMERS];
      if (!keepsPanes(spec)) return [{ name: 'windows', kind: 'values' }];
      return [
        { name: 'panes', kind: 'values' },
        { name: 'closing', kind: 'numbers', inMemory: true },
      ];
    case 'tableJoin':
      return [{ name: 'rows', kind: 'values' }];
    case 'process':
      return [{ name: 'state', kind: 'values' }, TIMERS];
  }
}
