/** Appends until it is known what became of it: the identical message again while nobody knows. */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { Append, Log, NewMessage } from '../port/log.ts';

/** An election takes 4 to 9 seconds. */
export const PATIENCE_MS = 20_000;
export const RETRY = { baseMs: 50, maxMs: 1_000 };

/**
 * With a fence, `moved` may also mean that an earlier try has landed: look for your own mark in the last message.
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
