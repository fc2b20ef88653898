/**
 * The relay, a program of its own: reads every message of some streams and publishes as many messages of a size as it is
 * told, in step with what it has read, pipelined. It parses nothing, keeps nothing and promises nothing: what it costs is
 * what any program pays that stands between these streams. It reads as Millrace does, by the fastest reader that we have.
 *
 * `node --import tsx relay.ts '{"url":…,"streams":[…],"subject":…,"messages":…,"bytes":…}'` prints one JSON object.
 */
import { connect } from 'nats';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import type { LogReader } from '../../lib/port/log.ts';
import { Publisher } from '../rig/publisher.ts';

export interface RelayTask {
  readonly url: string;
  readonly streams: readonly string[];
  /** Where it publishes, how many messages and how large. */
  readonly subject: string;
  readonly messages: number;
  readonly bytes: number;
}

export interface RelayResult {
  /** From the first read to the last acknowledgement, ms since 1970. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Processor time of this program between them, ms. */
  readonly cpuMs: number;
}

const TAKE = { messagesMax: 1_000, bytesMax: 2 ** 20 };

const task = JSON.parse(process.argv[2] ?? '') as RelayTask;
const link = await connectNats({ servers: [task.url] });
const connection = await connect({ servers: task.url });
const log = new NatsLog(link);
let toRead = 0;
for (const stream of task.streams) toRead += (await log.info(stream))?.messages ?? 0;
const body = new Uint8Array(task.bytes).fill('x'.charCodeAt(0));
const publisher = new Publisher(connection);

const fromMs = Date.now();
const cpu = process.cpuUsage();
let read = 0;
let written = 0;
for (const stream of task.streams) await relay(stream);
await publisher.finish();
const { user, system } = process.cpuUsage(cpu);
const result: RelayResult = { fromMs, toMs: Date.now(), cpuMs: (user + system) / 1_000 };
process.stdout.write(`${JSON.stringify(result)}\n`);
await connection.close();
await link.close();

/** Reads one stream to its end, and writes what is due by then. */
async function relay(stream: string): Promise<void> {
  const reader = log.read({ stream, from: 1 });
  const { messages: left } = (await log.info(stream)) ?? { messages: 0 };
  for (let taken = 0; taken < left; ) {
    const messages = reader.take(TAKE);
    if (reader.error !== null) throw reader.error;
    if (messages.length === 0) await ready(reader);
    taken += messages.length;
    read += messages.length;
    const due = Math.floor((task.messages * read) / toRead);
    while (written < due) {
      written++;
      if (publisher.publish(task.subject, body)) await publisher.room();
    }
  }
  await reader.stop();
}

function ready(reader: LogReader): Promise<void> {
  return new Promise(resolve => {
    reader.onReady = () => {
      reader.onReady = null;
      resolve();
    };
  });
}
