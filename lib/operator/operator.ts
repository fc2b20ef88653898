/**
 * The contract of a stateful operator: synchronous, one record at a time, no clock, no randomness, no I/O. A stage
 * feeds it the records of a batch, then the watermark; the engine journals what it changed in its tables and what it
 * emitted, together. Each operator is a file of its own; what is stateless is a function that `run.ts` calls.
 *
 * Rule for user code: call it *before* changing state, inside try/catch, and hand what it throws to `poison`; then a
 * poisoned record leaves nothing half done.
 */
import type { Change } from '../change/change.ts';
import type { Tables, Wants } from '../state/tables.ts';

/** Why a record ended without a result; counted per operator and reason. */
export type DropReason = 'duplicate' | 'null-value' | 'null-key' | 'filtered';

/** A record that an operator cannot use. */
export interface RefusedRecord {
  readonly key: string | null;
  readonly value: unknown;
  readonly timeMs: number;
  /** Absent: an insert, as all are that reach an operator of which `spec.ts` says so. */
  readonly change?: Change;
}

export interface OperatorContext {
  /** The operator's stable name within its pipeline, e.g. `join-payments`. */
  readonly name: string;
  readonly tables: Tables;
  /** Passes a result downstream. `key` is encoded (`record/key.ts`); null: no key. `timeMs` is event time. */
  emit(key: string | null, value: unknown, timeMs: number, change: Change): void;
  /** The record came after what it belongs to had closed: goes to the late output, counted, never lost. */
  late(record: RefusedRecord & { watermarkMs: number; lateByMs: number }): void;
  drop(reason: DropReason): void;
  /** The record in hand made user code fail: it becomes a dead letter with the batch. */
  poison(cause: unknown, record: RefusedRecord): void;
  /** The dedupe id that the reader computed for the record in hand, or null. */
  carriedId(): string | null;
  /** The record in hand is a replay of one that this operator had let pass before it died further on. */
  hasPassed(): boolean;
  /** So many rows more will be emitted at the end of the batch, whatever comes: they count before they are there. */
  owe(rows: number): void;
  /** So many values of what is kept were gone through, beyond what the batch has changed: they count as work. */
  readonly worked: (values: number) => void;
  /** The batch has made so much, or worked so much, that it must end: `advance` stops, and goes on in the next one. */
  readonly full: () => boolean;
}

/** What an operator holds, and what in event time it waits for: for people who ask why nothing comes out. */
export interface OperatorLook {
  readonly unit: HeldUnit;
  readonly held: number;
  /** There are more than `held`: so many were counted. */
  readonly more?: true;
  /**
   * By its own watermark, ms: when the first of them closes or fires, or up to when it is open or waits for a partner; where
   * there are very many a little earlier. Null: none waits.
   */
  readonly nextMs: number | null;
}

/**
 * `windows`, `panes` (which windows that overlap are made of), `sessions`, `timers`: each of one key. `unmatched`: records
 * that go out alone if no partner comes. `records`: kept for partners to come. `ids`: of a dedupe. `rows`: of a table.
 */
export type HeldUnit = 'windows' | 'panes' | 'sessions' | 'unmatched' | 'records' | 'ids' | 'rows' | 'timers';

/** So many entries are looked at one by one for a look, no more. */
export const LOOK_ENTRIES_MAX = 256;

export interface Operator {
  /**
   * How far, in ms, the event time of what it emits may trail the watermark it was told: the watermark downstream is
   * `watermark − lagMs`. Constant.
   */
  readonly lagMs: number;
  /**
   * A record on input `port` (0 for the only or left one). `key` null: the record has none. `change` is an insert wherever
   * `CHANGES` (`spec.ts`) says that the operator takes nothing else.
   */
  receive(port: number, key: string | null, value: unknown, timeMs: number, change: Change): void;
  /**
   * The watermark is now `watermarkMs`, after the batch's records. Never goes back. Fires what is due, until the batch is
   * full: false says that more is due, and it is called again with the same watermark before any record comes.
   */
  advance(watermarkMs: number): boolean;
  /**
   * The batch ends, and more is due at this watermark, here or in another operator of the stage: the journal will know the
   * one before it. So what has fired must be gone from the tables, or be marked there: whoever is restored from them, and
   * told this watermark again, fires the rest and nothing twice (*under way*, `task/task.ts`).
   */
  hold(): void;
  /** After a restart: the watermark that the restored state reflects. Fires nothing. */
  resume(watermarkMs: number): void;
  /** Between two batches, about once a second: takes no longer the more there is. Changes nothing that anybody sees. */
  look(): OperatorLook;
  /** Names the entries that `receive` will touch for this record. */
  want(wants: Wants, port: number, key: string | null, value: unknown, timeMs: number, change: Change): void;
  /** Names the entries that `advance` will touch. Called again until nothing new is wanted (timers, then their keys). */
  wantAdvance(wants: Wants, watermarkMs: number): void;
}
