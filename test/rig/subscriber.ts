/**
 * A plain downstream subscriber: reads an output through an ordered JetStream consumer, as any service would, and takes
 * frames apart into rows.
 */
import { type ConsumerMessages, DeliverPolicy, type NatsConnection } from 'nats';

export interface Arrival {
  readonly subject: string;
  /** One record, as JSON text. */
  readonly row: string;
  /** The broker's clock when the message was stored, ms since 1970. */
  readonly storedMs: number;
}

export interface Subscription {
  stop(): Promise<void>;
}

/**
 * Delivers every row of `stream` whose subject matches, oldest first. Calls `failed` when the consumer is lost.
 * Throws when the stream does not exist.
 */
export async function subscribe(
  connection: NatsConnection,
  options: { stream: string; subjects: readonly string[]; arrived: (arrival: Arrival) => void },
): Promise<Subscription> {
  const consumer = await connection.jetstream().consumers.get(options.stream, {
    filterSubjects: [...options.subjects],
    deliver_policy: DeliverPolicy.All,
  });
  const messages: ConsumerMessages = await consumer.consume({
    max_messages: 2_000,
    callback: message => {
      const storedMs = message.info.timestampNanos / 1e6;
      const text = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length).toString();
      for (const row of text.split('\n')) if (row !== '') options.arrived({ subject: message.subject, row, storedMs });
    },
  });
  return {
    async stop() {
      await messages.close();
    },
  };
}

/** Sequence and number of messages of a stream; null while there is no such stream. */
export async function sizeOf(connection: NatsConnection, stream: string): Promise<{ lastSeq: number } | null> {
  const manager = await connection.jetstreamManager();
  try {
    const { state } = await manager.streams.info(stream);
    return { lastSeq: state.last_seq };
  } catch (error) {
    if (error instanceof Error && error.message.includes('stream not found')) return null;
    throw error;
  }
}
