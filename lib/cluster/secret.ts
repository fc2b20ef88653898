/**
 * Makes, or reads, the secret by which letters and replays are sealed (`record/seal.ts`). The first worker makes it, and it stays
 * in the registry: whoever may read the bucket can seal, and he could read every spec there, too; who merely publishes and
 * subscribes cannot. Where the bucket is made anew there is another, and what was sealed before counts for nothing.
 */
import { randomBytes } from 'node:crypto';
import { MillraceError } from '../base/errors.ts';
import type { Registry } from '../port/registry.ts';
import { SECRET_BYTES } from '../record/seal.ts';

const KEY = 'secrets.letters';
const TRIES_MAX = 5;

export async function clusterSecret(registry: Registry): Promise<Uint8Array> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const entry = await registry.get(KEY);
    if (entry !== null && entry.value.length === SECRET_BYTES) return Uint8Array.from(entry.value);
    const secret = Uint8Array.from(randomBytes(SECRET_BYTES));
    // One of several workers that begin together is first; the others read what it has written.
    if ((await registry.put(KEY, secret, { expect: entry?.revision ?? 0 })) !== null) return secret;
  }
  throw new MillraceError('BROKER_UNAVAILABLE', `the registry's ${KEY} can neither be read nor written; try again`);
}
