/**
 * What the registry and the blobs share: a stream used as a map from subjects to their last message. Owns how a write
 * is repeated until it is known what became of it, and which subjects there are; what a message means is its users'.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { Append, Log, NewMessage } from '../port/log.ts';
import { askOrThrow } from './api.ts';
import type { NatsLink } from './connection.ts';

/** An election takes 4 to 9 seconds. */
export const PATIENCE_MS = 20_000;
export const RETRY = { baseMs: 50, maxMs: 1_000 };

/**
 * Sends the identical message again while nobody knows. With a fence, `moved` may also mean that an earlier try has
 * landed: look for your own mark in the last message.
 * Throws BROKER_UNAVAILABLE when it stays in doubt, and what `append` throws.
 */
export async function land(log: Log, message: NewMessage): Promise<Exclude<Append, { kind: 'unsure' }>> {
  const deadline = systemClock.monotonic() + PATIENCE_MS;
  for (let attempt = 0; ; attempt++) {
    const outcome = await log.append(message);
    if (outcome.kind !== 'unsure') return outcome;
    if (systemClock.monotonic() > deadline) {
      const text = `${message.subject}: nobody knows whether the write landed: ${messageOf(outcome.cause)}`;
      throw new MillraceError('BROKER_UNAVAILABLE', text, { cause: outcome.cause });
    }
    await sleep(systemClock, backoffMs(attempt, RETRY));
  }
}

/** The subjects that the stream holds, asked of its leader; sorted. */
export async function subjectsOf(link: NatsLink, options: { stream: string; filter: string }): Promise<string[]> {
  return [...(await countsOf(link, options)).keys()].sort();
}

/** How many messages of each subject the stream holds. A page of the broker's answer has 100,000 subjects. */
export async function countsOf(
  link: NatsLink,
  { stream, filter }: { stream: string; filter: string },
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let total = 1; counts.size < total; ) {
    const page = await askOrThrow<{ total?: number; state: { subjects?: Record<string, number> | null } }>(
      link,
      `STREAM.INFO.${stream}`,
      { subjects_filter: filter, offset: counts.size },
    );
    const found = Object.entries(page.state.subjects ?? {});
    if (found.length === 0) break;
    for (const [subject, count] of found) counts.set(subject, count);
    total = page.total ?? 0;
  }
  return counts;
}
