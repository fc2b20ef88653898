/**
 * Stream-table join: each record of the stream (port 0) meets the latest row of its key. Only the stream triggers; the
 * table (port 1) is a changelog, of which the last record to arrive for a key is its row and null removes it.
 *
 * State: table `rows`, bucket 0, one entry a key, for as long as the row exists.
 *
 * Inner drops stream records that have no row ('filtered') or no key ('null-key'); the other kind passes them with null.
 * A table record without a key is no row of anything: 'null-key'. `lagMs` is 0: records pass as they come.
 */
import { INSERT } from '../change/change.ts';
import type { ValueTable, Wants } from '../state/tables.ts';
import { frozen } from './kept.ts';
import type { Operator, OperatorContext, OperatorLook } from './operator.ts';
import type { StatefulSpec } from './spec.ts';
import { refusePromise } from './user-code.ts';

type TableJoinSpec = Extract<StatefulSpec, { kind: 'tableJoin' }>;
const TABLE_PORT = 1;

export class TableJoin implements Operator {
  readonly lagMs = 0;
  #spec: TableJoinSpec;
  #context: OperatorContext;
  #rows: ValueTable<unknown>;

  constructor(spec: TableJoinSpec, context: OperatorContext) {
    this.#spec = spec;
    this.#context = context;
    this.#rows = context.tables.values<unknown>('rows');
  }

  receive(port: number, key: string | null, value: unknown, timeMs: number): void {
    if (port === TABLE_PORT) this.#update(key, value);
    else this.#enrich(key, value, timeMs);
  }

  #update(key: string | null, value: unknown): void {
    if (key === null) this.#context.drop('null-key');
    else if (value === null || value === undefined) this.#rows.delete(0, key);
    else this.#rows.set(0, key, value);
  }

  #enrich(key: string | null, value: unknown, timeMs: number): void {
    const context = this.#context;
    if (value === null || value === undefined) {
      context.drop('null-value');
      return;
    }
    const row = key === null ? undefined : this.#rows.get(0, key);
    if (row === undefined && this.#spec.inner) {
      context.drop(key === null ? 'null-key' : 'filtered');
      return;
    }
    let combined: unknown;
    try {
      combined = this.#spec.combine(value, frozen(row) ?? null);
      refusePromise(combined, 'the combine function of a join');
    } catch (cause) {
      context.poison(cause, { key, value, timeMs });
      return;
    }
    context.emit(key, combined, timeMs, INSERT);
  }

  advance(): boolean {
    return true;
  }

  hold(): void {}

  resume(): void {}

  look(): OperatorLook {
    return { unit: 'rows', held: this.#rows.size, nextMs: null };
  }

  want(wants: Wants, _port: number, key: string | null): void {
    if (key !== null) wants.key(this.#rows, 0, key);
  }

  wantAdvance(): void {}
}
