/** What a source is told: where records come from, how they are read, and what event time they have. */
import type { Change } from '../change/change.ts';
import type { Decoder } from '../record/format.ts';

/** What the broker knows of a message, for user functions at the source. */
export interface MessageMeta {
  /** The subject that it was published on. */
  readonly subject: string;
  /** As they were sent, their names too; null: it has none. */
  readonly headers: Readonly<Record<string, string>> | null;
  /** Broker's clock, ms since 1970. */
  readonly timeMs: number;
  /** Its number in the stream that keeps it. */
  readonly seq: number;
}

/** What a stream keeps that is made for a source. */
export interface CaptureLimits {
  readonly maxAgeMs: number;
  readonly maxBytes: number;
}

export interface SourceSpec {
  readonly name: string;
  readonly kind: 'stream' | 'kv';
  /** Subject filter, with wildcards; for kv the bucket's subjects (`$KV.<bucket>.>`). */
  readonly subject: string;
  /** The stream that keeps it, resolved by the planner. */
  readonly stream: string;
  /** All streams that the author has listed, each of which is read by a source of its own; empty: the planner found it. */
  readonly streams: readonly string[];
  /** Make the capture stream if no stream keeps the subject. */
  readonly capture: CaptureLimits | null;
  /** What its author has asked for by `capture`, where the stream keeps at least that; made or found. */
  readonly keeps: CaptureLimits | null;
  /** Where a pipeline deployed for the first time starts. */
  readonly start: 'first' | 'new';
  readonly decoder: Decoder;
  /** Looks at the message beside the decoded value (headers, subject tokens); before the schema. */
  readonly attach: ((value: unknown, message: MessageMeta) => unknown) | null;
  /** Validates and evolves; throws MillraceError RECORD_INVALID with the reasons. Null: any value. */
  readonly validate: ((value: unknown) => unknown) | null;
  /** Event time in ms; null: the broker's timestamp. May throw. */
  readonly time: ((value: unknown, message: MessageMeta) => number) | null;
  /** What a record does to its table. Throws RECORD_INVALID. Null: all are inserts. */
  readonly change: ((value: unknown, message: MessageMeta) => Change) | null;
  readonly maxOutOfOrderMs: number;
  readonly idleAfterMs: number;
  /** What a source does that has been quiet for `idleAfterMs`: time goes on, or it holds nobody back any more. */
  readonly idle: 'follow' | 'skip';
  /** No record is published later than this after its event time; null: nobody knows. */
  readonly maxDelayMs: number | null;
  readonly maxFutureMs: number;
  readonly onPoison: 'deadLetter' | 'skip' | 'stop';
}
