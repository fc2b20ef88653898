/** What a sink is told: where results go, and in which of three ways they get there exactly once. */
export type SinkMode = 'owned' | 'shared' | 'at-least-once';

export interface SinkSpec {
  readonly name: string;
  readonly mode: SinkMode;
  /** Subject template: literal tokens and `{field}`s; an owned one ends in `{partition}`. */
  readonly template: string;
  readonly stream: { readonly name: string; readonly create: boolean; readonly subjects: readonly string[] };
  /** One record a message, or all of a commit's rows for a subject in one. */
  readonly frame: 'none' | 'ndjson' | 'msgpack';
  readonly format: 'json' | 'msgpack';
  /**
   * Last sequence of the stream when this life of the pipeline took an owned sink's subjects over from whoever had them:
   * what is on them up to there is the past, and nobody's progress. Absent: 0.
   */
  readonly sinceSeq?: number;
}
