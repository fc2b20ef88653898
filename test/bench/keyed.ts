/** Events for the dedupe of `pipelines/keys.ts`: as many different ids as are wanted, which look random and are not. */
import { fileURLToPath } from 'node:url';
import type { NatsConnection } from 'nats';
import { Publisher } from '../rig/publisher.ts';

export const KEYS = {
  pipeline: 'keys',
  file: fileURLToPath(new URL('pipelines/keys.ts', import.meta.url)),
  stream: 'keys_event',
  subject: 'keys.event',
  output: 'keys.seen.*',
} as const;

const FRAME_EVENTS = 200;
const TELL_EVENTS = 1_000_000;

/** The id of event `n`, 16 hex digits; different for different `n` up to 2^32. */
export function idOf(n: number): string {
  return hex(mixed(n)) + hex(mixed(n ^ 0x5bd1e995));
}

export async function makeKeyStream(connection: NatsConnection): Promise<void> {
  const manager = await connection.jetstreamManager();
  await manager.streams.add({ name: KEYS.stream, subjects: [KEYS.subject] });
}

/** Stores one event for each number, in frames, a millisecond of event time apart. Resolves when all are stored. */
export async function sendKeys(
  connection: NatsConnection,
  options: { numbers: Iterable<number>; fromMs: number; say: (text: string) => void },
): Promise<void> {
  const publisher = new Publisher(connection);
  let lines: string[] = [];
  let sent = 0;
  for (const n of options.numbers) {
    lines.push(lineOf(n, options.fromMs + sent++));
    if (sent % TELL_EVENTS === 0) options.say(`loading the input: ${sent.toLocaleString('en-US')} events`);
    if (lines.length < FRAME_EVENTS) continue;
    const full = publisher.publish(KEYS.subject, lines.join('\n'));
    lines = [];
    if (full) await publisher.room();
  }
  if (lines.length > 0) publisher.publish(KEYS.subject, lines.join('\n'));
  await publisher.finish();
}

/** A frame of `count` events that happen at one moment, from number `from` on. */
export function frameOf(options: { from: number; count: number; atMs: number }): string {
  const { from, count, atMs } = options;
  return Array.from({ length: count }, (_, i) => lineOf(from + i, atMs)).join('\n');
}

/** From 0 to `count` - 1. */
export function* upTo(count: number): Generator<number> {
  for (let n = 0; n < count; n++) yield n;
}

/** `count` numbers below `limit`, each once, in no order that a cache could like. */
export function* scattered(count: number, limit: number): Generator<number> {
  const step = coprimeNear(Math.floor(limit * 0.618), limit);
  for (let i = 0, n = 0; i < count; i++, n = (n + step) % limit) yield n;
}

function coprimeNear(wanted: number, limit: number): number {
  for (let step = Math.max(wanted, 1); ; step++) if (divisor(step, limit) === 1) return step;
}

function divisor(left: number, right: number): number {
  return right === 0 ? left : divisor(right, left % right);
}

function lineOf(n: number, atMs: number): string {
  return `{"id":"${idOf(n)}","at":${atMs}}`;
}

/** A permutation of the 32-bit numbers (the finalizer of MurmurHash3). */
function mixed(n: number): number {
  let hash = n | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
