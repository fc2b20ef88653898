/**
 * A plain downstream subscriber: reads an output through an ordered JetStream consumer, as any service would, and takes
 * frames apart into rows.
 */
import { AckPolicy, DeliverPolicy, type JsMsg, type NatsConnection } from 'nats';

import { unpackLetters } from '../../lib/record/letter-group.ts';

export interface Arrival {
  readonly subject: string;
  /** One record, as JSON text. */
  readonly row: string;
  /** The broker's clock when the message was stored, ms since 1970. */
  readonly storedMs: number;
}

/** Some thousand rows, or a few frames: done within a fraction of a second. */
const FETCH_BYTES = 4 << 20;

export interface Subscription {
  stop(): Promise<void>;
}

/** Name of the stream that keeps the subject, or null while none does. */
export async function streamOf(connection: NatsConnection, subject: string): Promise<string | null> {
  const manager = await connection.jetstreamManager();
  for await (const name of manager.streams.names(subject)) return name;
  return null;
}

/** Sequence of the stream's last message; 0 while there is none. */
export async function lastSequenceOf(connection: NatsConnection, stream: string): Promise<number> {
  const manager = await connection.jetstreamManager();
  return (await manager.streams.info(stream)).state.last_seq;
}

/**
 * Delivers every row of `stream` whose subject matches, oldest first, from sequence `from` on.
 * Throws when the stream does not exist.
 */
export async function subscribe(
  connection: NatsConnection,
  options: { stream: string; subject: string; from?: number; arrived: (arrival: Arrival) => void },
): Promise<Subscription> {
  const { stream, subject, from = 1, arrived } = options;
  const consumer = await connection.jetstream().consumers.get(stream, {
    filterSubjects: subject,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
  });
  const messages = await consumer.consume({
    max_messages: 2_000,
    callback: message => {
      takeApart(message, arrived);
    },
  });
  return {
    async stop() {
      await messages.close();
    },
  };
}

/** Reads what the stream holds of a subject, and what comes meanwhile. Resolves with the sequence it was read to. */
export async function readAll(
  connection: NatsConnection,
  options: { stream: string; subject: string; from?: number; arrived: (arrival: Arrival) => void },
): Promise<number> {
  const { stream, subject, from = 1, arrived } = options;
  const manager = await connection.jetstreamManager();
  const { last_seq: lastSeq, bytes, messages: stored } = (await manager.streams.info(stream)).state;
  if (lastSeq < from) return lastSeq;
  // What a fetch has not brought before it expires is lost to us, so it must not ask for more than can be worked off.
  const messagesMax = Math.max(1, Math.min(500, Math.floor((FETCH_BYTES * stored) / Math.max(1, bytes))));
  const { name, num_pending } = await manager.consumers.add(stream, {
    filter_subject: subject,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    inactive_threshold: 60e9,
  });
  const consumer = await connection.jetstream().consumers.get(stream, name);
  let left = num_pending;
  let readTo = lastSeq;
  while (left > 0) {
    const messages = await consumer.fetch({ max_messages: Math.min(left, messagesMax), expires: 10_000 });
    for await (const message of messages) {
      takeApart(message, arrived);
      left = message.info.pending;
      readTo = Math.max(readTo, message.seq);
    }
  }
  await consumer.delete();
  return readTo;
}

/** A message is one record, a frame of records a line each, or some letters, each a row. */
function takeApart(message: JsMsg, arrived: (arrival: Arrival) => void): void {
  const storedMs = message.info.timestampNanos / 1e6;
  const { subject } = message;
  if (message.headers?.has('Millrace-Letters')) {
    const headers = Object.fromEntries(message.headers.keys().map(name => [name, message.headers!.get(name)]));
    for (const { bytes } of unpackLetters({ headers, data: message.data })) {
      arrived({ subject, row: Buffer.from(bytes).toString(), storedMs });
    }
    return;
  }
  for (const row of message.string().split('\n')) if (row !== '') arrived({ subject, row, storedMs });
}
