/** A state of these tables, by name. */
import { TaskState } from '../../../lib/state/state.ts';
import type { TableSpec } from '../../../lib/state/tables.ts';

export function stateOf(kinds: Readonly<Record<string, TableSpec['kind']>>): TaskState {
  return new TaskState(Object.entries(kinds).map(([name, kind]) => ({ name, key: 'key', kind })));
}
