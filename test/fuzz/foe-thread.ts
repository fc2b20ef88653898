/**
 * A thread that does harm: it sends hostile messages to each chain, and rows to the table, as fast as it is told and as they are
 * worked off; and it counts what must become of them, by reading each as a source does, and what does: rows and letters.
 */
import { parentPort, workerData } from 'node:worker_threads';
import fc from 'fast-check';
import { connect, headers as natsHeaders } from 'nats';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { lettersIn } from '../../lib/record/letter-group.ts';
import { lettersStream, partsOfLetter } from '../../lib/record/names.ts';
import { InHand } from '../../lib/source/in-hand.ts';
import { Publisher } from '../rig/publisher.ts';
import { streamOf } from '../rig/subscriber.ts';
import type { FoeOrder, FoeReport } from './foe.ts';
import { type HostileMessage, hostileMessages } from './hostile-messages.ts';
import { CHAINS, type Chain, HOSTILE, inputOf, outputOf, TABLE } from './scene.ts';

/** Records that may be sent before those ahead of them are worked off. */
const AHEAD_MAX = 200_000;
/** One of so many goes to the table. */
const TABLE_SHARE = 10;
const KEYS = 20;
const BATCH = 100;
const LOOK_MS = 1_000;
/** How long nothing may come until it is said that nothing more does. */
const PATIENCE_MS = 60_000;

const { url, seed, perSecond } = workerData as FoeOrder;
const connection = await connect({ servers: url, maxReconnectAttempts: -1 });
const payloadBytesMax = connection.info!.max_payload;
const link = await connectNats({ servers: url });
const log = new NatsLog(link);
const publisher = new Publisher(connection, { windowMax: 50 });
const expected = new Map(CHAINS.map(({ name }) => [name, 0]));
const rows = new Map(CHAINS.map(({ name }) => [name, 0]));
const letters = new Map([...CHAINS.map(({ name }) => [name, 0] as const), ['rows', 0]]);
const readTo = new Map<string, number>();
let messages = 0;
let tableRows = 0;
let isEnding = false;
parentPort!.on('message', () => {
  isEnding = true;
});

const totalOf = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((sum, count) => sum + count, 0);
const aheadOf = ({ name }: Chain) => expected.get(name)! - rows.get(name)! - letters.get(name)!;
const ahead = () => CHAINS.reduce((sum, chain) => sum + Math.max(0, aheadOf(chain)), 0);
const add = (counts: Map<string, number>, name: string, count: number) => counts.set(name, counts.get(name)! + count);
const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

/** How many rows or letters become of it. */
function recordsIn(message: HostileMessage, { decoder }: Chain): number {
  const inHand = new InHand(decoder, payloadBytesMax);
  inHand.take(message);
  inHand.read();
  return inHand.values.length + inHand.unread.length;
}

/** False: it is more than a message may be. */
async function send(made: HostileMessage, n: number): Promise<boolean> {
  const head = natsHeaders();
  const carried: Record<string, string> = {};
  let bytes = made.data.length;
  for (const [name, value] of Object.entries(made.headers)) {
    try {
      head.set(name, value);
    } catch {
      // The client refuses to write what would be no header.
      continue;
    }
    carried[name] = value;
    bytes += Buffer.byteLength(name + value) + 4;
  }
  if (bytes > payloadBytesMax - 100) return false;
  const isRow = n % TABLE_SHARE === 0;
  const chain = CHAINS[n % CHAINS.length]!;
  const subject = isRow ? `$KV.${TABLE}.k${n % KEYS}` : inputOf(chain);
  if (publisher.publish(subject, made.data, head)) await publisher.room();
  messages++;
  if (isRow) tableRows++;
  else add(expected, chain.name, recordsIn({ ...made, subject, headers: carried }, chain));
  return true;
}

/** Looks at what has come in a stream since. */
async function tally(stream: string | null): Promise<void> {
  const info = stream === null ? null : await log.info(stream);
  if (stream === null || info === null) return;
  let at = readTo.get(stream) ?? 0;
  if (info.lastSeq <= at) return;
  const reader = log.read({ stream, from: at + 1, gaps: 'allow' });
  try {
    while (at < info.lastSeq) {
      const taken = reader.take({ messagesMax: 1_000, bytesMax: 8 << 20 });
      if (reader.error !== null) throw reader.error;
      for (const message of taken) {
        at = message.seq;
        const letter = partsOfLetter(message.subject);
        if (letter !== null) add(letters, letter.operator.split('-')[0]!, lettersIn(message.headers));
        const chain = CHAINS.find(one => message.subject.startsWith(`${outputOf(one)}.`));
        if (chain !== undefined) add(rows, chain.name, linesOf(message.data));
      }
      if (taken.length > 0) continue;
      if (reader.caughtUp) break;
      await pause(5);
    }
  } finally {
    await reader.stop();
  }
  readTo.set(stream, Math.max(at, info.lastSeq));
}

/** A frame is a row a line. */
function linesOf(data: Uint8Array): number {
  let count = data.length > 0 && data.at(-1) !== 10 ? 1 : 0;
  for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) count++;
  return count;
}

async function look(): Promise<void> {
  for (const chain of CHAINS) await tally(await streamOf(connection, `${outputOf(chain)}.0`));
  await tally(lettersStream(HOSTILE));
}

function report(wrong: readonly string[] | null): void {
  parentPort!.postMessage({ messages, letters: totalOf(letters), ahead: ahead(), wrong } satisfies FoeReport);
}

function wrongs(): string[] {
  const wrong = CHAINS.filter(chain => aheadOf(chain) !== 0).map(
    ({ name }) =>
      `${name}: ${expected.get(name)} records came, and ${rows.get(name)} rows and ${letters.get(name)} letters of them`,
  );
  const refused = letters.get('rows')!;
  if (refused > tableRows * 2) wrong.push(`${tableRows} rows of the table came, and ${refused} letters of them`);
  return wrong;
}

const sinceMs = performance.now();
let lookedMs = 0;
let sent = 0;
for (let batch = 0; !isEnding; batch++) {
  for (const made of fc.sample(hostileMessages, { seed: seed + batch, numRuns: BATCH })) {
    while (!isEnding && (sent > ((performance.now() - sinceMs) / 1_000) * perSecond || ahead() > AHEAD_MAX)) {
      if (performance.now() - lookedMs > LOOK_MS) {
        await look();
        report(null);
        lookedMs = performance.now();
      }
      await pause(20);
    }
    if (isEnding) break;
    if (await send(made, sent)) sent++;
  }
}
await publisher.finish();
let changedMs = performance.now();
for (let before = -1; performance.now() - changedMs < PATIENCE_MS; ) {
  await look();
  report(null);
  if (wrongs().length === 0) break;
  const seen = totalOf(rows) + totalOf(letters);
  if (seen !== before) changedMs = performance.now();
  before = seen;
  await pause(LOOK_MS);
}
report(wrongs());
await link.close();
await connection.close();
