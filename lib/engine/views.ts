/**
 * What can be asked of a running pipeline's state, and what comes back: plain values, made by the engine, passed on by the
 * host and the API, drawn by the CLI.
 */
import type { Key } from '../record/key.ts';

/** A table of an operator, over all its partitions. */
export interface TableView {
  readonly operator: string;
  readonly table: string;
  readonly stage: string;
  readonly entries: number;
  /** About. */
  readonly bytes: number;
}

export interface EntryView {
  readonly operator: string;
  readonly table: string;
  readonly partition: number;
  readonly bucket: number;
  readonly key: Key;
  /** Plain data: what JSON can say. */
  readonly value: unknown;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Null: this was the last. */
  readonly nextPageToken: string | null;
}

export interface ScanOptions {
  readonly operator: string;
  /** Null: all. */
  readonly table: string | null;
  /** Null: all. */
  readonly partition: number | null;
  readonly pageSize: number;
  /** Null: from the beginning. */
  readonly pageToken: string | null;
}

/** Reads the state of a running pipeline, each task between two of its batches. Changes nothing. */
export interface StateReader {
  tables(): Promise<readonly TableView[]>;
  /** All that `operator` remembers of `key`. Throws NOT_FOUND: no such operator, or it keeps no state. */
  get(options: { operator: string; key: Key }): Promise<readonly EntryView[]>;
  /** Throws NOT_FOUND, INVALID_ARGUMENT (a page token that is not ours). */
  scan(options: ScanOptions): Promise<Page<EntryView>>;
}
