/** What a sink is told: its kind, how its rows are encoded, and what the outlet of its kind needs to know. */
import type { NatsTarget } from './nats/destination.ts';

interface Sink<Kind extends string, Target> {
  readonly name: string;
  /** Which outlet its rows take (`kinds.ts`). */
  readonly kind: Kind;
  /** How each row is encoded. */
  readonly format: 'json' | 'msgpack';
  readonly target: Target;
}

/** Into a stream of NATS. */
export type NatsSink = Sink<'nats', NatsTarget>;

export type SinkSpec = NatsSink;
