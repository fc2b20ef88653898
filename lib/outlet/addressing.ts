/**
 * How a commit says where a sink's rows go, and what it keeps of them beside their bytes: asked while rows are made, so
 * it is pure, and knows of no destination but its words.
 */
import { NatsAddressing } from './nats/destination.ts';
import type { SinkSpec } from './sink-spec.ts';

export interface Addressing {
  /** The stream whose limit to a message rows have to obey; null: they are none of a stream's. */
  readonly stream: string | null;
  /** One text for all commits of a plan. */
  readonly target: string;
  /** What the kind's outlet needs of each row, so that the commit has to have it. */
  readonly keeps: { readonly keys: boolean; readonly times: boolean };
  /** Null: the target says it all. Throws RECORD_SUBJECT for a record that cannot be addressed. */
  addressOf(key: string | null, value: unknown): string | null;
}

/** How a task says where its rows for a sink go. */
export function addressingOf(sink: SinkSpec, partition: number): Addressing {
  switch (sink.kind) {
    case 'nats':
      return new NatsAddressing(sink, partition);
  }
}
