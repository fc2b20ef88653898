/** What stands at one place of the graph: data and user functions, as one call of the author's gave them. */
import type { StatefulSpec, StatelessSpec } from '../operator/spec.ts';
import type { NatsTarget, SinkMode } from '../outlet/nats/destination.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import type { SourceSpec } from '../source/spec.ts';

/** What `to` was told; the planner decides the rest. */
export interface SinkDraft {
  readonly template: string;
  readonly mode: SinkMode | null;
  readonly frame: NatsTarget['frame'] | null;
  readonly format: SinkSpec['format'] | null;
  /** The stream that the author named. */
  readonly stream: string | null;
}

/** A source or table, but for the stream, which only the broker knows unless the author has named it. */
export type SourceDraft = Omit<SourceSpec, 'stream' | 'name'> & { readonly stream: string | null };

export type DedupeSpec = Extract<StatefulSpec, { kind: 'dedupe' }>;

export type NodeBody =
  | { readonly kind: 'source'; readonly source: SourceDraft }
  | { readonly kind: 'table'; readonly source: SourceDraft }
  /** `arm`: one of a branch's outputs, which share no record. */
  | { readonly kind: 'stateless'; readonly spec: StatelessSpec; readonly arm: boolean }
  | { readonly kind: 'merge' }
  /** `fields` null: a function of the author's own. */
  | {
      readonly kind: 'keyBy';
      readonly fn: (value: unknown) => string | null;
      readonly fields: readonly string[] | null;
    }
  /** `across`: copies of one event may differ in their keys. `carry` computes the id ahead of its judgement. */
  | {
      readonly kind: 'dedupe';
      readonly spec: DedupeSpec;
      readonly idOf: (value: unknown) => string;
      readonly across: boolean;
    }
  | { readonly kind: 'stateful'; readonly spec: StatefulSpec }
  | { readonly kind: 'sink'; readonly sink: SinkDraft };
